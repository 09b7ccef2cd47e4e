-- The twin of sqlite/0001_init.sql, where the columns are explained. COLLATE "C": names are compared as bytes, whatever
-- the collation of the database.

CREATE TABLE repository (
    id          BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        TEXT    COLLATE "C" NOT NULL UNIQUE,
    project     TEXT    COLLATE "C" NOT NULL,
    has_content BOOLEAN NOT NULL
);
CREATE INDEX repository_content ON repository (name) WHERE has_content;

CREATE TABLE blob (
    digest     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE link (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    digest        TEXT   COLLATE "C" NOT NULL REFERENCES blob (digest),
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX link_digest ON link (digest);

CREATE TABLE manifest (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    digest        TEXT   COLLATE "C" NOT NULL REFERENCES blob (digest),
    media_type    TEXT   COLLATE "C" NOT NULL,
    size_bytes    BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    artifact_type TEXT   COLLATE "C",
    annotations   TEXT   COLLATE "C",
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX manifest_digest ON manifest (digest);

CREATE TABLE reference (
    repository_id BIGINT NOT NULL,
    child         TEXT   COLLATE "C" NOT NULL,
    kind          TEXT   COLLATE "C" NOT NULL CHECK (kind IN ('blob', 'manifest', 'subject')),
    parent        TEXT   COLLATE "C" NOT NULL,
    media_type    TEXT   COLLATE "C" NOT NULL,
    size_bytes    BIGINT,
    PRIMARY KEY (repository_id, child, kind, parent),
    FOREIGN KEY (repository_id, parent) REFERENCES manifest (repository_id, digest)
);
CREATE INDEX reference_parent ON reference (repository_id, parent);

CREATE TABLE tag (
    repository_id   BIGINT NOT NULL REFERENCES repository (id),
    name            TEXT   COLLATE "C" NOT NULL,
    digest          TEXT   COLLATE "C" NOT NULL,
    media_type      TEXT   COLLATE "C" NOT NULL,
    size_bytes      BIGINT NOT NULL,
    told_digest     TEXT   COLLATE "C",
    told_media_type TEXT   COLLATE "C",
    told_size_bytes BIGINT,
    checked_at      BIGINT NOT NULL,
    PRIMARY KEY (repository_id, name)
);
CREATE INDEX tag_digest ON tag (repository_id, digest);
CREATE INDEX tag_told ON tag (repository_id, told_digest) WHERE told_digest IS NOT NULL;

CREATE TABLE list (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    kind          TEXT   COLLATE "C" NOT NULL CHECK (kind IN ('tags', 'referrers')),
    key           TEXT   COLLATE "C" NOT NULL,
    body          BYTEA  NOT NULL,
    fetched_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, kind, key)
);
