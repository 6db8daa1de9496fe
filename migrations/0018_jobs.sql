-- The durable queue of background work.
CREATE TABLE jobs (
    id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Which process works on it, and until when that counts; both null while nobody does.
    locked_by TEXT,
    locked_until BIGINT,
    last_error TEXT,
    -- Set when every attempt failed: the job stays to be looked at and is not tried again.
    dead_at BIGINT,
    CONSTRAINT pk_jobs PRIMARY KEY (id)
);
CREATE INDEX ix_jobs_kind_run_at ON jobs (kind, run_at, id);
