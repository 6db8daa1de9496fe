-- When a job's due time was set: what lies ahead of the clock by more than a little shows that the clock was set back.
ALTER TABLE jobs ADD COLUMN set_at BIGINT NOT NULL DEFAULT 0;
