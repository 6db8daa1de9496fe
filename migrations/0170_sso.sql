-- Identity providers whose people sign in here. The slug is part of the address that the provider sends browsers to.
CREATE TABLE sso_providers (
    id BIGINT NOT NULL,
    -- Null: the site's own.
    organization_id BIGINT,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    -- JSON: e-mail domains whose people are shown this provider, and whose addresses it makes accounts for.
    domains TEXT NOT NULL,
    provision BOOLEAN NOT NULL,
    default_role TEXT,
    second_factor BOOLEAN NOT NULL,
    -- JSON: the names of the attributes that are read.
    attributes TEXT NOT NULL,
    -- JSON: groups and the roles they give.
    roles TEXT NOT NULL,
    -- JSON: the permissions its author held in the organisation, which the roles never exceed.
    roles_within TEXT NOT NULL,
    -- JSON: how it is reached, by its kind.
    connection TEXT NOT NULL,
    -- The certificate of our key, PEM; null without one.
    certificate TEXT,
    -- Our private key (SAML) or the secret it gave us (OIDC).
    secret_sealed BYTEA,
    -- The end of its certificates that administrators were told of.
    end_told BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_sso_providers PRIMARY KEY (id),
    CONSTRAINT fk_sso_providers_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT uq_sso_providers_slug UNIQUE (slug)
);
CREATE INDEX ix_sso_providers_organization_id ON sso_providers (organization_id);

-- Who somebody is at a provider: by what it calls them for good, never by an e-mail address.
CREATE TABLE sso_links (
    id BIGINT NOT NULL,
    provider_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    subject TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    CONSTRAINT pk_sso_links PRIMARY KEY (id),
    CONSTRAINT fk_sso_links_provider_id FOREIGN KEY (provider_id) REFERENCES sso_providers (id) ON DELETE CASCADE,
    CONSTRAINT fk_sso_links_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT uq_sso_links_provider_id_subject UNIQUE (provider_id, subject),
    CONSTRAINT uq_sso_links_provider_id_user_id UNIQUE (provider_id, user_id)
);
CREATE INDEX ix_sso_links_user_id ON sso_links (user_id);

-- Sign-ins that were finished and assertions that were taken, under their digests, until they count no more.
CREATE TABLE sso_spent (
    hash TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT pk_sso_spent PRIMARY KEY (hash)
);

-- With which provider a session was opened, and the only organisation it counts in; null: any way, anywhere.
ALTER TABLE sessions ADD COLUMN sso_provider_id BIGINT;
ALTER TABLE sessions ADD COLUMN held_to BIGINT;
