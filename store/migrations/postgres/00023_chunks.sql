-- +goose Up
-- The RRsets of a large content once more, in pieces that are quicker to read
-- than a row for each. They are a copy: rrsets decides.
CREATE TABLE chunks (
    content_id BIGINT NOT NULL,
    first      BYTEA  NOT NULL, -- zone.Key: the owners from here to the next chunk's first
    data       BYTEA  NOT NULL,
    PRIMARY KEY (content_id, first)
);
-- Compressing them would take longer than reading them.
ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL;
-- The version of the edition that its content's chunks are of; they are current
-- when it is the edition's. Negative while they are being made.
ALTER TABLE editions ADD COLUMN chunked BIGINT NOT NULL DEFAULT 0;
