-- An entry may go when a drop covers it and its hash has its place in a log; else never.
DROP TRIGGER tr_audit_entries_no_delete;
CREATE TRIGGER tr_audit_entries_no_delete BEFORE DELETE ON audit_entries
WHEN NOT EXISTS (
        SELECT 1 FROM audit_dropped g JOIN audit_drops d ON d.id = g.drop_id
        WHERE g.entry_id = OLD.id AND d.organization_id = OLD.organization_id AND d.before_at > OLD.at
    )
    OR NOT EXISTS (SELECT 1 FROM audit_leaves WHERE entry_id = OLD.id)
BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END;

CREATE TRIGGER tr_audit_drops_no_update BEFORE UPDATE ON audit_drops
BEGIN SELECT RAISE(ABORT, 'audit drops are never changed'); END;
CREATE TRIGGER tr_audit_drops_no_delete BEFORE DELETE ON audit_drops
BEGIN SELECT RAISE(ABORT, 'audit drops are never deleted'); END;
CREATE TRIGGER tr_audit_dropped_no_update BEFORE UPDATE ON audit_dropped
BEGIN SELECT RAISE(ABORT, 'audit drops are never changed'); END;
CREATE TRIGGER tr_audit_dropped_no_delete BEFORE DELETE ON audit_dropped
BEGIN SELECT RAISE(ABORT, 'audit drops are never deleted'); END;
