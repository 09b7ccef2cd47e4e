-- The twin of sqlite/0011_replication.sql, where the columns are explained.

CREATE TABLE event (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('pushed', 'filled', 'labelled', 'deleted')),
    repository TEXT COLLATE "C" NOT NULL,
    tag        TEXT COLLATE "C",
    digest     TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL
);
CREATE INDEX event_at ON event (at);

CREATE TABLE rule (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL UNIQUE,
    members      TEXT COLLATE "C" NOT NULL,
    enabled      BOOLEAN NOT NULL,
    owner        TEXT COLLATE "C" NOT NULL,
    passed_event BIGINT,
    due_at       BIGINT,
    created_at   BIGINT  NOT NULL,
    changed_at   BIGINT  NOT NULL
);

CREATE TABLE execution (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    rule_id    TEXT COLLATE "C" NOT NULL,
    members    TEXT COLLATE "C" NOT NULL,
    cause      TEXT COLLATE "C" NOT NULL,
    status     TEXT COLLATE "C" NOT NULL CHECK (status IN
        ('Planning', 'Planned', 'InProgress', 'Stopping', 'Succeeded', 'Failed', 'Stopped')),
    dry_run    BOOLEAN NOT NULL,
    message    TEXT COLLATE "C" NOT NULL,
    holder     TEXT COLLATE "C",
    held_until BIGINT  NOT NULL DEFAULT 0,
    created_at BIGINT  NOT NULL,
    started_at BIGINT,
    ended_at   BIGINT
);
CREATE INDEX execution_rule ON execution (rule_id, id);
CREATE INDEX execution_status ON execution (status, id);
CREATE INDEX execution_ended ON execution (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE task (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    execution_id  TEXT COLLATE "C" NOT NULL REFERENCES execution (id),
    rule_id       TEXT COLLATE "C" NOT NULL,
    remote        TEXT COLLATE "C" NOT NULL,
    repository    TEXT COLLATE "C" NOT NULL,
    destination   TEXT COLLATE "C" NOT NULL,
    items         TEXT COLLATE "C" NOT NULL,
    status        TEXT COLLATE "C" NOT NULL CHECK (status IN
        ('Pending', 'Running', 'Retrying', 'Stopping', 'Succeeded', 'Failed', 'Stopped')),
    attempts      BIGINT NOT NULL DEFAULT 0,
    due_at        BIGINT,
    holder        TEXT COLLATE "C",
    token         BIGINT NOT NULL DEFAULT 0,
    held_until    BIGINT NOT NULL DEFAULT 0,
    bytes_total   BIGINT NOT NULL DEFAULT 0,
    bytes_sent    BIGINT NOT NULL DEFAULT 0,
    bytes_skipped BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    started_at    BIGINT,
    ended_at      BIGINT,
    error         TEXT COLLATE "C"
);
CREATE INDEX task_execution ON task (execution_id, id);
CREATE INDEX task_status ON task (execution_id, status, id);
CREATE INDEX task_due ON task (remote, rule_id, due_at, id) WHERE ended_at IS NULL;
CREATE INDEX task_destination ON task (remote, destination, id) WHERE ended_at IS NULL;
CREATE INDEX task_rule ON task (rule_id, id);

CREATE TABLE task_log (
    task_id TEXT COLLATE "C" NOT NULL REFERENCES task (id),
    number  BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    line    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (task_id, number)
);

CREATE TABLE delivery (
    rule_id      TEXT COLLATE "C" NOT NULL,
    remote       TEXT COLLATE "C" NOT NULL,
    destination  TEXT COLLATE "C" NOT NULL,
    tag          TEXT COLLATE "C" NOT NULL,
    digest       TEXT COLLATE "C" NOT NULL,
    repository   TEXT COLLATE "C" NOT NULL,
    delivered_at BIGINT NOT NULL,
    PRIMARY KEY (rule_id, remote, destination, tag)
);
CREATE INDEX delivery_source ON delivery (rule_id, repository, tag, remote, destination);
