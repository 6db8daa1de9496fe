-- What a project must be like for its runs to go on, as JSON; null: what its organisation set alone.
ALTER TABLE projects ADD COLUMN quality_gate TEXT;

-- Why the gate holds a paused run; null: it does not.
ALTER TABLE runs ADD COLUMN held TEXT;
