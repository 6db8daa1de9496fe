-- Every organisation has a default team.
INSERT INTO teams (id, organization_id, slug, name, name_key, description, settings, is_default, created_at, updated_at)
SELECT (SELECT last FROM ids) + ROW_NUMBER() OVER (ORDER BY id), id, 'default', 'Default team', 'default tearn',
    'Everybody with a role in the organisation.', '{}', TRUE, created_at, created_at
FROM organizations;
UPDATE ids SET last = last + (SELECT COUNT(*) FROM organizations);

-- A person may hold several roles, over the site, in an organisation, or in one of its teams. SQLite drops no constraint of a
-- table, so the table is made anew; nothing refers to it.
CREATE TABLE role_grants_new (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    -- The code of a built-in role, or of one of the organisation's own.
    role TEXT NOT NULL,
    organization_id BIGINT,
    team_id BIGINT,
    granted_at BIGINT NOT NULL,
    -- Null: the local operator, or somebody who is gone.
    granted_by BIGINT,
    CONSTRAINT pk_role_grants PRIMARY KEY (id),
    CONSTRAINT fk_role_grants_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_role_grants_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT fk_role_grants_organization_id_team_id FOREIGN KEY (organization_id, team_id)
        REFERENCES teams (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_role_grants_granted_by FOREIGN KEY (granted_by) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT ck_role_grants_team_id CHECK (team_id IS NULL OR organization_id IS NOT NULL)
);
INSERT INTO role_grants_new (id, user_id, role, organization_id, granted_at)
SELECT id, user_id, role, organization_id, granted_at FROM role_grants;
DROP TABLE role_grants;
ALTER TABLE role_grants_new RENAME TO role_grants;
-- A null equals no null, so each kind of place has an index of its own, named by its columns as SQLite reports it.
CREATE UNIQUE INDEX uq_role_grants_user_id_role ON role_grants (user_id, role) WHERE organization_id IS NULL;
CREATE UNIQUE INDEX uq_role_grants_user_id_role_organization_id ON role_grants (user_id, role, organization_id) WHERE team_id IS NULL;
CREATE UNIQUE INDEX uq_role_grants_user_id_role_team_id ON role_grants (user_id, role, team_id) WHERE team_id IS NOT NULL;
CREATE INDEX ix_role_grants_organization_id_user_id ON role_grants (organization_id, user_id);
CREATE INDEX ix_role_grants_team_id_user_id ON role_grants (team_id, user_id);
CREATE INDEX ix_role_grants_granted_by ON role_grants (granted_by);
