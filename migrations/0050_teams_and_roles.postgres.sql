-- Every organisation has a default team.
INSERT INTO teams (id, organization_id, slug, name, name_key, description, settings, is_default, created_at, updated_at)
SELECT nextval('ids'), id, 'default', 'Default team', 'default tearn',
    'Everybody with a role in the organisation.', '{}', TRUE, created_at, created_at
FROM organizations;

-- A person may hold several roles, over the site, in an organisation, or in one of its teams.
ALTER TABLE role_grants DROP CONSTRAINT uq_role_grants_user_id_organization_id;
DROP INDEX uq_role_grants_user_id_site;
DROP INDEX ix_role_grants_organization_id;
ALTER TABLE role_grants ADD COLUMN team_id BIGINT;
-- Null: the local operator, or somebody who is gone.
ALTER TABLE role_grants ADD COLUMN granted_by BIGINT;
ALTER TABLE role_grants ADD CONSTRAINT fk_role_grants_organization_id_team_id FOREIGN KEY (organization_id, team_id)
    REFERENCES teams (organization_id, id) ON DELETE CASCADE;
ALTER TABLE role_grants ADD CONSTRAINT fk_role_grants_granted_by FOREIGN KEY (granted_by) REFERENCES users (id) ON DELETE SET NULL;
ALTER TABLE role_grants ADD CONSTRAINT ck_role_grants_team_id CHECK (team_id IS NULL OR organization_id IS NOT NULL);
-- A null equals no null, so each kind of place has an index of its own.
CREATE UNIQUE INDEX uq_role_grants_user_id_role ON role_grants (user_id, role) WHERE organization_id IS NULL;
CREATE UNIQUE INDEX uq_role_grants_user_id_role_organization_id ON role_grants (user_id, role, organization_id) WHERE team_id IS NULL;
CREATE UNIQUE INDEX uq_role_grants_user_id_role_team_id ON role_grants (user_id, role, team_id) WHERE team_id IS NOT NULL;
CREATE INDEX ix_role_grants_organization_id_user_id ON role_grants (organization_id, user_id);
CREATE INDEX ix_role_grants_team_id_user_id ON role_grants (team_id, user_id);
CREATE INDEX ix_role_grants_granted_by ON role_grants (granted_by);
