-- What became of executions, written with it, and how far each webhook has got with this and with events.

CREATE TABLE execution_event (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The newest event then: its place among those.
    after_event  BIGINT NOT NULL,
    execution_id TEXT   NOT NULL,
    kind         TEXT   NOT NULL CHECK (kind IN
        ('execution_started', 'execution_succeeded', 'execution_failed', 'execution_stopped')),
    at           BIGINT NOT NULL
);
CREATE INDEX execution_event_at ON execution_event (at);

CREATE TABLE webhook (
    name             TEXT   NOT NULL PRIMARY KEY,
    -- The last ones that it has been told of, or that are nothing to it.
    passed_event     BIGINT NOT NULL,
    passed_execution BIGINT NOT NULL,
    -- How often the next one was sent in vain, and when it is sent again.
    attempts         BIGINT NOT NULL DEFAULT 0,
    due_at           BIGINT NOT NULL DEFAULT 0,
    -- Who sends, and until when nobody else does. The token grows with each holder.
    holder           TEXT,
    token            BIGINT NOT NULL DEFAULT 0,
    held_until       BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('execution_event', 'execution_event_at', '1000000 10'),
    ('webhook', 'webhook', '10 1');
ANALYZE sqlite_schema;
