-- Whether a stored content is named by a version of a file is asked for all contents at each look for unused ones.

CREATE INDEX ix_file_versions_sha256 ON file_versions (sha256);
