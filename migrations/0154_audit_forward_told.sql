-- Since when a destination fails, and when the site's administrators were told; null: it works, they were not.
ALTER TABLE audit_forwards ADD COLUMN failing_since BIGINT;
ALTER TABLE audit_forwards ADD COLUMN told_at BIGINT;
