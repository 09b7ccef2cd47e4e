-- Which write each tag is of, so that instances which replicate to each other agree on the newest (docs/adr/0014).

-- One row: whose writes they are.
CREATE TABLE instance (
    -- 16 hexadecimal digits.
    id TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;
INSERT INTO instance (id) VALUES (lower(hex(randomblob(8))));

-- Names: what was deleted has no row any more. Counts only while it says what the row of the tag says: a mirror moves its
-- tags, and forgets them, without it.
CREATE TABLE tag_version (
    repository TEXT   NOT NULL,
    tag        TEXT   NOT NULL,
    -- As text it sorts as the versions do.
    version    TEXT   NOT NULL,
    -- What the tag points to, or pointed to before it was deleted.
    digest     TEXT   NOT NULL,
    -- When it was deleted, by our clock. NULL: it was not.
    deleted_at BIGINT,
    PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE INDEX tag_version_deleted ON tag_version (deleted_at) WHERE deleted_at IS NOT NULL;

INSERT INTO tag_version (repository, tag, version, digest)
    SELECT repository.name, tag.name, printf('%012x-0000-', tag.pushed_at) || instance.id, tag.digest
    FROM tag CROSS JOIN repository CROSS JOIN instance
    WHERE repository.id = tag.repository_id AND tag.pushed_at IS NOT NULL;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('tag_version', 'tag_version', '1000000 10000 1'),
    ('tag_version', 'tag_version_deleted', '10000 2');
ANALYZE sqlite_schema;
