-- Quotas have scopes, periods and modes; what is counted is kept for each period; usage is rolled up by day.

CREATE TABLE quotas_before AS SELECT organization_id, resource, limit_value, used, granted FROM quotas;
CREATE TABLE quota_grants_before AS SELECT process, organization_id, resource, amount, renewed_at FROM quota_grants;
DROP TABLE quota_grants;
DROP TABLE quotas;

-- Days and periods begin at this place's midnight; written at every start.
CREATE TABLE quota_site (
    id BIGINT NOT NULL,
    time_zone TEXT NOT NULL,
    CONSTRAINT pk_quota_site PRIMARY KEY (id),
    CONSTRAINT ck_quota_site_id CHECK (id = 1)
);
INSERT INTO quota_site (id, time_zone) VALUES (1, 'UTC');

CREATE TABLE quotas (
    id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    scope TEXT NOT NULL,
    -- Of the organisation, the team or the person.
    scope_id BIGINT NOT NULL,
    -- Null: unlimited.
    limit_value BIGINT,
    period TEXT NOT NULL,
    mode TEXT NOT NULL,
    -- Percentages of the limit, JSON.
    thresholds TEXT NOT NULL,
    -- What counts instead of limit_value before override_until; null there: nothing does.
    override_limit BIGINT,
    override_until BIGINT,
    override_reason TEXT,
    -- Requests or tokens a minute; null: as many as come.
    per_minute BIGINT,
    -- False: as the tier has it.
    custom BOOLEAN NOT NULL,
    CONSTRAINT pk_quotas PRIMARY KEY (id),
    CONSTRAINT uq_quotas_organization_id_resource_scope_id UNIQUE (organization_id, resource, scope_id),
    CONSTRAINT fk_quotas_organization_id FOREIGN KEY (organization_id) REFERENCES organizations (id) ON DELETE CASCADE,
    CONSTRAINT ck_quotas_scope CHECK (scope IN ('organization', 'team', 'person')),
    CONSTRAINT ck_quotas_period CHECK (period IN ('none', 'daily', 'weekly', 'monthly', 'yearly')),
    CONSTRAINT ck_quotas_mode CHECK (mode IN ('hard', 'soft', 'shadow')),
    CONSTRAINT ck_quotas_limit_value CHECK (limit_value >= 0),
    CONSTRAINT ck_quotas_per_minute CHECK (per_minute > 0)
);

-- `used` is settled use in one period, `granted` is what running processes hold and may still use in it.
-- Invariant, kept by every statement that takes or grants: in mode hard, the limit is null or used + granted <= limit.
CREATE TABLE quota_counters (
    quota_id BIGINT NOT NULL,
    -- The period's kind and its first day, such as `monthly 2026-11-01`; `none`.
    period TEXT NOT NULL,
    used BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    -- The highest threshold that was told, in percent.
    warned BIGINT NOT NULL,
    -- What a hard limit would have refused.
    blocked BIGINT NOT NULL,
    CONSTRAINT pk_quota_counters PRIMARY KEY (quota_id, period),
    CONSTRAINT fk_quota_counters_quota_id FOREIGN KEY (quota_id) REFERENCES quotas (id) ON DELETE CASCADE,
    CONSTRAINT ck_quota_counters_used CHECK (used >= 0),
    CONSTRAINT ck_quota_counters_granted CHECK (granted >= 0)
);

-- What each process holds of a quota. A process renews its rows while it lives; those of one that died count as used.
CREATE TABLE quota_grants (
    process TEXT NOT NULL,
    quota_id BIGINT NOT NULL,
    period TEXT NOT NULL,
    amount BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    CONSTRAINT pk_quota_grants PRIMARY KEY (process, quota_id, period),
    CONSTRAINT fk_quota_grants_quota_id FOREIGN KEY (quota_id) REFERENCES quotas (id) ON DELETE CASCADE
);
CREATE INDEX ix_quota_grants_quota_id ON quota_grants (quota_id);

-- The last batch of use that a process wrote: how a commit whose answer was lost is told from one that failed.
CREATE TABLE quota_batches (
    process TEXT NOT NULL,
    batch BIGINT NOT NULL,
    CONSTRAINT pk_quota_batches PRIMARY KEY (process)
);

-- Use by day, person, project and model; 0 and '' where there is none. No foreign keys: see usage_records.
CREATE TABLE usage_daily (
    organization_id BIGINT NOT NULL,
    resource TEXT NOT NULL,
    day TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    model TEXT NOT NULL,
    amount BIGINT NOT NULL,
    records BIGINT NOT NULL,
    CONSTRAINT pk_usage_daily PRIMARY KEY (organization_id, resource, day, user_id, project_id, model)
);

-- What the one who reported the use said about it, JSON.
ALTER TABLE usage_records ADD COLUMN metadata TEXT;
-- Whose quota a project and a version count against, besides the organisation's; null: nobody's.
ALTER TABLE projects ADD COLUMN created_by_id BIGINT;
ALTER TABLE file_versions ADD COLUMN created_by_id BIGINT;
