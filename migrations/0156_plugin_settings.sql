-- A plugin's configuration for the site, sealed with the site's key: it may hold secrets. What `config` held is sealed at
-- the next start, and `config` is {} from then on.
ALTER TABLE plugins ADD COLUMN config_sealed BYTEA;
