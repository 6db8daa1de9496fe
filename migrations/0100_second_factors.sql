-- Second factors: the secret of an authenticator app, the codes of it that were used, recovery codes. A session knows whether
-- it was opened with two factors; those from before were not.

ALTER TABLE sessions ADD COLUMN strong BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE second_factors (
    user_id BIGINT NOT NULL,
    secret_sealed BYTEA NOT NULL,
    -- Null: it was begun and not finished, and counts for nothing.
    enabled_at BIGINT,
    CONSTRAINT pk_second_factors PRIMARY KEY (user_id),
    CONSTRAINT fk_second_factors_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- By the step of 30 seconds they belong to, and not only the last of them: a clock that was set back comes by them again.
CREATE TABLE second_factor_uses (
    user_id BIGINT NOT NULL,
    step BIGINT NOT NULL,
    id BIGINT NOT NULL,
    CONSTRAINT pk_second_factor_uses PRIMARY KEY (user_id, step),
    CONSTRAINT fk_second_factor_uses_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

-- A code that was used is gone.
CREATE TABLE recovery_codes (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    code_hash TEXT NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (id),
    CONSTRAINT uq_recovery_codes_user_id_code_hash UNIQUE (user_id, code_hash),
    CONSTRAINT fk_recovery_codes_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
