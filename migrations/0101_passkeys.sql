-- Passkeys (WebAuthn): the public key of each, and the challenges that were answered, so that none is answered twice.

CREATE TABLE passkeys (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- The host name it is for: it signs in nowhere else.
    site TEXT NOT NULL,
    -- The digest of the credential's id, by which it is found.
    credential_hash TEXT NOT NULL,
    -- JSON: id, public key, counter.
    credential TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    CONSTRAINT pk_passkeys PRIMARY KEY (id),
    CONSTRAINT uq_passkeys_credential_hash UNIQUE (credential_hash),
    CONSTRAINT fk_passkeys_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_passkeys_user_id ON passkeys (user_id);

CREATE TABLE answered_challenges (
    ticket_hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT pk_answered_challenges PRIMARY KEY (ticket_hash)
);
CREATE INDEX ix_answered_challenges_expires_at ON answered_challenges (expires_at);
