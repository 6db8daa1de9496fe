-- A model server's name is unique within its organisation and among the site's own, so that nobody learns what others
-- call theirs. SQLite drops no constraint of a table, so the table is made anew; nothing refers to it.
CREATE TABLE llm_providers_new (
    id BIGINT NOT NULL,
    organization_id BIGINT,
    name TEXT NOT NULL,
    base_url TEXT NOT NULL,
    api_key_sealed BYTEA,
    models TEXT NOT NULL,
    context_length BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_llm_providers PRIMARY KEY (id),
    CONSTRAINT fk_llm_providers_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT uq_llm_providers_organization_id_name UNIQUE (organization_id, name)
);
INSERT INTO llm_providers_new (id, organization_id, name, base_url, api_key_sealed, models, context_length, created_at, updated_at)
SELECT id, organization_id, name, base_url, api_key_sealed, models, context_length, created_at, updated_at FROM llm_providers;
DROP TABLE llm_providers;
ALTER TABLE llm_providers_new RENAME TO llm_providers;
-- A null equals no null, so the site's own need an index of their own.
CREATE UNIQUE INDEX uq_llm_providers_name ON llm_providers (name) WHERE organization_id IS NULL;
