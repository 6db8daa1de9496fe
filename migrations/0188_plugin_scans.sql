-- What the last scan of an installed plugin found.
CREATE TABLE plugin_scans (
    plugin_id BIGINT NOT NULL,
    version TEXT NOT NULL,
    -- Of the list of its files' sums.
    package_sha256 TEXT NOT NULL,
    rules_version TEXT NOT NULL,
    verdict TEXT NOT NULL,
    -- Why an administrator took it although the scan said no.
    reason TEXT,
    -- JSON.
    report TEXT NOT NULL,
    scanned_at BIGINT NOT NULL,
    CONSTRAINT pk_plugin_scans PRIMARY KEY (plugin_id),
    CONSTRAINT fk_plugin_scans_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE,
    CONSTRAINT ck_plugin_scans_verdict CHECK (verdict IN ('clean', 'warned', 'blocked'))
);
