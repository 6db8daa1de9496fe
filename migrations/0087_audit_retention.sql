-- How long an organisation keeps its entries. No foreign key: the trail, and how long it is kept, outlive the organisation.
CREATE TABLE audit_retention (
    organization_id BIGINT NOT NULL,
    days BIGINT NOT NULL,
    -- Entries from before this moment are to go. It follows the clock by a day an hour at most, so that a clock that is a
    -- year ahead for an afternoon does not take a year of entries.
    due_before BIGINT NOT NULL,
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

-- Every entry that went, with its drop: what is gone without a row here was taken away.
CREATE TABLE audit_dropped (
    entry_id BIGINT NOT NULL,
    drop_id BIGINT NOT NULL,
    CONSTRAINT pk_audit_dropped PRIMARY KEY (entry_id),
    CONSTRAINT fk_audit_dropped_drop_id FOREIGN KEY (drop_id) REFERENCES audit_drops (id)
);
CREATE INDEX ix_audit_dropped_drop_id ON audit_dropped (drop_id);
