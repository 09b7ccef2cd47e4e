-- The twin of sqlite/0013_webhook.sql, where the columns are explained.

CREATE TABLE execution_event (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    after_event  BIGINT NOT NULL,
    execution_id TEXT COLLATE "C" NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL CHECK (kind IN
        ('execution_started', 'execution_succeeded', 'execution_failed', 'execution_stopped')),
    at           BIGINT NOT NULL
);
CREATE INDEX execution_event_at ON execution_event (at);

CREATE TABLE webhook (
    name             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    passed_event     BIGINT NOT NULL,
    passed_execution BIGINT NOT NULL,
    attempts         BIGINT NOT NULL DEFAULT 0,
    due_at           BIGINT NOT NULL DEFAULT 0,
    holder           TEXT COLLATE "C",
    token            BIGINT NOT NULL DEFAULT 0,
    held_until       BIGINT NOT NULL DEFAULT 0
);
