-- Invitations into an organisation or one of its teams. The code itself is kept nowhere: only its digest.

CREATE TABLE invitations (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    team_id BIGINT,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    role TEXT NOT NULL,
    code_hash TEXT NOT NULL,
    -- Null: the local operator. Whoever is gone by then has invited nobody.
    invited_by BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT,
    accepted_by BIGINT,
    revoked_at BIGINT,
    CONSTRAINT pk_invitations PRIMARY KEY (id),
    CONSTRAINT fk_invitations_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT fk_invitations_organization_id_team_id FOREIGN KEY (organization_id, team_id) REFERENCES teams (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT uq_invitations_code_hash UNIQUE (code_hash)
);
CREATE INDEX ix_invitations_organization_id_id ON invitations (organization_id, id);
-- One open invitation for an address in an organisation. Named after what SQLite reports.
CREATE UNIQUE INDEX uq_invitations_organization_id_email_key ON invitations (organization_id, email_key)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
