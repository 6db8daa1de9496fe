-- How calls of plugins went, in pieces of time: by plugin, by organisation (null: what belongs to none), by what was called,
-- and by how long it took. Several servers add to the same rows.
CREATE TABLE plugin_figures (
    plugin_id BIGINT NOT NULL,
    organization_id BIGINT,
    -- The hook, or the method of the plugin.
    name TEXT NOT NULL,
    -- How long the piece is, in seconds.
    span BIGINT NOT NULL,
    -- When it begins.
    at BIGINT NOT NULL,
    -- The place on the scale of times, from 0.
    bin BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    -- The most that an instance had after one of these calls.
    memory_bytes BIGINT NOT NULL,
    CONSTRAINT fk_plugin_figures_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE,
    CONSTRAINT fk_plugin_figures_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_plugin_figures_piece ON plugin_figures (plugin_id, span, at, COALESCE(organization_id, 0), name, bin);
CREATE INDEX ix_plugin_figures_span_at ON plugin_figures (span, at);
CREATE INDEX ix_plugin_figures_organization_id ON plugin_figures (organization_id);
