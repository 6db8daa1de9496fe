-- Notices also go out as mails, once each; those from before this step do not.
ALTER TABLE notices ADD COLUMN mailed_at BIGINT;
UPDATE notices SET mailed_at = created_at;
CREATE INDEX ix_notices_unmailed ON notices (id) WHERE mailed_at IS NULL;

-- Which notices a person wants as mails: all, important or none. No row: important.
CREATE TABLE notice_preferences (
    user_id BIGINT NOT NULL,
    mail TEXT NOT NULL,
    CONSTRAINT pk_notice_preferences PRIMARY KEY (user_id),
    CONSTRAINT fk_notice_preferences_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_notice_preferences_mail CHECK (mail IN ('all', 'important', 'none'))
);
