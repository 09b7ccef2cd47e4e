-- Which object of the bucket holds the content; NULL: it is on local disks only.
ALTER TABLE blob ADD COLUMN object TEXT;
CREATE UNIQUE INDEX blob_object ON blob (object) WHERE object IS NOT NULL;
-- What is still to be uploaded.
CREATE INDEX blob_local ON blob (digest) WHERE object IS NULL;

-- Objects that no blob names. One that is being uploaded is dated ahead: it becomes garbage if nobody moves that on.
CREATE TABLE garbage (
    object     TEXT   NOT NULL PRIMARY KEY,
    size_bytes BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    -- Of an upload in parts, which is to be aborted.
    multipart  TEXT
) WITHOUT ROWID;
CREATE INDEX garbage_since ON garbage (since);
