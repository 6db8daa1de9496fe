-- How long an organisation keeps its entries. No foreign key: the trail, and how long it is kept, outlive the organisation.
CREATE TABLE audit_retention (
    organization_id BIGINT NOT NULL,
    days BIGINT NOT NULL,
    CONSTRAINT pk_audit_retention PRIMARY KEY (organization_id),
    CONSTRAINT ck_audit_retention_days CHECK (days >= 30)
);

-- What was dropped: entries of the organisation from before a moment. The row is what makes their deletion lawful, and stays.
CREATE TABLE audit_drops (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    before_at BIGINT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_audit_drops PRIMARY KEY (id),
    CONSTRAINT ck_audit_drops_before_at CHECK (before_at <= at - 30 * 86400000000)
);
CREATE INDEX ix_audit_drops_organization_id_before_at ON audit_drops (organization_id, before_at);
