-- +goose Up
-- What an event did to a zone's content is told even when its delta is not kept.
ALTER TABLE events ADD COLUMN from_serial BIGINT;
ALTER TABLE events ADD COLUMN removed BIGINT; -- records, as added; NULL where content did not change
ALTER TABLE events ADD COLUMN added BIGINT;
