-- Personal tokens that allow less than their owner may, and which token an entry of the trail was caused with.

-- Codes of permissions, as JSON; null: whatever the owner may.
ALTER TABLE personal_tokens ADD COLUMN scopes TEXT;
-- The only organisation it counts in; null: wherever the owner's roles do. It goes with the organisation.
ALTER TABLE personal_tokens ADD COLUMN organization_id BIGINT CONSTRAINT fk_personal_tokens_organization_id
    REFERENCES organizations (id) ON DELETE CASCADE;
CREATE INDEX ix_personal_tokens_organization_id ON personal_tokens (organization_id);
-- From where it was used last.
ALTER TABLE personal_tokens ADD COLUMN last_used_ip TEXT;

-- No foreign key: the trail outlives the token. The name is sealed with the actor's key: 64 in `sealed`.
ALTER TABLE audit_entries ADD COLUMN token_id BIGINT;
ALTER TABLE audit_entries ADD COLUMN token_name TEXT;
