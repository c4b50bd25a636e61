-- Version 1. A released step is never changed: what comes later is a step of its own.
--
-- Names end in the unit. _nano is a whole number of 1e-9 of it (1 hour = 1000000000 in hours_saved_nano, 1 EUR likewise),
-- _ms an instant in Unix milliseconds, UTC. NULL is absent, which is not 0.

CREATE TABLE events (
  seq INTEGER PRIMARY KEY, -- in the order in which they were stored
  org TEXT NOT NULL,
  id TEXT NOT NULL,
  key_id TEXT,           -- of the API key
  test INTEGER NOT NULL, -- 1: recorded with a test key
  agent_id TEXT NOT NULL,
  task_type TEXT NOT NULL,
  outcome TEXT NOT NULL,     -- success, failure, needs_review
  credited INTEGER NOT NULL, -- 0: the outcome saves nothing
  model TEXT,
  tokens_in INTEGER,
  tokens_out INTEGER,
  agent_duration_seconds_nano INTEGER,
  occurred_at_ms INTEGER NOT NULL,
  received_at_ms INTEGER NOT NULL,
  currency TEXT NOT NULL, -- of hourly_rate, cost_saved, agent_cost and net_saved
  hours_saved_nano INTEGER NOT NULL,
  cost_saved_nano INTEGER NOT NULL,
  agent_cost_nano INTEGER,
  net_saved_nano INTEGER NOT NULL,
  baseline_minutes_nano INTEGER NOT NULL,
  baseline_source TEXT NOT NULL,
  hourly_rate_nano INTEGER NOT NULL,
  hourly_rate_source TEXT NOT NULL,
  cost_source TEXT NOT NULL, -- provided, computed, none
  unpriced_reason TEXT,
  priced_as TEXT,
  price_input_per_token TEXT, -- exact decimals, finer than any fixed scale
  price_output_per_token TEXT,
  price_currency TEXT,
  price_source TEXT,
  price_version TEXT,
  price_date TEXT, -- YYYY-MM-DD
  fx_from TEXT,
  fx_to TEXT,
  fx_rate TEXT, -- an exact decimal
  fx_source TEXT,
  fx_date TEXT,
  metadata TEXT, -- a JSON object
  input_excerpt TEXT,
  output_excerpt TEXT,
  hours_scale INTEGER NOT NULL, -- decimals that the results were rounded to
  money_scale INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_id ON events (org, id);
CREATE INDEX events_by_occurred ON events (org, occurred_at_ms, id);
CREATE INDEX events_by_received ON events (org, received_at_ms, id);

-- Which event an idempotency key names. Rows are forgotten some time after they have expired.
CREATE TABLE idempotency (
  seq INTEGER PRIMARY KEY,
  org TEXT NOT NULL,
  key TEXT NOT NULL,
  event_id TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  expires_at_ms INTEGER NOT NULL, -- the key is free from here on
  forget_at_ms INTEGER NOT NULL   -- the row may be deleted from here on
) STRICT;

CREATE UNIQUE INDEX idempotency_by_key ON idempotency (org, key);
CREATE INDEX idempotency_by_forget ON idempotency (forget_at_ms);

-- Events that count for the quota, by the UTC month of receipt.
CREATE TABLE usage (
  org TEXT NOT NULL,
  month TEXT NOT NULL, -- YYYY-MM
  events INTEGER NOT NULL,
  PRIMARY KEY (org, month)
) STRICT, WITHOUT ROWID;

CREATE TABLE orgs (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  settings TEXT NOT NULL -- a JSON object
) STRICT, WITHOUT ROWID;

-- Append-only: who changed which setting of an org.
CREATE TABLE org_history (
  seq INTEGER PRIMARY KEY,
  org TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  old TEXT NOT NULL,
  new TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;

CREATE INDEX org_history_by_org ON org_history (org, seq);

-- API keys; of the secret only its hash.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  org TEXT NOT NULL,
  hash BLOB NOT NULL, -- SHA-256
  test INTEGER NOT NULL,
  scopes INTEGER NOT NULL, -- a bit set; 0: all
  created_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER -- NULL: not revoked
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_org ON api_keys (org, created_at_ms, id);

-- One row an event in human units: hours and money as exact decimal text, instants in ISO 8601.
CREATE VIEW events_readable AS SELECT
  seq, org, id, key_id, test, agent_id, task_type, outcome, credited, model, tokens_in, tokens_out,
  CASE WHEN agent_duration_seconds_nano IS NOT NULL THEN
    rtrim(rtrim(printf('%s%d.%09d', CASE WHEN agent_duration_seconds_nano < 0 THEN '-' ELSE '' END, abs(agent_duration_seconds_nano / 1000000000), abs(agent_duration_seconds_nano % 1000000000)), '0'), '.') END AS agent_duration_seconds,
  strftime('%Y-%m-%dT%H:%M:%S', (occurred_at_ms - ((occurred_at_ms % 1000 + 1000) % 1000)) / 1000, 'unixepoch') || printf('.%03dZ', ((occurred_at_ms % 1000 + 1000) % 1000)) AS occurred_at,
  strftime('%Y-%m-%dT%H:%M:%S', (received_at_ms - ((received_at_ms % 1000 + 1000) % 1000)) / 1000, 'unixepoch') || printf('.%03dZ', ((received_at_ms % 1000 + 1000) % 1000)) AS received_at,
  currency,
  rtrim(rtrim(printf('%s%d.%09d', CASE WHEN hours_saved_nano < 0 THEN '-' ELSE '' END, abs(hours_saved_nano / 1000000000), abs(hours_saved_nano % 1000000000)), '0'), '.') AS hours_saved,
  rtrim(rtrim(printf('%s%d.%09d', CASE WHEN cost_saved_nano < 0 THEN '-' ELSE '' END, abs(cost_saved_nano / 1000000000), abs(cost_saved_nano % 1000000000)), '0'), '.') AS cost_saved,
  CASE WHEN agent_cost_nano IS NOT NULL THEN
    rtrim(rtrim(printf('%s%d.%09d', CASE WHEN agent_cost_nano < 0 THEN '-' ELSE '' END, abs(agent_cost_nano / 1000000000), abs(agent_cost_nano % 1000000000)), '0'), '.') END AS agent_cost,
  rtrim(rtrim(printf('%s%d.%09d', CASE WHEN net_saved_nano < 0 THEN '-' ELSE '' END, abs(net_saved_nano / 1000000000), abs(net_saved_nano % 1000000000)), '0'), '.') AS net_saved,
  rtrim(rtrim(printf('%s%d.%09d', CASE WHEN baseline_minutes_nano < 0 THEN '-' ELSE '' END, abs(baseline_minutes_nano / 1000000000), abs(baseline_minutes_nano % 1000000000)), '0'), '.') AS baseline_minutes,
  baseline_source,
  rtrim(rtrim(printf('%s%d.%09d', CASE WHEN hourly_rate_nano < 0 THEN '-' ELSE '' END, abs(hourly_rate_nano / 1000000000), abs(hourly_rate_nano % 1000000000)), '0'), '.') AS hourly_rate,
  hourly_rate_source,
  cost_source, unpriced_reason, priced_as, price_input_per_token, price_output_per_token, price_currency, price_source,
  price_version, price_date, fx_rate, fx_source, fx_date, metadata, input_excerpt, output_excerpt
FROM events;

-- Sums by org, month of occurrence (UTC), currency and test. A sum of 1e-9 units leaves int64 at 9.2e9 units, where SQLite's sum() gives
-- up, so whole units and the rest are summed apart. The sum is X_units + X_nano / 1e9, X_nano being 0 to 999999999, also below zero.
CREATE VIEW monthly_sums AS SELECT
  org, month, currency, test, events, failures, unpriced,
  hours_saved_high + hours_saved_low / 1000000000 AS hours_saved_units, hours_saved_low % 1000000000 AS hours_saved_nano,
  cost_saved_high + cost_saved_low / 1000000000 AS cost_saved_units, cost_saved_low % 1000000000 AS cost_saved_nano,
  agent_cost_high + agent_cost_low / 1000000000 AS agent_cost_units, agent_cost_low % 1000000000 AS agent_cost_nano,
  net_saved_high + net_saved_low / 1000000000 AS net_saved_units, net_saved_low % 1000000000 AS net_saved_nano
FROM (
  SELECT org, strftime('%Y-%m', (occurred_at_ms - ((occurred_at_ms % 1000 + 1000) % 1000)) / 1000, 'unixepoch') AS month, currency, test,
    count(*) AS events, sum(outcome = 'failure') AS failures, sum(agent_cost_nano IS NULL) AS unpriced,
    sum(hours_saved_nano / 1000000000 - (hours_saved_nano % 1000000000 < 0)) AS hours_saved_high,
    sum((hours_saved_nano % 1000000000 + 1000000000) % 1000000000) AS hours_saved_low,
    sum(cost_saved_nano / 1000000000 - (cost_saved_nano % 1000000000 < 0)) AS cost_saved_high,
    sum((cost_saved_nano % 1000000000 + 1000000000) % 1000000000) AS cost_saved_low,
    coalesce(sum(agent_cost_nano / 1000000000 - (agent_cost_nano % 1000000000 < 0)), 0) AS agent_cost_high,
    coalesce(sum((agent_cost_nano % 1000000000 + 1000000000) % 1000000000), 0) AS agent_cost_low,
    sum(net_saved_nano / 1000000000 - (net_saved_nano % 1000000000 < 0)) AS net_saved_high,
    sum((net_saved_nano % 1000000000 + 1000000000) % 1000000000) AS net_saved_low
  FROM events GROUP BY org, month, currency, test
);

-- monthly_sums with each sum as exact decimal text.
CREATE VIEW monthly_totals AS SELECT
  org, month, currency, test, events, failures, unpriced,
  rtrim(rtrim(CASE WHEN hours_saved_units < 0 AND hours_saved_nano > 0 THEN printf('-%d.%09d', -(hours_saved_units + 1), 1000000000 - hours_saved_nano)
    ELSE printf('%d.%09d', hours_saved_units, hours_saved_nano) END, '0'), '.') AS hours_saved,
  rtrim(rtrim(CASE WHEN cost_saved_units < 0 AND cost_saved_nano > 0 THEN printf('-%d.%09d', -(cost_saved_units + 1), 1000000000 - cost_saved_nano)
    ELSE printf('%d.%09d', cost_saved_units, cost_saved_nano) END, '0'), '.') AS cost_saved,
  rtrim(rtrim(CASE WHEN agent_cost_units < 0 AND agent_cost_nano > 0 THEN printf('-%d.%09d', -(agent_cost_units + 1), 1000000000 - agent_cost_nano)
    ELSE printf('%d.%09d', agent_cost_units, agent_cost_nano) END, '0'), '.') AS agent_cost,
  rtrim(rtrim(CASE WHEN net_saved_units < 0 AND net_saved_nano > 0 THEN printf('-%d.%09d', -(net_saved_units + 1), 1000000000 - net_saved_nano)
    ELSE printf('%d.%09d', net_saved_units, net_saved_nano) END, '0'), '.') AS net_saved
FROM monthly_sums;
