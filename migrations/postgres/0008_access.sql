-- Who may do what, and who did.

-- A user. NULL for a password: nobody can log in by that name. `rights` is JSON, for users and tokens alike:
-- [{"project": pattern, "repositories": pattern, "rights": ["pull", …]}].
CREATE TABLE account (
    name       TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
    -- A PHC string of argon2id, or what an htpasswd file says (bcrypt).
    password   TEXT,
    admin      BOOLEAN NOT NULL,
    rights     TEXT    NOT NULL,
    -- The password is the htpasswd file's.
    imported   BOOLEAN NOT NULL,
    created_at BIGINT  NOT NULL
);

-- What a machine logs in with, on behalf of a user and never for more than that user may.
CREATE TABLE token (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    owner      TEXT   COLLATE "C" NOT NULL,
    name       TEXT   COLLATE "C" NOT NULL,
    -- SHA-256 of the secret, which is long and random.
    secret     BYTEA  NOT NULL,
    -- NULL: everything that the owner may.
    rights     TEXT,
    created_at BIGINT NOT NULL,
    -- NULL: never.
    expires_at BIGINT,
    UNIQUE (owner, name)
);
CREATE INDEX token_secret ON token (secret);

-- Logins and changes, in the order in which they came.
CREATE TABLE audit (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        BIGINT NOT NULL,
    principal TEXT   NOT NULL,
    -- The address, where one is known.
    source    TEXT,
    action    TEXT   NOT NULL,
    -- Whom or what it was done to.
    subject   TEXT   NOT NULL,
    outcome   TEXT   NOT NULL,
    -- JSON, or NULL.
    detail    TEXT
);
CREATE INDEX audit_at ON audit (at);

-- Keys that all replicas share, sealed: today the one that signs registry tokens.
CREATE TABLE signing_key (
    purpose    TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    sealed     BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);
