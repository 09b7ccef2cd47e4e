-- Uploads of large blobs that tasks have under way: whoever carries a task on goes on with them.
CREATE TABLE sending (
    task_id         TEXT   NOT NULL REFERENCES task (id) ON DELETE CASCADE,
    digest          TEXT   NOT NULL,
    -- Where the remote has the session.
    url             TEXT   NOT NULL,
    min_chunk_bytes BIGINT NOT NULL,
    PRIMARY KEY (task_id, digest)
) WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('sending', 'sending', '100 2 1');
ANALYZE sqlite_schema;
