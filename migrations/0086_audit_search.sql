-- Every search of the trail goes by one of these, newest first: what it is narrowed to comes first, then the time, then the
-- id. Those that begin with the organisation serve who may see single ones, and never touch another's entries.
CREATE INDEX ix_audit_entries_organization_id_at ON audit_entries (organization_id, at, id);
CREATE INDEX ix_audit_entries_organization_id_action_at ON audit_entries (organization_id, action, at, id);
CREATE INDEX ix_audit_entries_organization_id_actor_id_at ON audit_entries (organization_id, actor_id, at, id);
CREATE INDEX ix_audit_entries_organization_id_resource_at
    ON audit_entries (organization_id, resource_type, resource_id, at, id);
CREATE INDEX ix_audit_entries_at ON audit_entries (at, id);
CREATE INDEX ix_audit_entries_actor_id_at ON audit_entries (actor_id, at, id);
CREATE INDEX ix_audit_entries_resource_at ON audit_entries (resource_type, resource_id, at, id);
CREATE INDEX ix_audit_entries_request_id_at ON audit_entries (request_id, at, id) WHERE request_id IS NOT NULL;
-- Failures are few, and what is looked for first.
CREATE INDEX ix_audit_entries_organization_id_failed_at ON audit_entries (organization_id, at, id) WHERE success = FALSE;
CREATE INDEX ix_audit_entries_failed_at ON audit_entries (at, id) WHERE success = FALSE;
