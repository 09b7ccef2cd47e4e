-- What is changed while the server runs: remotes, projects and repositories beside those of the configuration file.

CREATE TABLE remote (
    name       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    -- JSON: the members as they were given, without those that are secret.
    members    TEXT   COLLATE "C" NOT NULL,
    -- JSON of the secret members, sealed.
    secrets    BYTEA,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE project (
    name       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    members    TEXT   COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- NULL: as its project says.
ALTER TABLE repository ADD COLUMN visibility TEXT COLLATE "C" CHECK (visibility IN ('public', 'private'));
-- When it was made in so many words; NULL: by what came into it.
ALTER TABLE repository ADD COLUMN created_at BIGINT;
CREATE INDEX repository_visibility ON repository (name) WHERE visibility IS NOT NULL;

-- Counts the changes of the above, so that other replicas notice them.
CREATE TABLE revision (
    name   TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
INSERT INTO revision (name, number) VALUES ('projects', 0);
