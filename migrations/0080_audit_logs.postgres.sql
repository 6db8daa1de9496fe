-- The Merkle logs over the trail: one an organisation (its id), one for the site (0). The triggers keep them growing only.
CREATE TABLE audit_logs (
    id BIGINT NOT NULL,
    origin TEXT NOT NULL,
    verifier_key TEXT NOT NULL,
    size BIGINT NOT NULL,
    checkpoint TEXT NOT NULL,
    checkpoint_at BIGINT NOT NULL,
    CONSTRAINT pk_audit_logs PRIMARY KEY (id)
);

-- Which place an entry has. Its hash is in the tile of level 0 there.
CREATE TABLE audit_leaves (
    log_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    entry_id BIGINT NOT NULL,
    CONSTRAINT pk_audit_leaves PRIMARY KEY (log_id, position),
    CONSTRAINT uq_audit_leaves_entry_id UNIQUE (entry_id)
);

-- Up to 256 hashes of 32 bytes, as C2SP tlog-tiles has them. The last tile of each level grows.
CREATE TABLE audit_tiles (
    log_id BIGINT NOT NULL,
    level BIGINT NOT NULL,
    number BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    CONSTRAINT pk_audit_tiles PRIMARY KEY (log_id, level, number)
);

-- Entries without a place. A row appears with its entry's commit, whatever order ids are committed in.
CREATE TABLE audit_pending (entry_id BIGINT NOT NULL, CONSTRAINT pk_audit_pending PRIMARY KEY (entry_id));
INSERT INTO audit_pending (entry_id) SELECT id FROM audit_entries;
CREATE FUNCTION queue_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit_pending (entry_id) VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER tr_audit_entries_pending AFTER INSERT ON audit_entries
FOR EACH ROW EXECUTE FUNCTION queue_audit_entry();

CREATE FUNCTION refuse_audit_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit logs only grow'; END $$;
CREATE TRIGGER tr_audit_logs_no_way_back BEFORE UPDATE ON audit_logs FOR EACH ROW
WHEN (NEW.size < OLD.size OR NEW.id <> OLD.id OR NEW.origin <> OLD.origin OR NEW.verifier_key <> OLD.verifier_key)
EXECUTE FUNCTION refuse_audit_log_change();
CREATE TRIGGER tr_audit_logs_no_delete BEFORE DELETE OR TRUNCATE ON audit_logs
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
CREATE TRIGGER tr_audit_leaves_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaves
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
CREATE TRIGGER tr_audit_tiles_no_way_back BEFORE UPDATE ON audit_tiles FOR EACH ROW
WHEN (substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes OR NEW.log_id <> OLD.log_id OR NEW.level <> OLD.level
    OR NEW.number <> OLD.number)
EXECUTE FUNCTION refuse_audit_log_change();
CREATE TRIGGER tr_audit_tiles_no_delete BEFORE DELETE OR TRUNCATE ON audit_tiles
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
