-- The twin of sqlite/0005_cluster.sql, where the columns are explained.

CREATE VIEW clock AS SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now;

CREATE TABLE member (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    advertise_url TEXT   COLLATE "C" NOT NULL,
    version       TEXT   COLLATE "C" NOT NULL,
    started_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL
);

CREATE TABLE lease (
    key        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    member     TEXT   COLLATE "C" NOT NULL,
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX lease_member ON lease (member, expires_at);

CREATE TABLE change (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    member TEXT   COLLATE "C" NOT NULL,
    body   TEXT   COLLATE "C" NOT NULL,
    at     BIGINT NOT NULL DEFAULT (CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT))
);
CREATE INDEX change_at ON change (at);

CREATE TABLE remote_state (
    key     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    body    TEXT   COLLATE "C" NOT NULL,
    told_at BIGINT NOT NULL
);
CREATE INDEX remote_state_told ON remote_state (told_at);
