-- Installed plugins; what they are is read from their folders. `error` is the last failure, kept also while the plugin
-- works; `learned` is what the plugin said about itself when it was loaded last (JSON).
CREATE TABLE plugins (
    id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    config TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    learned TEXT,
    calls BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    installed_at BIGINT NOT NULL,
    CONSTRAINT pk_plugins PRIMARY KEY (id),
    CONSTRAINT uq_plugins_slug UNIQUE (slug),
    CONSTRAINT ck_plugins_status CHECK (status IN ('active', 'disabled', 'failed'))
);
