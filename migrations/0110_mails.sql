-- Mails on their way out, and for a while those that went. The body is sealed with the site's key and goes once it was sent.
CREATE TABLE mails (
    id BIGINT NOT NULL,
    -- Null: somebody without an account.
    user_id BIGINT,
    recipient TEXT NOT NULL,
    -- In lower case.
    recipient_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    body BYTEA,
    -- queued, sent or failed.
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- The job that sends it; null once nothing is to be done.
    job_id BIGINT,
    next_attempt_at BIGINT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    settled_at BIGINT,
    CONSTRAINT pk_mails PRIMARY KEY (id),
    CONSTRAINT fk_mails_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_mails_state CHECK (state IN ('queued', 'sent', 'failed'))
);
CREATE INDEX ix_mails_user_id ON mails (user_id);
CREATE INDEX ix_mails_recipient_key_created_at ON mails (recipient_key, created_at);
CREATE INDEX ix_mails_state_id ON mails (state, id);
