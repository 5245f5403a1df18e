-- +goose Up
ALTER TABLE pools ADD COLUMN min_active BIGINT NOT NULL DEFAULT 1; -- servers in service that a drain leaves
ALTER TABLE servers ADD COLUMN drain_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN drain_by TEXT NOT NULL DEFAULT ''; -- JSON
ALTER TABLE servers ADD COLUMN drained_at BIGINT; -- NULL: it is not drained
ALTER TABLE health ADD COLUMN told BIGINT NOT NULL DEFAULT 0; -- it shows a sound marker and gets NOTIFY
