-- Where ids come from: one counter for all nouns, outside of transactions so that writers do not wait for each other.
CREATE SEQUENCE ids;
