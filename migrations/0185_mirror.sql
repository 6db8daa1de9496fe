-- A TUF repository whose content this site has or may have; trusted from the root that somebody pinned by hand.
CREATE TABLE mirror_repositories (
    name TEXT NOT NULL,
    pinned_sha256 TEXT NOT NULL,
    pinned_version BIGINT NOT NULL,
    pinned_at BIGINT NOT NULL,
    root_version BIGINT NOT NULL,
    root_expires BIGINT NOT NULL,
    -- Of the state that was imported last; null before the first import.
    timestamp_version BIGINT,
    timestamp_expires BIGINT,
    snapshot_version BIGINT,
    snapshot_expires BIGINT,
    targets_version BIGINT,
    targets_expires BIGINT,
    imported_at BIGINT,
    imported_by BIGINT,
    revision BIGINT NOT NULL,
    CONSTRAINT pk_mirror_repositories PRIMARY KEY (name),
    CONSTRAINT ck_mirror_repositories_name CHECK (name IN ('vendor', 'own')),
    CONSTRAINT fk_mirror_repositories_imported_by FOREIGN KEY (imported_by) REFERENCES users (id) ON DELETE SET NULL
);

-- Its metadata files, byte for byte: every root since the pinned one, and the rest of the current state.
CREATE TABLE mirror_metadata (
    repository TEXT NOT NULL,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    CONSTRAINT pk_mirror_metadata PRIMARY KEY (repository, name),
    CONSTRAINT fk_mirror_metadata_repository FOREIGN KEY (repository) REFERENCES mirror_repositories (name) ON DELETE CASCADE
);

-- What the current state lists; the bytes are blobs.
CREATE TABLE mirror_contents (
    repository TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    slug TEXT,
    version TEXT,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Name, title and description in lower case, to look for.
    words TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    length BIGINT NOT NULL,
    CONSTRAINT pk_mirror_contents PRIMARY KEY (repository, name),
    CONSTRAINT fk_mirror_contents_repository FOREIGN KEY (repository) REFERENCES mirror_repositories (name) ON DELETE CASCADE
);
CREATE INDEX ix_mirror_contents_sha256 ON mirror_contents (sha256);
CREATE INDEX ix_mirror_contents_slug ON mirror_contents (slug);

-- Contents that an import that began is bringing in: staged as blobs before anything lists them.
CREATE TABLE mirror_wanted (
    sha256 TEXT NOT NULL,
    wanted_at BIGINT NOT NULL,
    CONSTRAINT pk_mirror_wanted PRIMARY KEY (sha256)
);
