-- What an organisation is besides its name: how it looks, what it has set, whether it is suspended or on its way out.

-- The name as it is compared (see base::names); null until the server that wrote the row has started once with this column.
ALTER TABLE organizations ADD COLUMN name_key TEXT;
CREATE INDEX ix_organizations_name_key ON organizations (name_key);

ALTER TABLE organizations ADD COLUMN display_name TEXT;
-- JSON that fits src/orgs/settings.schema.json.
ALTER TABLE organizations ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

ALTER TABLE organizations ADD COLUMN suspended_at BIGINT;
ALTER TABLE organizations ADD COLUMN suspended_reason TEXT;

-- Set while it is to be deleted: not before then, and only by the job. Nothing is restored once purging_at is set.
ALTER TABLE organizations ADD COLUMN deletion_due BIGINT;
ALTER TABLE organizations ADD COLUMN deletion_job BIGINT;
ALTER TABLE organizations ADD COLUMN purging_at BIGINT;

CREATE TABLE organization_logos (
    organization_id BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes BYTEA NOT NULL,
    CONSTRAINT pk_organization_logos PRIMARY KEY (organization_id),
    CONSTRAINT fk_organization_logos_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
