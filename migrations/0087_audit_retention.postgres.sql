-- An entry may go when a drop covers it and its hash has its place in a log; else never.
DROP TRIGGER tr_audit_entries_no_change ON audit_entries;
CREATE TRIGGER tr_audit_entries_no_change BEFORE UPDATE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE FUNCTION refuse_audit_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM audit_dropped g JOIN audit_drops d ON d.id = g.drop_id
        WHERE g.entry_id = OLD.id AND d.organization_id = OLD.organization_id AND d.before_at > OLD.at
    )
        OR NOT EXISTS (SELECT 1 FROM audit_leaves WHERE entry_id = OLD.id)
    THEN RAISE EXCEPTION 'audit entries are never deleted';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER tr_audit_entries_no_delete BEFORE DELETE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION refuse_audit_deletion();

CREATE FUNCTION refuse_audit_drop_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit drops are never changed or deleted'; END $$;
CREATE TRIGGER tr_audit_drops_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_drops
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_drop_change();
CREATE TRIGGER tr_audit_dropped_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_dropped
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_drop_change();
