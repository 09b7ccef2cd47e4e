-- Links of a repository that nothing names, by the time they were last wanted.
CREATE INDEX link_loose ON link (repository_id, touched_at, digest) WHERE touched_at IS NOT NULL;

-- What was pushed into mirrors.
CREATE INDEX manifest_seeded ON manifest (repository_id, digest) WHERE seeded;
