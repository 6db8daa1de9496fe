-- Teams of organisations, roles that organisations make for themselves, projects that belong to a team.

CREATE TABLE teams (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The same for all names that look alike (Unicode UTS 39).
    name_key TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A small JSON object.
    settings TEXT NOT NULL,
    -- Everybody with a role in the whole organisation belongs to this one.
    is_default BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_teams PRIMARY KEY (id),
    CONSTRAINT fk_teams_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT uq_teams_organization_id_slug UNIQUE (organization_id, slug),
    CONSTRAINT uq_teams_organization_id_name_key UNIQUE (organization_id, name_key),
    -- So that what names a team names the team's own organisation beside it.
    CONSTRAINT uq_teams_organization_id_id UNIQUE (organization_id, id)
);
CREATE UNIQUE INDEX uq_teams_organization_id ON teams (organization_id) WHERE is_default;

-- The built-in roles are in the program; these stand beside them, each in one organisation.
CREATE TABLE roles (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    description TEXT NOT NULL,
    -- A JSON array of permission codes.
    permissions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_roles PRIMARY KEY (id),
    CONSTRAINT fk_roles_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT uq_roles_organization_id_code UNIQUE (organization_id, code),
    CONSTRAINT uq_roles_organization_id_name_key UNIQUE (organization_id, name_key)
);

-- Null: the organisation's own, of no team.
ALTER TABLE projects ADD COLUMN team_id BIGINT CONSTRAINT fk_projects_team_id REFERENCES teams (id);
CREATE INDEX ix_projects_team_id_id ON projects (team_id, id);
