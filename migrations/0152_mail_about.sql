-- What a mail is about, by its kind: of an invitation, the invitation. A mail that waits goes with it.
ALTER TABLE mails ADD COLUMN about_id BIGINT;
CREATE INDEX ix_mails_about_id ON mails (about_id);
