-- The limited token a run was started with, to which its agents are held; null: none. No foreign key: that it is gone ends the run.
ALTER TABLE runs ADD COLUMN token_id BIGINT;
