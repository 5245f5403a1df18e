-- +goose Up
ALTER TABLE servers ADD COLUMN provision TEXT NOT NULL DEFAULT 'control'; -- how it comes to its zones: control, catalog
