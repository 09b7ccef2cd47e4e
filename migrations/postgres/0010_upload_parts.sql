-- The twin of sqlite/0010_upload_parts.sql, where the columns are explained.
ALTER TABLE upload ADD COLUMN received_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upload ADD COLUMN hash BYTEA;
ALTER TABLE upload ADD COLUMN object TEXT COLLATE "C";
ALTER TABLE upload ADD COLUMN multipart TEXT COLLATE "C";
ALTER TABLE upload ADD COLUMN parts TEXT COLLATE "C";
ALTER TABLE upload ADD COLUMN tail BYTEA;
ALTER TABLE upload ADD COLUMN holder TEXT COLLATE "C";
ALTER TABLE upload ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0;
CREATE INDEX upload_object ON upload (object) WHERE object IS NOT NULL;
