-- When a session was last used, to the minute; what passwords a person had; one-time codes that set a new one.

ALTER TABLE sessions ADD COLUMN last_seen_at BIGINT;

CREATE TABLE old_passwords (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    password_hash TEXT NOT NULL,
    CONSTRAINT pk_old_passwords PRIMARY KEY (id),
    CONSTRAINT fk_old_passwords_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_old_passwords_user_id_id ON old_passwords (user_id, id);

-- One a person: a new code takes the place of the one before. The code itself is not kept.
CREATE TABLE password_resets (
    user_id BIGINT NOT NULL,
    code_hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT pk_password_resets PRIMARY KEY (user_id),
    CONSTRAINT uq_password_resets_code_hash UNIQUE (code_hash),
    CONSTRAINT fk_password_resets_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
