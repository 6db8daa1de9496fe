-- What a run began with: the stages and roles of a plugin's workflow as JSON; null: the platform's own order.

ALTER TABLE runs ADD COLUMN plan TEXT;
-- The place of the stage it is in, from 0; null in runs from before, whose stage says it.
ALTER TABLE runs ADD COLUMN place BIGINT;
