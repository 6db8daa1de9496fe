-- Runs: agents at work on a project, stage by stage.

ALTER TABLE projects ADD COLUMN latest_run_id BIGINT;

CREATE TABLE runs (
    id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    requirement TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    -- Whose turn it is in the stage.
    role TEXT NOT NULL,
    iteration BIGINT NOT NULL,
    max_iterations BIGINT NOT NULL,
    skip_ui_design BOOLEAN NOT NULL,
    token_budget BIGINT,
    tokens_used BIGINT NOT NULL,
    error_code TEXT,
    error_detail TEXT,
    -- Null: the local operator.
    started_by BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    -- The only job that may move the run on; null while nothing is to be done.
    step_job BIGINT,
    -- The number of the newest event. Counting it locks the row, so a run's events are numbered in the order of their commits.
    last_event BIGINT NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (id),
    CONSTRAINT fk_runs_project_id FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT ck_runs_status CHECK (status IN ('queued', 'running', 'paused', 'completed', 'failed', 'canceled'))
);
CREATE INDEX ix_runs_project_id_id ON runs (project_id, id);
-- One run at a time may change a project. Named after what SQLite reports, which knows an index by its columns only.
CREATE UNIQUE INDEX uq_runs_project_id ON runs (project_id) WHERE status IN ('queued', 'running', 'paused');

CREATE TABLE run_stages (
    run_id BIGINT NOT NULL,
    -- The place in the order of stages.
    place BIGINT NOT NULL,
    stage TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    summary TEXT,
    started_at BIGINT,
    finished_at BIGINT,
    CONSTRAINT pk_run_stages PRIMARY KEY (run_id, place),
    CONSTRAINT fk_run_stages_run_id FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_events (
    run_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    CONSTRAINT pk_run_events PRIMARY KEY (run_id, number),
    CONSTRAINT fk_run_events_run_id FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);
