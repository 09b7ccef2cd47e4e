-- Fellow replicas: who there is, what only one of them does at a time, and what they tell each other. On SQLite there is
-- one replica, and these tables stay empty.

-- The database's clock, in milliseconds since 1970: those of the replicas may differ.
CREATE VIEW clock AS SELECT CAST(unixepoch('subsec') * 1000 AS BIGINT) AS now;

CREATE TABLE member (
    -- Of one process: a replica that starts again is another member.
    id            TEXT   NOT NULL PRIMARY KEY,
    advertise_url TEXT   NOT NULL,
    -- Of the program.
    version       TEXT   NOT NULL,
    started_at    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE lease (
    key        TEXT   NOT NULL PRIMARY KEY,
    member     TEXT   NOT NULL,
    -- Grows with each owner: who lost the lease and does not know it cannot renew or release it.
    token      BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX lease_member ON lease (member, expires_at);

-- Rows that a committed transaction has made untrue in the memory of the other replicas; the ids grow in the order of
-- the commits.
CREATE TABLE change (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    member TEXT   NOT NULL,
    body   TEXT   NOT NULL,
    at     BIGINT NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS BIGINT))
);
CREATE INDEX change_at ON change (at);

-- What a remote said last of its rate limit, to whichever replica.
CREATE TABLE remote_state (
    -- Hash of the remote, the URL and the credential.
    key     TEXT   NOT NULL PRIMARY KEY,
    body    TEXT   NOT NULL,
    told_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX remote_state_told ON remote_state (told_at);
