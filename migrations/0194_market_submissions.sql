-- Plugins that people of this site hand in for its marketplace; the packages are contents named by their hash.
CREATE TABLE market_submissions (
    id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    -- In bytes.
    length BIGINT NOT NULL,
    -- Instead of the package's own; null and an empty list: the package's.
    category TEXT,
    tags TEXT NOT NULL,
    -- What was looked at by itself, with its outcome, as JSON.
    checks TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Why, where it is rejected, deprecated or yanked.
    reason TEXT,
    -- Null: the operator of the box, or somebody who was erased.
    submitted_by BIGINT,
    submitted_at BIGINT NOT NULL,
    decided_by BIGINT,
    decided_at BIGINT,
    CONSTRAINT pk_market_submissions PRIMARY KEY (id),
    CONSTRAINT ck_market_submissions_status
        CHECK (status IN ('failed', 'in_review', 'rejected', 'withdrawn', 'published', 'deprecated', 'yanked')),
    CONSTRAINT fk_market_submissions_submitted_by FOREIGN KEY (submitted_by) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT fk_market_submissions_decided_by FOREIGN KEY (decided_by) REFERENCES users (id) ON DELETE SET NULL
);
CREATE UNIQUE INDEX uq_market_submissions_slug_version ON market_submissions (slug, version)
    WHERE status IN ('in_review', 'published', 'deprecated', 'yanked');
CREATE INDEX ix_market_submissions_sha256 ON market_submissions (sha256);
CREATE INDEX ix_market_submissions_submitted_by ON market_submissions (submitted_by);
