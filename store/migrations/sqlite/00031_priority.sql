-- +goose Up
ALTER TABLE zones ADD COLUMN priority INTEGER NOT NULL DEFAULT 0; -- nameservers get zones of a higher one first
