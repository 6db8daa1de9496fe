-- The first schema: people, organisations, quotas, projects, runs, models, plugins, audit.
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

-- `used` is settled consumption; `granted` is what running processes hold and may still consume.
-- Invariant, kept by every statement that changes the row: limit_value is null or used + granted <= limit_value at the time of a grant.
CREATE TABLE quotas (
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    limit_value BIGINT,
    used BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    CONSTRAINT pk_quotas PRIMARY KEY (organization_id, resource),
    CONSTRAINT fk_quotas_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT ck_quotas_used CHECK (used >= 0),
    CONSTRAINT ck_quotas_granted CHECK (granted >= 0)
);

-- What each process holds of a quota; rows of a process that died are settled as used at the next start.
CREATE TABLE quota_grants (
    process TEXT NOT NULL,
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    amount BIGINT NOT NULL,
    CONSTRAINT pk_quota_grants PRIMARY KEY (process, organization_id, resource),
    CONSTRAINT fk_quota_grants_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);

CREATE TABLE usage_records (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    amount BIGINT NOT NULL,
    user_id BIGINT,
    project_id BIGINT,
    model TEXT,
    source TEXT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_usage_records PRIMARY KEY (id)
);
CREATE INDEX ix_usage_records_organization_id_at ON usage_records (organization_id, resource, at);

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

CREATE TABLE files (
    id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    path TEXT NOT NULL,
    path_key TEXT NOT NULL,
    language TEXT,
    size BIGINT NOT NULL,
    version BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    CONSTRAINT pk_files PRIMARY KEY (id),
    CONSTRAINT fk_files_project_id FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE,
    CONSTRAINT uq_files_project_id_path_key UNIQUE (project_id, path_key)
);
CREATE INDEX ix_files_project_id_id ON files (project_id, id);

CREATE TABLE file_versions (
    file_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    CONSTRAINT pk_file_versions PRIMARY KEY (file_id, version),
    CONSTRAINT fk_file_versions_file_id FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE
);

CREATE TABLE findings (
    id BIGINT NOT NULL,
    file_id BIGINT NOT NULL,
    file_version BIGINT NOT NULL,
    plugin TEXT NOT NULL,
    type TEXT NOT NULL,
    severity TEXT NOT NULL,
    message TEXT NOT NULL,
    line BIGINT,
    code TEXT,
    recommendation TEXT,
    CONSTRAINT pk_findings PRIMARY KEY (id),
    CONSTRAINT fk_findings_file_id FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE,
    CONSTRAINT ck_findings_severity CHECK (severity IN ('low', 'medium', 'high', 'critical'))
);
CREATE INDEX ix_findings_file_id ON findings (file_id);

CREATE TABLE runs (
    id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    requirement TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    iteration BIGINT NOT NULL,
    max_iterations BIGINT NOT NULL,
    skip_ui_design BOOLEAN NOT NULL,
    token_budget BIGINT,
    tokens_used BIGINT NOT NULL,
    error_code TEXT,
    error_detail TEXT,
    last_event BIGINT NOT NULL,
    user_id BIGINT,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    CONSTRAINT pk_runs PRIMARY KEY (id),
    CONSTRAINT fk_runs_project_id FOREIGN KEY (project_id) REFERENCES projects (id) ON DELETE CASCADE
);
CREATE INDEX ix_runs_project_id_id ON runs (project_id, id);

CREATE TABLE run_stages (
    run_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    stage TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    summary TEXT,
    answer TEXT,
    started_at BIGINT,
    finished_at BIGINT,
    CONSTRAINT pk_run_stages PRIMARY KEY (run_id, stage),
    CONSTRAINT fk_run_stages_run_id FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);

CREATE TABLE run_events (
    run_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_run_events PRIMARY KEY (run_id, number),
    CONSTRAINT fk_run_events_run_id FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE
);

-- Durable work. A job is claimed by a process until locked_until; a claim that ran out is anybody's.
CREATE TABLE jobs (
    id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    locked_by TEXT,
    locked_until BIGINT,
    last_error TEXT,
    CONSTRAINT pk_jobs PRIMARY KEY (id)
);
CREATE INDEX ix_jobs_run_at ON jobs (run_at, id);

CREATE TABLE llm_providers (
    id BIGINT NOT NULL,
    organization_id BIGINT,
    name TEXT NOT NULL,
    base_url TEXT NOT NULL,
    api_key_sealed BYTEA,
    models TEXT NOT NULL,
    context_length BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_llm_providers PRIMARY KEY (id),
    CONSTRAINT fk_llm_providers_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT uq_llm_providers_name UNIQUE (name)
);

CREATE TABLE plugins (
    id BIGINT NOT NULL,
    slug TEXT NOT NULL,
    config TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    error TEXT,
    calls BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    installed_at BIGINT NOT NULL,
    CONSTRAINT pk_plugins PRIMARY KEY (id),
    CONSTRAINT uq_plugins_slug UNIQUE (slug)
);

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

CREATE TABLE instance (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_instance PRIMARY KEY (name)
);
