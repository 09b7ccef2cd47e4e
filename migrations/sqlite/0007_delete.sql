-- Links of a repository that nothing names, by the time they were last wanted.
CREATE INDEX link_loose ON link (repository_id, touched_at, digest) WHERE touched_at IS NOT NULL;

-- What was pushed into mirrors.
CREATE INDEX manifest_seeded ON manifest (repository_id, digest) WHERE seeded;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('link', 'link_loose', '10000 100 2 1'),
    ('manifest', 'manifest_seeded', '10000 100 1');
ANALYZE sqlite_schema;
