-- Another number with every change of a plugin, so that the site's other servers see that there was one.
ALTER TABLE plugins ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
