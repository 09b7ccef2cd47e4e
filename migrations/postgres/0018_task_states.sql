-- How many tasks there are in each state.
CREATE INDEX task_state ON task (status);
