-- +goose Up
CREATE INDEX deltas_at ON deltas (at);
