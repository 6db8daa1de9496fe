-- Failed sign-ins that are not forgiven yet, by name and by network address. The key is a digest: who mistypes may have
-- typed a password as the name.
CREATE TABLE sign_in_failures (
    key_hash TEXT NOT NULL,
    failures BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    forgiven_at BIGINT NOT NULL,
    CONSTRAINT pk_sign_in_failures PRIMARY KEY (key_hash)
);
CREATE INDEX ix_sign_in_failures_until_at ON sign_in_failures (until_at);
