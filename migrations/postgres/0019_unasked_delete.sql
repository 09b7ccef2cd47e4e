-- The twin of sqlite/0019_unasked_delete.sql, where the columns are explained.

CREATE TABLE unasked_delete (
    rule_id      TEXT   COLLATE "C" NOT NULL,
    repository   TEXT   COLLATE "C" NOT NULL,
    tag          TEXT   COLLATE "C" NOT NULL,
    counts_until BIGINT NOT NULL,
    PRIMARY KEY (rule_id, repository, tag)
);
CREATE INDEX unasked_delete_until ON unasked_delete (rule_id, counts_until);
