-- How many tasks there are in each state.
CREATE INDEX task_state ON task (status);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('task', 'task_state', '1000000 200000');
ANALYZE sqlite_schema;
