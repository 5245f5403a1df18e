-- +goose Up
ALTER TABLE pools ADD COLUMN catalog TEXT NOT NULL DEFAULT ''; -- name of its catalog zone in lower case; empty: it has none

-- How far the catalog zone of a pool is. The zone itself says who is in it.
CREATE TABLE catalogs (
    pool_id  BIGINT PRIMARY KEY REFERENCES pools (id),
    epoch    BIGINT NOT NULL, -- that it was last published in
    feed_pos BIGINT NOT NULL, -- what came up to here is in it
    held     BIGINT NOT NULL, -- members that should leave and are held back
    reason   TEXT NOT NULL, -- why; empty when nothing is in the way
    since    BIGINT NOT NULL -- held back for that reason
);
