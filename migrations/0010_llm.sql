-- Tokens are metered by grant, model servers are configured.

-- `used` is settled consumption; `granted` is what running processes hold and may still consume.
-- Invariant, kept by every statement that grants: limit_value is null or used + granted <= limit_value.
ALTER TABLE quotas ADD COLUMN granted BIGINT NOT NULL DEFAULT 0 CONSTRAINT ck_quotas_granted CHECK (granted >= 0);

INSERT INTO quotas (organization_id, resource, limit_value, used, granted)
SELECT id, 'llm_tokens', CASE tier WHEN 'enterprise' THEN NULL WHEN 'professional' THEN 10000000 WHEN 'starter' THEN 1000000 ELSE 100000 END, 0, 0
FROM organizations;

-- What each process holds of a quota. A process renews its rows while it lives; those of one that died count as used.
CREATE TABLE quota_grants (
    process TEXT NOT NULL,
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    amount BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    CONSTRAINT pk_quota_grants PRIMARY KEY (process, organization_id, resource),
    CONSTRAINT fk_quota_grants_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);

-- No foreign keys: what was used stays known when the one who used it is gone.
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
