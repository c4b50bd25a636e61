-- Version 3: which agents there are, and when an API key was used last.

-- The agents that events name, those of test events apart. An event that is deleted because of its age leaves its agent as it is.
CREATE TABLE agents (
  org TEXT NOT NULL,
  agent_id TEXT NOT NULL,
  test INTEGER NOT NULL, -- 1: events that were recorded with a test key
  first_occurred_at_ms INTEGER NOT NULL,
  last_occurred_at_ms INTEGER NOT NULL,
  PRIMARY KEY (org, agent_id, test)
) STRICT, WITHOUT ROWID;

INSERT INTO agents (org, agent_id, test, first_occurred_at_ms, last_occurred_at_ms)
SELECT org, agent_id, test, min(occurred_at_ms), max(occurred_at_ms) FROM events GROUP BY org, agent_id, test;

ALTER TABLE api_keys ADD COLUMN last_used_at_ms INTEGER; -- NULL: never
