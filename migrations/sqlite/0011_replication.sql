-- Rules, what they have to do, and what they did.

-- What changed, written with the change; the ids grow in the order of the commits.
CREATE TABLE event (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT   NOT NULL CHECK (kind IN ('pushed', 'filled', 'labelled', 'deleted')),
    -- Names: what was deleted has no row any more.
    repository TEXT   NOT NULL,
    -- NULL: a manifest that has none.
    tag        TEXT,
    digest     TEXT   NOT NULL,
    at         BIGINT NOT NULL
);
CREATE INDEX event_at ON event (at);

CREATE TABLE rule (
    id           TEXT    NOT NULL PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    -- JSON: all members of the API's object.
    members      TEXT    NOT NULL,
    enabled      BOOLEAN NOT NULL,
    -- Who made it.
    owner        TEXT    NOT NULL,
    -- The last event that it has seen. NULL: events are nothing to it.
    passed_event BIGINT,
    -- When all of it is to be gone through: by its schedule, or to repair. NULL: not by itself.
    due_at       BIGINT,
    created_at   BIGINT  NOT NULL,
    changed_at   BIGINT  NOT NULL
) WITHOUT ROWID;

CREATE TABLE execution (
    -- Ids are in the order of their making.
    id         TEXT    NOT NULL PRIMARY KEY,
    rule_id    TEXT    NOT NULL,
    -- The rule as it was.
    members    TEXT    NOT NULL,
    -- Which trigger it was: manual, cron or event.
    cause      TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN
        ('Planning', 'Planned', 'InProgress', 'Stopping', 'Succeeded', 'Failed', 'Stopped')),
    -- Its plan is only to be looked at, until somebody applies it.
    dry_run    BOOLEAN NOT NULL,
    message    TEXT    NOT NULL,
    -- Who plans it, and until when nobody else does.
    holder     TEXT,
    held_until BIGINT  NOT NULL DEFAULT 0,
    created_at BIGINT  NOT NULL,
    started_at BIGINT,
    ended_at   BIGINT
) WITHOUT ROWID;
CREATE INDEX execution_rule ON execution (rule_id, id);
CREATE INDEX execution_status ON execution (status, id);
CREATE INDEX execution_ended ON execution (ended_at) WHERE ended_at IS NOT NULL;

-- What an execution does with one repository at one remote. Bodies are large, hence with a rowid.
CREATE TABLE task (
    id            TEXT   NOT NULL PRIMARY KEY,
    execution_id  TEXT   NOT NULL REFERENCES execution (id),
    rule_id       TEXT   NOT NULL,
    remote        TEXT   NOT NULL,
    -- Names, here and there.
    repository    TEXT   NOT NULL,
    destination   TEXT   NOT NULL,
    -- JSON: what is done with which tag.
    items         TEXT   NOT NULL,
    status        TEXT   NOT NULL CHECK (status IN
        ('Pending', 'Running', 'Retrying', 'Stopping', 'Succeeded', 'Failed', 'Stopped')),
    attempts      BIGINT NOT NULL DEFAULT 0,
    -- NULL: not before the plan is complete, or applied.
    due_at        BIGINT,
    -- Who works on it, and until when nobody else does. The token grows with each holder.
    holder        TEXT,
    token         BIGINT NOT NULL DEFAULT 0,
    held_until    BIGINT NOT NULL DEFAULT 0,
    bytes_total   BIGINT NOT NULL DEFAULT 0,
    bytes_sent    BIGINT NOT NULL DEFAULT 0,
    bytes_skipped BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    started_at    BIGINT,
    ended_at      BIGINT,
    error         TEXT
);
CREATE INDEX task_execution ON task (execution_id, id);
CREATE INDEX task_status ON task (execution_id, status, id);
CREATE INDEX task_due ON task (remote, rule_id, due_at, id) WHERE ended_at IS NULL;
CREATE INDEX task_destination ON task (remote, destination, id) WHERE ended_at IS NULL;
CREATE INDEX task_rule ON task (rule_id, id);

CREATE TABLE task_log (
    task_id TEXT   NOT NULL REFERENCES task (id),
    number  BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    line    TEXT   NOT NULL,
    PRIMARY KEY (task_id, number)
) WITHOUT ROWID;

-- What a rule put where: nothing else there is overwritten or deleted by it.
CREATE TABLE delivery (
    rule_id      TEXT   NOT NULL,
    remote       TEXT   NOT NULL,
    destination  TEXT   NOT NULL,
    tag          TEXT   NOT NULL,
    digest       TEXT   NOT NULL,
    -- Where it came from.
    repository   TEXT   NOT NULL,
    delivered_at BIGINT NOT NULL,
    PRIMARY KEY (rule_id, remote, destination, tag)
) WITHOUT ROWID;
CREATE INDEX delivery_source ON delivery (rule_id, repository, tag, remote, destination);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('event', 'event_at', '1000000 10'),
    ('rule', 'rule', '100 1'),
    ('execution', 'execution', '100000 1'),
    ('execution', 'execution_rule', '100000 1000 1'),
    ('execution', 'execution_status', '100000 10000 1'),
    ('execution', 'execution_ended', '100000 10'),
    ('task', 'task_execution', '1000000 1000 1'),
    ('task', 'task_status', '1000000 1000 100 1'),
    ('task', 'task_due', '10000 1000 100 2 1'),
    ('task', 'task_destination', '10000 1000 2 1'),
    ('task', 'task_rule', '1000000 10000 1'),
    ('task_log', 'task_log', '1000000 100 1'),
    ('delivery', 'delivery', '1000000 100000 10000 100 1'),
    ('delivery', 'delivery_source', '1000000 100000 100 10 2 1');
ANALYZE sqlite_schema;
