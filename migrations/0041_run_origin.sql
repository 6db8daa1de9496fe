-- Where a run was started from, for the entries of its agents: they act long after the request has ended.

ALTER TABLE runs ADD COLUMN ip_address TEXT;
ALTER TABLE runs ADD COLUMN user_agent TEXT;
