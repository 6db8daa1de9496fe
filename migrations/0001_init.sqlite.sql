-- Where ids come from: one counter for all nouns.
CREATE TABLE ids (last BIGINT NOT NULL);
INSERT INTO ids (last) VALUES (0);
