-- One active run a project, which job moves a run on, and jobs that were given up.

-- Named after what SQLite reports, which knows an index by its columns only.
CREATE UNIQUE INDEX uq_runs_project_id ON runs (project_id) WHERE status IN ('queued', 'running', 'paused');

-- The only job that may move the run on; null while nothing is to be done.
ALTER TABLE runs ADD COLUMN step_job BIGINT;

-- Set when every attempt failed: the job stays to be looked at and is not tried again.
ALTER TABLE jobs ADD COLUMN dead_at BIGINT;
