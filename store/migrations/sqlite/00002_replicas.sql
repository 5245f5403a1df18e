-- +goose Up
-- Every dnsctl mdns serve that runs writes a row about itself.
CREATE TABLE replicas (
    id         TEXT PRIMARY KEY,
    host       TEXT NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT NOT NULL,
    listen     TEXT NOT NULL, -- JSON list
    http       TEXT NOT NULL,
    holder     TEXT NOT NULL, -- its name in leases
    state      TEXT NOT NULL, -- ready, not-ready, draining
    reason     TEXT NOT NULL,
    feed_pos   INTEGER NOT NULL, -- what it serves
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
);

-- What the leader has seen of each server.
CREATE TABLE health (
    server_id  INTEGER PRIMARY KEY REFERENCES servers (id),
    blocked    TEXT NOT NULL, -- why nothing is written to it, in a word; empty: it may be
    reason     TEXT NOT NULL,
    since      INTEGER NOT NULL, -- blocked so, or not blocked
    marker_pos INTEGER NOT NULL, -- as it showed when it was looked at
    looked_at  INTEGER,
    proven_at  INTEGER -- when the wire last proved that a zone there is as it should be
);

ALTER TABLE leases ADD COLUMN taken_at INTEGER NOT NULL DEFAULT 0;
