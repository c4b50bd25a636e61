-- Version 2: what a run consumed besides input and output tokens, runs of several calls, and how sure a computed cost is.

ALTER TABLE events ADD COLUMN cost_precision TEXT; -- exact, estimated; NULL: not computed
ALTER TABLE events ADD COLUMN unpriced_model TEXT; -- of the call that has no price, in a run of several
ALTER TABLE events ADD COLUMN tokens_cache_read INTEGER; -- these counts are disjoint from tokens_in and tokens_out
ALTER TABLE events ADD COLUMN tokens_cache_write INTEGER;
ALTER TABLE events ADD COLUMN tokens_cache_write_1h INTEGER;
ALTER TABLE events ADD COLUMN tokens_reasoning INTEGER;
ALTER TABLE events ADD COLUMN tokens_audio INTEGER;
ALTER TABLE events ADD COLUMN images INTEGER;
ALTER TABLE events ADD COLUMN web_searches INTEGER;
ALTER TABLE events ADD COLUMN price_cache_read_per_token TEXT; -- exact decimals, like the other prices
ALTER TABLE events ADD COLUMN price_cache_write_per_token TEXT;
ALTER TABLE events ADD COLUMN price_cache_write_1h_per_token TEXT;
ALTER TABLE events ADD COLUMN price_reasoning_per_token TEXT;
ALTER TABLE events ADD COLUMN price_audio_per_token TEXT;
ALTER TABLE events ADD COLUMN price_per_image TEXT;
ALTER TABLE events ADD COLUMN price_per_web_search TEXT;
ALTER TABLE events ADD COLUMN price_per_request TEXT;
ALTER TABLE events ADD COLUMN llm_calls TEXT; -- a JSON array of the calls of the run, each with its price; then tokens_in and so on are the sums

-- One row an event in human units: hours and money as exact decimal text, instants in ISO 8601.
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
  price_per_image, price_per_web_search, price_per_request, price_currency, price_source, price_version, price_date, llm_calls, fx_rate, fx_source, fx_date, metadata, input_excerpt, output_excerpt
FROM events;
