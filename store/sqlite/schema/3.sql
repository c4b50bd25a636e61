-- Version 3: which agents there are, when an API key was used last, and what was corrected about events.

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

-- Corrections of events, which are only ever added: the row of an event stays as it was stored, but for a redaction, which sets its metadata,
-- input_excerpt and output_excerpt to NULL.
CREATE TABLE amendments (
  org TEXT NOT NULL,
  event_id TEXT NOT NULL,
  n INTEGER NOT NULL,    -- 1 is the first of its event
  kind TEXT NOT NULL,    -- void: the event does not count any more; reprice: it has another cost; redact: see above
  at_ms INTEGER NOT NULL,
  key_id TEXT,           -- of the API key that made it
  reason TEXT,
  body TEXT NOT NULL,    -- a JSON object: all of it; of a reprice with agent_cost and net_saved, as exact decimals, and the price
  PRIMARY KEY (org, event_id, n)
) STRICT, WITHOUT ROWID;

-- Whoever deletes an event, because of its age or by hand, deletes what was corrected about it.
CREATE TRIGGER amendments_go AFTER DELETE ON events BEGIN
  DELETE FROM amendments WHERE org = OLD.org AND event_id = OLD.id;
END;

-- As before, and whether the event was voided (1).
DROP VIEW events_readable;

CREATE VIEW events_readable AS SELECT
  seq, org, id, key_id, test, agent_id, task_type, outcome, credited, model, tokens_in, tokens_out,
  tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, tokens_reasoning, tokens_audio, images, web_searches,
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
  cost_source, cost_precision, unpriced_reason, unpriced_model, priced_as, price_input_per_token, price_output_per_token,
  price_cache_read_per_token, price_cache_write_per_token, price_cache_write_1h_per_token, price_reasoning_per_token, price_audio_per_token,
  price_per_image, price_per_web_search, price_per_request, price_currency, price_source, price_version, price_date, llm_calls, fx_rate, fx_source, fx_date, metadata, input_excerpt, output_excerpt,
  EXISTS (SELECT 1 FROM amendments AS a WHERE a.org = events.org AND a.event_id = events.id AND a.kind = 'void') AS voided
FROM events;
