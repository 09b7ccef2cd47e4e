-- Upload sessions on object storage: what has come is in the parts of an object, and another replica can go on.
ALTER TABLE upload ADD COLUMN received_bytes BIGINT NOT NULL DEFAULT 0;
-- The hash of all of it, as its hasher saves itself.
ALTER TABLE upload ADD COLUMN hash BLOB;
ALTER TABLE upload ADD COLUMN object TEXT;
ALTER TABLE upload ADD COLUMN multipart TEXT;
-- What the storage calls the parts, one a line.
ALTER TABLE upload ADD COLUMN parts TEXT;
-- What came after the last part.
ALTER TABLE upload ADD COLUMN tail BLOB;
-- Which request works on it, and until when nobody else does.
ALTER TABLE upload ADD COLUMN holder TEXT;
ALTER TABLE upload ADD COLUMN held_until BIGINT NOT NULL DEFAULT 0;
CREATE INDEX upload_object ON upload (object) WHERE object IS NOT NULL;
