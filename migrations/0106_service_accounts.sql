-- Accounts of programs, each of one organisation, with which it goes. They have no password and no address.

ALTER TABLE users ADD COLUMN service_of BIGINT CONSTRAINT fk_users_service_of
    REFERENCES organizations (id) ON DELETE CASCADE;
-- What the program is for; null for people.
ALTER TABLE users ADD COLUMN description TEXT;
CREATE INDEX ix_users_service_of ON users (service_of, id);
