-- The first schema: people, organisations, quotas, projects, audit.
-- One text for SQLite and PostgreSQL. Ids come from the application, times are microseconds since 1970 UTC, JSON is TEXT.

CREATE TABLE users (
    id BIGINT NOT NULL,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_username_key UNIQUE (username_key),
    CONSTRAINT uq_users_email_key UNIQUE (email_key)
);

CREATE TABLE organizations (
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    tier TEXT NOT NULL,
    contact_email TEXT,
    created_at BIGINT NOT NULL,
    CONSTRAINT pk_organizations PRIMARY KEY (id),
    CONSTRAINT uq_organizations_slug UNIQUE (slug),
    CONSTRAINT ck_organizations_tier CHECK (tier IN ('free', 'starter', 'professional', 'enterprise'))
);

-- A person holds a role over the whole site (organization_id null) or in one organisation.
CREATE TABLE role_grants (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    role TEXT NOT NULL,
    organization_id BIGINT,
    granted_at BIGINT NOT NULL,
    CONSTRAINT pk_role_grants PRIMARY KEY (id),
    CONSTRAINT fk_role_grants_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_role_grants_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT uq_role_grants_user_id_organization_id UNIQUE (user_id, organization_id)
);
CREATE UNIQUE INDEX uq_role_grants_user_id_site ON role_grants (user_id) WHERE organization_id IS NULL;
CREATE INDEX ix_role_grants_organization_id ON role_grants (organization_id);

CREATE TABLE sessions (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    ip_address TEXT,
    user_agent TEXT,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT fk_sessions_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_sessions_user_id ON sessions (user_id);

CREATE TABLE personal_tokens (
    id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    CONSTRAINT pk_personal_tokens PRIMARY KEY (id),
    CONSTRAINT fk_personal_tokens_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT uq_personal_tokens_token_hash UNIQUE (token_hash)
);
CREATE INDEX ix_personal_tokens_user_id ON personal_tokens (user_id);

-- Invariant, kept by every statement that changes a row: limit_value is null or used <= limit_value when something is taken.
CREATE TABLE quotas (
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    limit_value BIGINT,
    used BIGINT NOT NULL,
    CONSTRAINT pk_quotas PRIMARY KEY (organization_id, resource),
    CONSTRAINT fk_quotas_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT ck_quotas_used CHECK (used >= 0)
);

CREATE TABLE projects (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    requirements TEXT NOT NULL,
    status TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_projects PRIMARY KEY (id),
    CONSTRAINT fk_projects_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX ix_projects_organization_id_id ON projects (organization_id, id);

-- No foreign keys: the trail outlives what it tells of.
CREATE TABLE audit_entries (
    id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    organization_id BIGINT,
    actor_kind TEXT NOT NULL,
    actor_id BIGINT,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_id TEXT,
    description TEXT NOT NULL,
    success BOOLEAN NOT NULL,
    before_json TEXT,
    after_json TEXT,
    ip_address TEXT,
    user_agent TEXT,
    request_id TEXT,
    CONSTRAINT pk_audit_entries PRIMARY KEY (id)
);
CREATE INDEX ix_audit_entries_organization_id_id ON audit_entries (organization_id, id);
