-- Personal fields of the trail are sealed with a key per person. Erasing somebody destroys their key: what was sealed
-- with it can no longer be read, and the entries stay as they were written, so what was proved over them still holds.
-- The keys lie beside what they seal: they are there to be destroyed, not to keep who holds the database out.

-- The person an entry is about; null when it is about no person.
ALTER TABLE audit_entries ADD COLUMN person_id BIGINT;
-- Which columns hold a sealed value: 1 actor_name, 2 ip_address, 4 user_agent, 8 description, 16 before_json, 32 after_json.
ALTER TABLE audit_entries ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;

-- No foreign key: entries outlive the account. A destroyed key leaves its row, so that no other takes its place.
CREATE TABLE person_keys (
    person_id BIGINT NOT NULL,
    key BYTEA,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    CONSTRAINT pk_person_keys PRIMARY KEY (person_id),
    CONSTRAINT ck_person_keys_destroyed CHECK ((key IS NULL) = (destroyed_at IS NOT NULL))
);
