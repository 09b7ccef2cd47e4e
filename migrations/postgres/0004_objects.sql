-- The twin of sqlite/0004_objects.sql, where the columns are explained.

ALTER TABLE blob ADD COLUMN object TEXT COLLATE "C";
CREATE UNIQUE INDEX blob_object ON blob (object) WHERE object IS NOT NULL;
CREATE INDEX blob_local ON blob (digest) WHERE object IS NULL;

CREATE TABLE garbage (
    object     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    multipart  TEXT   COLLATE "C"
);
CREATE INDEX garbage_since ON garbage (since);
