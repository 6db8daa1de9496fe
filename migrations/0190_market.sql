-- What the packages of the marketplace say of themselves, read once each; the bytes are contents of the mirror, or of
-- submissions.
CREATE TABLE market_packages (
    slug TEXT NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    -- In bytes.
    length BIGINT NOT NULL,
    -- Why it cannot be installed here; the rest is empty then.
    fault TEXT,
    -- What the package says, as JSON.
    facts TEXT NOT NULL,
    -- Stands for all that made this row: the package, the version of the platform that read it, what is told beside it.
    mark TEXT NOT NULL,
    listed_at BIGINT NOT NULL,
    CONSTRAINT pk_market_packages PRIMARY KEY (slug, version)
);

-- What is browsed: a row a plugin, of its newest version.
CREATE TABLE market_plugins (
    slug TEXT NOT NULL,
    source TEXT NOT NULL,
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    author TEXT NOT NULL,
    category TEXT NOT NULL,
    -- A list of words, as JSON.
    tags TEXT NOT NULL,
    icon TEXT,
    -- When the first of its versions was listed here, and the newest.
    listed_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_market_plugins PRIMARY KEY (slug)
);
CREATE INDEX ix_market_plugins_category ON market_plugins (category);
CREATE INDEX ix_market_plugins_updated_at ON market_plugins (updated_at);
