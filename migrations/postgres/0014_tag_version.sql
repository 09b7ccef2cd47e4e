-- Which write each tag is of, so that instances which replicate to each other agree on the newest (docs/adr/0014).

-- One row: whose writes they are.
CREATE TABLE instance (
    -- 16 hexadecimal digits.
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY
);
INSERT INTO instance (id) VALUES (substr(md5(gen_random_uuid()::TEXT), 1, 16));

-- Names: what was deleted has no row any more. Counts only while it says what the row of the tag says: a mirror moves its
-- tags, and forgets them, without it.
CREATE TABLE tag_version (
    repository TEXT COLLATE "C" NOT NULL,
    tag        TEXT COLLATE "C" NOT NULL,
    -- As text it sorts as the versions do.
    version    TEXT COLLATE "C" NOT NULL,
    -- What the tag points to, or pointed to before it was deleted.
    digest     TEXT COLLATE "C" NOT NULL,
    -- When it was deleted, by our clock. NULL: it was not.
    deleted_at BIGINT,
    PRIMARY KEY (repository, tag)
);
CREATE INDEX tag_version_deleted ON tag_version (deleted_at) WHERE deleted_at IS NOT NULL;

INSERT INTO tag_version (repository, tag, version, digest)
    SELECT repository.name, tag.name, lpad(to_hex(tag.pushed_at), 12, '0') || '-0000-' || instance.id, tag.digest
    FROM tag CROSS JOIN repository CROSS JOIN instance
    WHERE repository.id = tag.repository_id AND tag.pushed_at IS NOT NULL;
