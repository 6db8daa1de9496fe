-- Where backups of this site go, and when. One at most.
CREATE TABLE backup_target (
    slot BIGINT NOT NULL,
    folder TEXT NOT NULL,
    repository_id TEXT NOT NULL,
    -- The repository's key, sealed with the site's.
    key_sealed BYTEA NOT NULL,
    -- JSON: how many backups are kept, and when one is taken.
    keep TEXT NOT NULL,
    schedule TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    next_at BIGINT,
    CONSTRAINT pk_backup_target PRIMARY KEY (slot),
    CONSTRAINT ck_backup_target_slot CHECK (slot = 1)
);

-- Backups that were taken, or tried.
CREATE TABLE backups (
    id BIGINT NOT NULL,
    repository_id TEXT NOT NULL,
    -- Its name in the repository; null until it is complete.
    name TEXT,
    status TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    finished_at BIGINT,
    -- JSON: what it holds; null until it is complete.
    summary TEXT,
    error TEXT,
    -- JSON: what the last trial restore found; null before the first.
    proof TEXT,
    CONSTRAINT pk_backups PRIMARY KEY (id),
    CONSTRAINT ck_backups_status CHECK (status IN ('running', 'done', 'failed', 'pruned'))
);
