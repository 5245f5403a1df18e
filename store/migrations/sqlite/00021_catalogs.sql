-- +goose Up
ALTER TABLE pools ADD COLUMN catalog TEXT NOT NULL DEFAULT ''; -- name of its catalog zone in lower case; empty: it has none

-- How far the catalog zone of a pool is. The zone itself says who is in it.
CREATE TABLE catalogs (
    pool_id  INTEGER PRIMARY KEY REFERENCES pools (id),
    epoch    INTEGER NOT NULL, -- that it was last published in
    feed_pos INTEGER NOT NULL, -- what came up to here is in it
    held     INTEGER NOT NULL, -- members that should leave and are held back
    reason   TEXT NOT NULL, -- why; empty when nothing is in the way
    since    INTEGER NOT NULL -- held back for that reason
);
