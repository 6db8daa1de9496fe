-- A plugin is installed for the site and works in an organisation. Without a row it works in all of them when `everywhere`
-- says so, with nothing granted; a row says what one organisation made of it.
ALTER TABLE plugins ADD COLUMN everywhere BOOLEAN NOT NULL DEFAULT TRUE;
-- Why it is not asked about what belongs to no organisation; null while it is.
ALTER TABLE plugins ADD COLUMN site_error TEXT;
CREATE TABLE plugin_activations (
    plugin_id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    enabled BOOLEAN NOT NULL,
    -- Why it was turned off here after it failed too often in a row; null while it was not.
    error TEXT,
    -- JSON: the capabilities that an administrator of the organisation granted.
    granted TEXT NOT NULL,
    -- JSON, sealed with the site's key: the organisation's configuration over the site's; null: none.
    config_sealed BYTEA,
    updated_at BIGINT NOT NULL,
    -- Grows with every change of any row, so that other servers see that there was one.
    revision BIGINT NOT NULL,
    CONSTRAINT pk_plugin_activations PRIMARY KEY (plugin_id, organization_id),
    CONSTRAINT fk_plugin_activations_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE,
    CONSTRAINT fk_plugin_activations_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX ix_plugin_activations_organization_id ON plugin_activations (organization_id);
