-- What people call manifests, so that rules can choose by it. It goes with the manifest.
CREATE TABLE label (
    repository_id BIGINT NOT NULL,
    digest        TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    PRIMARY KEY (repository_id, digest, name),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
) WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('label', 'label', '10000 100 2 1');
ANALYZE sqlite_schema;
