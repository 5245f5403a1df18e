-- The database of PowerDNS 4.7 on SQLite: the tables and columns that its
-- queries name (pdns_server --config --launch=gsqlite3 shows them), with indexes
-- for what a secondary asks. empty.sqlite3.gz is a database of just this;
-- go test ./nameserver/powerdns -update makes it anew.
CREATE TABLE domains (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    type TEXT NOT NULL,
    master TEXT,
    last_check INTEGER,
    notified_serial INTEGER,
    account TEXT,
    options TEXT,
    catalog TEXT
);
CREATE INDEX domains_by_catalog ON domains (catalog);

CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER REFERENCES domains ON DELETE CASCADE,
    name TEXT,
    type TEXT,
    content TEXT,
    ttl INTEGER,
    prio INTEGER,
    disabled INTEGER DEFAULT 0,
    ordername TEXT,
    auth INTEGER DEFAULT 1
);
CREATE INDEX records_by_name ON records (name, type);
CREATE INDEX records_by_order ON records (domain_id, ordername);

CREATE TABLE comments (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    account TEXT,
    comment TEXT NOT NULL
);
CREATE INDEX comments_by_rrset ON comments (domain_id, name, type);

CREATE TABLE domainmetadata (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains ON DELETE CASCADE,
    kind TEXT COLLATE NOCASE,
    content TEXT
);
CREATE INDEX domainmetadata_by_domain ON domainmetadata (domain_id, kind);

CREATE TABLE cryptokeys (
    id INTEGER PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains ON DELETE CASCADE,
    flags INTEGER NOT NULL,
    active INTEGER,
    published INTEGER DEFAULT 1,
    content TEXT
);
CREATE INDEX cryptokeys_by_domain ON cryptokeys (domain_id);

CREATE TABLE tsigkeys (
    id INTEGER PRIMARY KEY,
    name TEXT COLLATE NOCASE,
    algorithm TEXT COLLATE NOCASE,
    secret TEXT,
    UNIQUE (name, algorithm)
);

CREATE TABLE supermasters (
    ip TEXT NOT NULL,
    nameserver TEXT NOT NULL COLLATE NOCASE,
    account TEXT NOT NULL,
    PRIMARY KEY (ip, nameserver)
);
