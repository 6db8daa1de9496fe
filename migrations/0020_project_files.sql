-- Files of projects, their versions, and what plugins found in them. Contents are blobs, named by their SHA-256.

ALTER TABLE projects ADD COLUMN file_count BIGINT NOT NULL DEFAULT 0;

CREATE TABLE files (
    id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    path TEXT NOT NULL,
    -- The same for all paths that some file system takes for one.
    path_key TEXT NOT NULL,
    language TEXT,
    size BIGINT NOT NULL,
    version BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    CONSTRAINT pk_files PRIMARY KEY (id),
    CONSTRAINT fk_files_project_id FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT uq_files_project_id_path_key UNIQUE (project_id, path_key)
);
CREATE INDEX ix_files_project_id_id ON files (project_id, id);

CREATE TABLE file_versions (
    file_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    size BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    CONSTRAINT pk_file_versions PRIMARY KEY (file_id, version),
    CONSTRAINT fk_file_versions_file_id FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE
);

-- Of a file's latest version only.
CREATE TABLE findings (
    id BIGINT NOT NULL,
    file_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    file_version BIGINT NOT NULL,
    plugin TEXT NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    line BIGINT,
    code TEXT,
    recommendation TEXT,
    CONSTRAINT pk_findings PRIMARY KEY (id),
    CONSTRAINT fk_findings_file_id FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
    CONSTRAINT ck_findings_severity CHECK (severity IN ('low', 'medium', 'high', 'critical'))
);
CREATE INDEX ix_findings_file_id ON findings (file_id, severity);
CREATE INDEX ix_findings_project_id_id ON findings (project_id, id);
