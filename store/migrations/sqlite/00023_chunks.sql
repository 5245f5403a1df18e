-- +goose Up
-- The RRsets of a large content once more, in pieces that are quicker to read
-- than a row for each. They are a copy: rrsets decides.
CREATE TABLE chunks (
    content_id INTEGER NOT NULL,
    first      BLOB    NOT NULL, -- zone.Key: the owners from here to the next chunk's first
    data       BLOB    NOT NULL,
    PRIMARY KEY (content_id, first)
);
-- The version of the edition that its content's chunks are of; they are current
-- when it is the edition's. Negative while they are being made.
ALTER TABLE editions ADD COLUMN chunked INTEGER NOT NULL DEFAULT 0;
