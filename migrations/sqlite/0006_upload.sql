-- Upload sessions: what has come is in a file of the session's id.
CREATE TABLE upload (
    id         TEXT   NOT NULL PRIMARY KEY,
    -- Its name: a repository that nothing was pushed to yet has no row.
    repository TEXT   NOT NULL,
    -- What the blob is hashed by while it comes.
    algorithm  TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    -- When something was last heard of it.
    touched_at BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX upload_touched ON upload (touched_at);
CREATE INDEX upload_repository ON upload (repository);

-- When a tag was last pushed, and by whom; NULL: a remote told of it.
ALTER TABLE tag ADD COLUMN pushed_at BIGINT;
ALTER TABLE tag ADD COLUMN pushed_by TEXT;
-- Pushed into a mirror.
ALTER TABLE tag ADD COLUMN seeded BOOLEAN NOT NULL DEFAULT FALSE;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('upload', 'upload', '10000 1'),
    ('upload', 'upload_touched', '10000 2'),
    ('upload', 'upload_repository', '10000 100');
ANALYZE sqlite_schema;
