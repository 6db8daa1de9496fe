-- What the site tells people: each has an own list, bounded by the statement that adds to it.

CREATE TABLE notices (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    -- What it is about; null: the person or the site.
    organization_id BIGINT,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    link TEXT,
    created_at BIGINT NOT NULL,
    read_at BIGINT,
    CONSTRAINT pk_notices PRIMARY KEY (id),
    CONSTRAINT fk_notices_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_notices_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX ix_notices_user_id ON notices (user_id);
CREATE INDEX ix_notices_organization_id ON notices (organization_id);
