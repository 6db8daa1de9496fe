-- What plugins make of a file as a number from 0 to 100, for its latest version.
CREATE TABLE file_scores (
    file_id BIGINT NOT NULL,
    plugin TEXT NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    CONSTRAINT pk_file_scores PRIMARY KEY (file_id, plugin),
    CONSTRAINT fk_file_scores_file_id FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
    CONSTRAINT ck_file_scores_score CHECK (score >= 0 AND score <= 100)
);

-- The latest analysis of a project that somebody asked for.
CREATE TABLE analyses (
    project_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    status TEXT NOT NULL,
    paths TEXT,
    files BIGINT NOT NULL,
    files_done BIGINT NOT NULL,
    last_file_id BIGINT NOT NULL,
    error TEXT,
    started_at BIGINT NOT NULL,
    finished_at BIGINT,
    CONSTRAINT pk_analyses PRIMARY KEY (project_id),
    CONSTRAINT fk_analyses_project_id FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT ck_analyses_status CHECK (status IN ('running', 'done', 'failed'))
);
