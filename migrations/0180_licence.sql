-- This site, as its vendor knows it. The id is random: it names no machine, and goes with the database into every backup.
CREATE TABLE installation (
    slot BIGINT NOT NULL,
    id TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    -- The latest moment this site knows of, whatever its clock says now.
    seen_at BIGINT NOT NULL,
    CONSTRAINT pk_installation PRIMARY KEY (slot),
    CONSTRAINT ck_installation_slot CHECK (slot = 1)
);

-- Licences as their vendor signed them; their signatures are looked at whenever they count.
CREATE TABLE licences (
    id BIGINT NOT NULL,
    serial TEXT NOT NULL,
    token TEXT NOT NULL,
    installed_at BIGINT NOT NULL,
    CONSTRAINT pk_licences PRIMARY KEY (id),
    CONSTRAINT uq_licences_serial UNIQUE (serial)
);

-- What administrators were told of a licence, once each.
CREATE TABLE licence_notices (
    serial TEXT NOT NULL,
    mark TEXT NOT NULL,
    told_at BIGINT NOT NULL,
    CONSTRAINT pk_licence_notices PRIMARY KEY (serial, mark)
);

-- The newest list of taken-back licences of each key.
CREATE TABLE revocation_lists (
    key_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    issued_at BIGINT NOT NULL,
    installed_at BIGINT NOT NULL,
    CONSTRAINT pk_revocation_lists PRIMARY KEY (key_id)
);
CREATE TABLE revoked_licences (
    serial TEXT NOT NULL,
    key_id TEXT NOT NULL,
    CONSTRAINT pk_revoked_licences PRIMARY KEY (serial, key_id),
    CONSTRAINT fk_revoked_licences_key_id FOREIGN KEY (key_id) REFERENCES revocation_lists (key_id) ON DELETE CASCADE
);
CREATE INDEX ix_revoked_licences_key_id ON revoked_licences (key_id);

-- The most seats in use in a month, as YYYY-MM.
CREATE TABLE seat_peaks (
    month TEXT NOT NULL,
    seats BIGINT NOT NULL,
    CONSTRAINT pk_seat_peaks PRIMARY KEY (month)
);
