-- Where the trail is sent as it grows (audit.syslog, audit.file), and how far each has got.
CREATE TABLE audit_forwards (
    -- syslog or file.
    destination TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    -- The server that sends at the moment; of several on one database it is one.
    holder TEXT,
    held_until BIGINT,
    sent BIGINT NOT NULL,
    last_sent_at BIGINT,
    -- Null while it works.
    last_error TEXT,
    CONSTRAINT pk_audit_forwards PRIMARY KEY (destination)
);
CREATE TABLE audit_forward_cursors (
    destination TEXT NOT NULL,
    log_id BIGINT NOT NULL,
    -- The first place of the log that is not known to have arrived.
    position BIGINT NOT NULL,
    CONSTRAINT pk_audit_forward_cursors PRIMARY KEY (destination, log_id)
);
