-- What is changed while the server runs: remotes, projects and repositories beside those of the configuration file.

CREATE TABLE remote (
    name       TEXT   NOT NULL PRIMARY KEY,
    -- JSON: the members as they were given, without those that are secret.
    members    TEXT   NOT NULL,
    -- JSON of the secret members, sealed.
    secrets    BLOB,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE project (
    name       TEXT   NOT NULL PRIMARY KEY,
    members    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
) WITHOUT ROWID;

-- NULL: as its project says.
ALTER TABLE repository ADD COLUMN visibility TEXT CHECK (visibility IN ('public', 'private'));
-- When it was made in so many words; NULL: by what came into it.
ALTER TABLE repository ADD COLUMN created_at BIGINT;
CREATE INDEX repository_visibility ON repository (name) WHERE visibility IS NOT NULL;

-- Counts the changes of the above, so that other replicas notice them.
CREATE TABLE revision (
    name   TEXT   NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO revision (name, number) VALUES ('projects', 0);
