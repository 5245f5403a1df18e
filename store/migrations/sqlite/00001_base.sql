-- +goose Up
-- Times are Unix milliseconds. Owner columns hold zone.Key; wire data is BLOB.
CREATE TABLE store (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    store_id   TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    recipient  TEXT    NOT NULL, -- whom secrets are sealed to
    created_at INTEGER NOT NULL
);

CREATE TABLE epochs (
    epoch     INTEGER PRIMARY KEY,
    id        TEXT    NOT NULL,
    feed_pos  INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    opened_at INTEGER NOT NULL
);

CREATE TABLE feed_head (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    pos       INTEGER NOT NULL,
    compacted INTEGER NOT NULL DEFAULT 0 -- entries up to here are kept one in a thousand
);

CREATE TABLE feed (
    pos        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    zone_id    INTEGER NOT NULL DEFAULT 0,
    edition_id INTEGER NOT NULL DEFAULT 0,
    version    INTEGER NOT NULL DEFAULT 0,
    serial     INTEGER NOT NULL DEFAULT 0,
    at         INTEGER NOT NULL
);

-- A row stays for ever, also when its zone is deleted and purged: with its
-- edition it says the last serial of the name.
CREATE TABLE zones (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         BLOB    NOT NULL, -- zone.Key
    name_case    BLOB,             -- wire form where it is not the lower-case one
    kind         TEXT    NOT NULL,
    serial_style TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    deleted_at   INTEGER,
    purged_at    INTEGER
);
CREATE UNIQUE INDEX zones_live ON zones (name) WHERE deleted_at IS NULL;
CREATE INDEX zones_name ON zones (name);

CREATE TABLE pools (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT    NOT NULL UNIQUE,
    primaries      TEXT    NOT NULL, -- JSON lists
    ns             TEXT    NOT NULL,
    email          TEXT    NOT NULL,
    require_tsig   INTEGER NOT NULL,
    allow_transfer TEXT    NOT NULL,
    unmanaged      TEXT    NOT NULL,
    protect        TEXT    NOT NULL,
    compare_every  INTEGER NOT NULL, -- milliseconds
    created_at     INTEGER NOT NULL
);

CREATE TABLE memberships (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    zone_id     INTEGER NOT NULL REFERENCES zones (id),
    pool_id     INTEGER NOT NULL,
    pool_name   TEXT    NOT NULL, -- kept for the tombstone
    incarnation TEXT    NOT NULL,
    first_feed  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    deleted_at  INTEGER,
    last_serial INTEGER
);
CREATE UNIQUE INDEX memberships_live ON memberships (zone_id, pool_id) WHERE deleted_at IS NULL;
CREATE INDEX memberships_pool ON memberships (pool_id, zone_id);
CREATE INDEX memberships_past ON memberships (zone_id) WHERE deleted_at IS NOT NULL;

CREATE TABLE editions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    zone_id    INTEGER NOT NULL REFERENCES zones (id),
    audience   TEXT    NOT NULL DEFAULT '',
    signing    TEXT    NOT NULL DEFAULT '',
    content_id INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    serial     INTEGER NOT NULL,
    soa        BLOB    NOT NULL, -- the SOA record in wire form
    signed     INTEGER NOT NULL,
    rrsets     INTEGER NOT NULL,
    records    INTEGER NOT NULL,
    octets     INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (zone_id, audience, signing)
);

-- A content is a set of RRsets: staged (no reader sees it), live (an edition's),
-- or dead (to be swept).
CREATE TABLE contents (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    state      TEXT    NOT NULL, -- staged, live, dead
    expires_at INTEGER NOT NULL DEFAULT 0, -- staged: swept after this unless renewed
    created_at INTEGER NOT NULL
);
CREATE INDEX contents_state ON contents (state) WHERE state <> 'live';

CREATE TABLE rrsets (
    content_id INTEGER NOT NULL,
    owner      BLOB    NOT NULL,
    type       INTEGER NOT NULL CHECK (type BETWEEN 1 AND 65535),
    covers     INTEGER NOT NULL CHECK (covers BETWEEN 0 AND 65535),
    ttl        INTEGER NOT NULL CHECK (ttl BETWEEN 0 AND 4294967295),
    owner_case BLOB, -- wire form where it is not the lower-case one
    rdata      BLOB    NOT NULL, -- zone.Rdata
    PRIMARY KEY (content_id, owner, type, covers)
) WITHOUT ROWID;

CREATE TABLE deltas (
    edition_id  INTEGER NOT NULL,
    version     INTEGER NOT NULL, -- of the edition after it
    from_serial INTEGER NOT NULL,
    to_serial   INTEGER NOT NULL,
    removed     BLOB    NOT NULL, -- wire records; the old SOA first
    added       BLOB    NOT NULL, -- wire records; the new SOA first
    octets      INTEGER NOT NULL,
    event_id    INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (edition_id, version)
);

CREATE TABLE servers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    type       TEXT    NOT NULL,
    address    TEXT    NOT NULL,
    probe      TEXT    NOT NULL DEFAULT '',
    notify     TEXT    NOT NULL DEFAULT '',
    control    TEXT    NOT NULL,
    stats      TEXT    NOT NULL DEFAULT '',
    view       TEXT    NOT NULL DEFAULT '',
    state      TEXT    NOT NULL,
    accepted   INTEGER NOT NULL,
    new        INTEGER NOT NULL,
    credential BLOB,
    settings   TEXT    NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL
);

