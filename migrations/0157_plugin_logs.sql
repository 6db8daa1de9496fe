-- What plugins wrote into their logs, what was denied them and how they failed; the newest lines of each plugin in each
-- organisation, or, with none, outside of them.
CREATE TABLE plugin_log_lines (
    id BIGINT NOT NULL,
    plugin_id BIGINT NOT NULL,
    organization_id BIGINT,
    at BIGINT NOT NULL,
    -- 0 debug, 1 info, 2 warning, 3 error.
    level BIGINT NOT NULL,
    text TEXT NOT NULL,
    CONSTRAINT pk_plugin_log_lines PRIMARY KEY (id),
    CONSTRAINT fk_plugin_log_lines_plugin_id FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE,
    CONSTRAINT fk_plugin_log_lines_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT ck_plugin_log_lines_level CHECK (level BETWEEN 0 AND 3)
);
CREATE INDEX ix_plugin_log_lines_plugin_id_organization_id_id ON plugin_log_lines (plugin_id, organization_id, id);
CREATE INDEX ix_plugin_log_lines_organization_id ON plugin_log_lines (organization_id);
