-- Who was erased: numbers and times only. A restored backup may hold their accounts again; the server then erases them anew,
-- by this table and its copy in a file beside the database, which no restore takes back.
CREATE TABLE erasures (
    person_id BIGINT NOT NULL,
    -- Tells the account from one that has its number after a restore.
    account_created_at BIGINT NOT NULL,
    erased_at BIGINT NOT NULL,
    CONSTRAINT pk_erasures PRIMARY KEY (person_id, account_created_at)
);
