-- A text file that people edit together: what is shared, as a CRDT document, and which version of the file it stands on.
CREATE TABLE together_documents (
    file_id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    crlf BOOLEAN NOT NULL,
    base_version BIGINT NOT NULL,
    base_state BYTEA NOT NULL,
    state BYTEA NOT NULL,
    state_seq BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    saved_seq BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    CONSTRAINT pk_together_documents PRIMARY KEY (file_id),
    CONSTRAINT fk_together_documents_file_id FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE
);

-- Changes that are not yet part of the state, in the order of their commits.
CREATE TABLE together_updates (
    file_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    data BYTEA NOT NULL,
    CONSTRAINT pk_together_updates PRIMARY KEY (file_id, seq),
    CONSTRAINT fk_together_updates_file_id FOREIGN KEY (file_id) REFERENCES together_documents (file_id) ON DELETE CASCADE
);

-- Who changed the document since it was last written back as a version, with their latest change.
CREATE TABLE together_editors (
    file_id BIGINT NOT NULL,
    editor TEXT NOT NULL,
    seq BIGINT NOT NULL,
    user_id BIGINT,
    token_id BIGINT,
    CONSTRAINT pk_together_editors PRIMARY KEY (file_id, editor),
    CONSTRAINT fk_together_editors_file_id FOREIGN KEY (file_id) REFERENCES together_documents (file_id) ON DELETE CASCADE
);
