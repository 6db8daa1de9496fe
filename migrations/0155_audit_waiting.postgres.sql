-- The product writes this row itself, as on SQLite.
DROP TRIGGER tr_audit_entries_pending ON audit_entries;
DROP FUNCTION queue_audit_entry();
