-- Version 4: sums that reports are made from, so that they need not read the events.

-- Logs of sums, in the form of package store/rollup: each group of events that is stored adds one of level 0 for each day, and 16 of a level are
-- merged into one of the next. Together they say what the events do, and nothing else does: to make them anew is to put their day into rollups_missing.
CREATE TABLE rollups (
  seq INTEGER PRIMARY KEY,
  org TEXT NOT NULL,
  day INTEGER NOT NULL, -- of occurred_at_ms, in whole days since 1970-01-01, UTC
  level INTEGER NOT NULL,
  log BLOB NOT NULL
) STRICT;

CREATE INDEX rollups_by_day ON rollups (org, day, level);

-- Days of which the sums are to be made from the events, by the next report that needs them.
CREATE TABLE rollups_missing (
  org TEXT NOT NULL,
  day INTEGER NOT NULL,
  PRIMARY KEY (org, day)
) STRICT, WITHOUT ROWID;

INSERT INTO rollups_missing (org, day)
SELECT DISTINCT org, (occurred_at_ms - ((occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000 FROM events;

-- Whoever deletes or changes an event by hand has its day summed up again.
CREATE TRIGGER rollups_go AFTER DELETE ON events BEGIN
  INSERT OR IGNORE INTO rollups_missing (org, day)
  VALUES (OLD.org, (OLD.occurred_at_ms - ((OLD.occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000);
END;

CREATE TRIGGER rollups_change AFTER UPDATE OF
  org, test, agent_id, task_type, outcome, model, occurred_at_ms, currency, hours_saved_nano, cost_saved_nano, agent_cost_nano, net_saved_nano, unpriced_model
ON events BEGIN
  INSERT OR IGNORE INTO rollups_missing (org, day)
  VALUES (OLD.org, (OLD.occurred_at_ms - ((OLD.occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000),
         (NEW.org, (NEW.occurred_at_ms - ((NEW.occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000);
END;

CREATE TRIGGER rollups_unamend AFTER DELETE ON amendments BEGIN
  INSERT OR IGNORE INTO rollups_missing (org, day)
  SELECT org, (occurred_at_ms - ((occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000 FROM events WHERE org = OLD.org AND id = OLD.event_id;
END;

CREATE TRIGGER rollups_reamend AFTER UPDATE ON amendments BEGIN
  INSERT OR IGNORE INTO rollups_missing (org, day)
  SELECT org, (occurred_at_ms - ((occurred_at_ms % 86400000 + 86400000) % 86400000)) / 86400000 FROM events
  WHERE org = OLD.org AND id = OLD.event_id OR org = NEW.org AND id = NEW.event_id;
END;
