-- Deletes that rules pass on without asking, counted for a while: no more than `delete_cap` of them at a time.
CREATE TABLE unasked_delete (
    rule_id      TEXT   NOT NULL,
    -- Names, at the source.
    repository   TEXT   NOT NULL,
    tag          TEXT   NOT NULL,
    counts_until BIGINT NOT NULL,
    PRIMARY KEY (rule_id, repository, tag)
) WITHOUT ROWID;
CREATE INDEX unasked_delete_until ON unasked_delete (rule_id, counts_until);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('unasked_delete', 'unasked_delete', '10000 100 10 1'),
    ('unasked_delete', 'unasked_delete_until', '10000 100 1');
ANALYZE sqlite_schema;
