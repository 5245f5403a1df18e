-- +goose Up
ALTER TABLE zones ADD COLUMN catalog_group TEXT NOT NULL DEFAULT ''; -- group property in catalogs (RFC 9432 section 4.4.2); empty: none
ALTER TABLE catalogs ADD COLUMN members INTEGER NOT NULL DEFAULT 0; -- that the catalog zone has
