-- What people call manifests, so that rules can choose by it. It goes with the manifest.
CREATE TABLE label (
    repository_id BIGINT NOT NULL,
    digest        TEXT   COLLATE "C" NOT NULL,
    name          TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (repository_id, digest, name),
    FOREIGN KEY (repository_id, digest) REFERENCES manifest (repository_id, digest) ON DELETE CASCADE
);
