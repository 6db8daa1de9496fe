-- A model server's name is unique within its organisation and among the site's own, so that nobody learns what others
-- call theirs.
ALTER TABLE llm_providers DROP CONSTRAINT uq_llm_providers_name;
ALTER TABLE llm_providers ADD CONSTRAINT uq_llm_providers_organization_id_name UNIQUE (organization_id, name);
-- A null equals no null, so the site's own need an index of their own.
CREATE UNIQUE INDEX uq_llm_providers_name ON llm_providers (name) WHERE organization_id IS NULL;
