-- How far an installed plugin is brought up to date by itself; without a row it is not.
CREATE TABLE plugin_update_policies (
    plugin_id BIGINT NOT NULL,
    policy TEXT NOT NULL,
    CONSTRAINT pk_plugin_update_policies PRIMARY KEY (plugin_id),
    CONSTRAINT fk_plugin_update_policies_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE,
    CONSTRAINT ck_plugin_update_policies_policy CHECK (policy IN ('off', 'patch', 'minor', 'all'))
);

-- When that happens. One row at most.
CREATE TABLE plugin_update_window (
    slot BIGINT NOT NULL,
    -- JSON: days and times; null: as the program has it.
    plan TEXT,
    -- When a server last looked whether something is to be done.
    looked_at BIGINT NOT NULL,
    CONSTRAINT pk_plugin_update_window PRIMARY KEY (slot),
    CONSTRAINT ck_plugin_update_window_slot CHECK (slot = 1)
);

-- What somebody, or a failure, said about a version of an installed plugin.
CREATE TABLE plugin_update_decisions (
    plugin_id BIGINT NOT NULL,
    version TEXT NOT NULL,
    -- Of the package that was meant.
    sha256 TEXT NOT NULL,
    decision TEXT NOT NULL,
    -- Why it failed; null for what was approved.
    reason TEXT,
    CONSTRAINT pk_plugin_update_decisions PRIMARY KEY (plugin_id, version),
    CONSTRAINT fk_plugin_update_decisions_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE,
    CONSTRAINT ck_plugin_update_decisions_decision CHECK (decision IN ('approved', 'failed'))
);

-- Versions that take others' places and were not found to work yet. What was there before lies beside the plugins' folders.
CREATE TABLE plugin_update_trials (
    plugin_id BIGINT NOT NULL,
    -- The plugin that is updated; those that change with it have its name here too.
    lead TEXT NOT NULL,
    from_version TEXT NOT NULL,
    to_version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    CONSTRAINT pk_plugin_update_trials PRIMARY KEY (plugin_id),
    CONSTRAINT fk_plugin_update_trials_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE
);

-- What came of updates; a row outlives the plugin.
CREATE TABLE plugin_update_history (
    id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    from_version TEXT NOT NULL,
    to_version TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_hand BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_plugin_update_history PRIMARY KEY (id),
    CONSTRAINT ck_plugin_update_history_outcome CHECK (outcome IN ('updated', 'returned', 'waiting', 'refused'))
);
CREATE INDEX ix_plugin_update_history_slug ON plugin_update_history (slug, id);
