-- REPLACE deletes the row in its way without asking the triggers on deletion (unless recursive_triggers is on).
CREATE TRIGGER tr_audit_entries_no_replace BEFORE INSERT ON audit_entries
WHEN EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit entries are never replaced'); END;
