-- The twin of sqlite/0006_upload.sql, where the columns are explained.

CREATE TABLE upload (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    repository TEXT   COLLATE "C" NOT NULL,
    algorithm  TEXT   COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);
CREATE INDEX upload_touched ON upload (touched_at);
CREATE INDEX upload_repository ON upload (repository);

ALTER TABLE tag ADD COLUMN pushed_at BIGINT;
ALTER TABLE tag ADD COLUMN pushed_by TEXT COLLATE "C";
ALTER TABLE tag ADD COLUMN seeded BOOLEAN NOT NULL DEFAULT FALSE;
