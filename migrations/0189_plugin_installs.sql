-- When a plugin was put into the site, and when an organisation switched it on: what is popular, and what is trending.
-- Nobody is named; a row outlives the plugin.
CREATE TABLE plugin_installs (
    id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    installed_at BIGINT NOT NULL,
    CONSTRAINT pk_plugin_installs PRIMARY KEY (id)
);
CREATE INDEX ix_plugin_installs_slug ON plugin_installs (slug, installed_at);
CREATE INDEX ix_plugin_installs_installed_at ON plugin_installs (installed_at, slug);
