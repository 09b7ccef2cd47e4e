-- Times are milliseconds since 1970. Names, tags and digests are plain text, compared as bytes.
-- Only INTEGER PRIMARY KEY, BLOB and WITHOUT ROWID are SQLite's own; the PostgreSQL twin says
-- BIGINT GENERATED ALWAYS AS IDENTITY, BYTEA and COLLATE "C" in their places.

CREATE TABLE repository (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    project     TEXT    NOT NULL,
    -- A repository of which only lists are known is not shown in the catalog.
    has_content BOOLEAN NOT NULL
);
CREATE INDEX repository_content ON repository (name) WHERE has_content;

-- Content that is in the store, manifests too.
CREATE TABLE blob (
    digest     TEXT   NOT NULL PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
) WITHOUT ROWID;

-- A blob is visible in a repository by this row and nothing else.
CREATE TABLE link (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    digest        TEXT   NOT NULL REFERENCES blob (digest),
    PRIMARY KEY (repository_id, digest)
) WITHOUT ROWID;
CREATE INDEX link_digest ON link (digest);

CREATE TABLE manifest (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    digest        TEXT   NOT NULL REFERENCES blob (digest),
    media_type    TEXT   NOT NULL,
    size_bytes    BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    -- What a referrer's descriptor says; annotations (JSON) only with a subject, so that other rows stay small.
    artifact_type TEXT,
    annotations   TEXT,
    PRIMARY KEY (repository_id, digest)
) WITHOUT ROWID;
CREATE INDEX manifest_digest ON manifest (digest);

-- What the manifests of a repository name: blobs, manifests, and the one that is their subject.
-- The key begins with the child: that is how it is asked.
CREATE TABLE reference (
    repository_id BIGINT NOT NULL,
    child         TEXT   NOT NULL,
    kind          TEXT   NOT NULL CHECK (kind IN ('blob', 'manifest', 'subject')),
    parent        TEXT   NOT NULL,
    media_type    TEXT   NOT NULL,
    size_bytes    BIGINT,
    PRIMARY KEY (repository_id, child, kind, parent),
    FOREIGN KEY (repository_id, parent) REFERENCES manifest (repository_id, digest)
) WITHOUT ROWID;
CREATE INDEX reference_parent ON reference (repository_id, parent);

-- What a tag points to need not be here: a HEAD may have told of it. A tag that was pulled keeps that manifest while
-- the one that a later HEAD told of is not here yet.
CREATE TABLE tag (
    repository_id   BIGINT NOT NULL REFERENCES repository (id),
    name            TEXT   NOT NULL,
    digest          TEXT   NOT NULL,
    media_type      TEXT   NOT NULL,
    size_bytes      BIGINT NOT NULL,
    told_digest     TEXT,
    told_media_type TEXT,
    told_size_bytes BIGINT,
    checked_at      BIGINT NOT NULL,
    PRIMARY KEY (repository_id, name)
) WITHOUT ROWID;
CREATE INDEX tag_digest ON tag (repository_id, digest);
CREATE INDEX tag_told ON tag (repository_id, told_digest) WHERE told_digest IS NOT NULL;

-- Lists learned whole from remotes. Bodies are large, hence with a rowid.
CREATE TABLE list (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    kind          TEXT   NOT NULL CHECK (kind IN ('tags', 'referrers')),
    key           TEXT   NOT NULL,
    body          BLOB   NOT NULL,
    fetched_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, kind, key)
);

-- What the planner is to assume of sizes: large repositories. Without it SQLite takes a repository for ten rows and
-- reads all of its tags instead of using tag_digest. Only SQLite needs this; ANALYZE is never run on real rows.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('link', 'link', '1000000 10000 1'),
    ('link', 'link_digest', '1000000 10 1'),
    ('manifest', 'manifest', '1000000 10000 1'),
    ('manifest', 'manifest_digest', '1000000 10 1'),
    ('reference', 'reference', '1000000 10000 10 10 1'),
    ('reference', 'reference_parent', '1000000 10000 10 10 1'),
    ('tag', 'tag', '1000000 10000 1'),
    ('tag', 'tag_digest', '1000000 10000 10 1');
ANALYZE sqlite_schema;
