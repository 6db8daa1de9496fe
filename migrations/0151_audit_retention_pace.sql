-- When due_before was last moved: it moves once an hour at most, also over restarts and with several servers.
ALTER TABLE audit_retention ADD COLUMN advanced_at BIGINT NOT NULL DEFAULT 0;