-- The row of a pool that a server has left stays: the zones that it had from
-- there are stale on it, not foreign.
CREATE TABLE server_pools (
    server_id INTEGER NOT NULL REFERENCES servers (id),
    pool_id   INTEGER NOT NULL,
    left_at   INTEGER,
    PRIMARY KEY (server_id, pool_id)
);
CREATE INDEX server_pools_pool ON server_pools (pool_id) WHERE left_at IS NULL;

CREATE TABLE markers (
    server_id INTEGER PRIMARY KEY REFERENCES servers (id),
    name      BLOB    NOT NULL UNIQUE, -- zone.Key
    feed_pos  INTEGER NOT NULL DEFAULT 0,
    placed_at INTEGER           -- first proven on the server
);

CREATE TABLE tsig_keys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       BLOB    NOT NULL UNIQUE, -- zone.Key
    algorithm  BLOB    NOT NULL, -- zone.Key
    secret     BLOB    NOT NULL, -- sealed
    pool_id    INTEGER REFERENCES pools (id),
    zone_id    INTEGER REFERENCES zones (id),
    created_at INTEGER NOT NULL,
    retired_at INTEGER,
    CHECK ((pool_id IS NULL) <> (zone_id IS NULL))
);

CREATE TABLE tasks (
    server_id   INTEGER NOT NULL REFERENCES servers (id),
    zone        BLOB    NOT NULL, -- zone.Key
    want        TEXT    NOT NULL, -- present or absent
    incarnation TEXT    NOT NULL,
    serial      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    next_at     INTEGER NOT NULL,
    last_error  TEXT    NOT NULL DEFAULT '',
    leased_by   TEXT    NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (server_id, zone)
);
CREATE INDEX tasks_due ON tasks (next_at);

CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL, -- JSON
    command TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    zone_id INTEGER,
    zone    BLOB,
    server  TEXT    NOT NULL DEFAULT '',
    serial  INTEGER,
    comment TEXT    NOT NULL DEFAULT '',
    before  TEXT    NOT NULL DEFAULT '',
    result  TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX events_zone ON events (zone_id, id) WHERE zone_id IS NOT NULL;
CREATE INDEX events_name ON events (zone, id) WHERE zone IS NOT NULL;
CREATE INDEX events_server ON events (server, id) WHERE server <> '';

CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id   INTEGER NOT NULL,
    server      TEXT    NOT NULL,
    view        TEXT    NOT NULL DEFAULT '',
    zone        BLOB    NOT NULL, -- zone.Key
    reason      TEXT    NOT NULL,
    settings    TEXT    NOT NULL,
    serial      INTEGER,
    records     INTEGER NOT NULL,
    content     BLOB    NOT NULL, -- wire records, compressed by gzip
    taken_at    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    restored_at INTEGER, -- back on the server and protected there
    released_at INTEGER
);
CREATE INDEX quarantine_zone ON quarantine (server_id, zone);

-- Foreign zones that the leader's periodic comparison has seen, and deletions
-- of foreign zones for the 24-hour limit.
CREATE TABLE sightings (
    server_id  INTEGER NOT NULL,
    zone       BLOB    NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    PRIMARY KEY (server_id, zone)
);
CREATE TABLE foreign_deletions (
    server_id INTEGER NOT NULL,
    zone      BLOB    NOT NULL,
    at        INTEGER NOT NULL
);
CREATE INDEX foreign_deletions_at ON foreign_deletions (server_id, at);

CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    holder     TEXT    NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

CREATE TABLE cursors (
    name TEXT   PRIMARY KEY,
    pos  INTEGER NOT NULL
);
