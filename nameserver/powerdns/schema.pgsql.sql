-- The database of PowerDNS 4.7 on PostgreSQL: the tables and columns that its
-- queries name (pdns_server --config --launch=gpgsql shows them), with indexes for
-- what a secondary asks. Run it as the user that PowerDNS connects as.
CREATE TABLE domains (
    id SERIAL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    master TEXT,
    last_check INTEGER,
    notified_serial BIGINT,
    account TEXT,
    options TEXT,
    catalog TEXT
);
CREATE INDEX domains_by_catalog ON domains (catalog);

CREATE TABLE records (
    id BIGSERIAL PRIMARY KEY,
    domain_id INTEGER REFERENCES domains ON DELETE CASCADE,
    name TEXT,
    type TEXT,
    content TEXT,
    ttl INTEGER,
    prio INTEGER,
    disabled BOOLEAN DEFAULT false,
    ordername TEXT,
    auth BOOLEAN DEFAULT true
);
CREATE INDEX records_by_name ON records (name, type);
CREATE INDEX records_by_zone ON records (domain_id);
CREATE INDEX records_by_order ON records (domain_id, ordername text_pattern_ops);

CREATE TABLE comments (
    id SERIAL PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    account TEXT,
    comment TEXT NOT NULL
);
CREATE INDEX comments_by_rrset ON comments (domain_id, name, type);

CREATE TABLE domainmetadata (
    id SERIAL PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains ON DELETE CASCADE,
    kind TEXT,
    content TEXT
);
CREATE INDEX domainmetadata_by_domain ON domainmetadata (domain_id, kind);

CREATE TABLE cryptokeys (
    id SERIAL PRIMARY KEY,
    domain_id INTEGER NOT NULL REFERENCES domains ON DELETE CASCADE,
    flags INTEGER NOT NULL,
    active BOOLEAN,
    published BOOLEAN DEFAULT true,
    content TEXT
);
CREATE INDEX cryptokeys_by_domain ON cryptokeys (domain_id);

CREATE TABLE tsigkeys (
    id SERIAL PRIMARY KEY,
    name TEXT,
    algorithm TEXT,
    secret TEXT,
    UNIQUE (name, algorithm)
);

CREATE TABLE supermasters (
    ip TEXT NOT NULL,
    nameserver TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (ip, nameserver)
);
