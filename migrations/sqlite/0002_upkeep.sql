-- What upkeep goes by: when images were last used, what is to stay, what is no longer named, what is to be deleted.

-- When a client last got the manifest or anything that only it has; of an index also anything below it.
-- 0 is written by versions that do not know of it: it then counts as used when it was created.
ALTER TABLE manifest ADD COLUMN used_at BIGINT NOT NULL DEFAULT 0;
-- Pushed into a mirror: it is never evicted.
ALTER TABLE manifest ADD COLUMN seeded BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE manifest SET used_at = created_at;
CREATE INDEX manifest_used ON manifest (used_at, repository_id, digest);

-- NULL: a manifest of the repository named the blob when it came, and takes the link along when it goes. Otherwise
-- nothing is known to name it, and this is when it was last wanted.
ALTER TABLE link ADD COLUMN touched_at BIGINT DEFAULT 0;
UPDATE link SET touched_at = NULL WHERE EXISTS (SELECT 1 FROM reference
    WHERE reference.repository_id = link.repository_id AND reference.child = link.digest AND reference.kind = 'blob');
CREATE INDEX link_touched ON link (touched_at) WHERE touched_at IS NOT NULL;

-- What an operator wants to stay: a tag or a digest, which may be pinned before its content is here.
CREATE TABLE pin (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    reference     TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, reference)
) WITHOUT ROWID;

-- Content whose last row went, while its file may still be there: what a crash in between leaves to be deleted.
CREATE TABLE gone (
    digest TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;

CREATE INDEX repository_project ON repository (project);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('manifest', 'manifest_used', '1000000 10 1 1'),
    ('link', 'link_touched', '10000 10'),
    ('pin', 'pin', '1000 10 1');
ANALYZE sqlite_schema;
