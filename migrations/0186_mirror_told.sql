-- What administrators were told of a mirrored state that expires, once each.
CREATE TABLE mirror_told (
    repository TEXT NOT NULL,
    -- When the first part of the state expires; a state that expires at another time is told of anew.
    expires_at BIGINT NOT NULL,
    mark TEXT NOT NULL,
    told_at BIGINT NOT NULL,
    CONSTRAINT pk_mirror_told PRIMARY KEY (repository, expires_at, mark),
    CONSTRAINT fk_mirror_told_repository FOREIGN KEY (repository) REFERENCES mirror_repositories (name) ON DELETE CASCADE
);
