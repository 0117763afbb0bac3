-- name: record_alerts
-- The alerts that a batch caused, in the order in which they came about; known ones are left alone.
INSERT INTO alerts (id, state, "timestamp", symbol, rule, terms)
SELECT id, state, "timestamp", symbol, rule, terms
FROM unnest(
    %(id)s::text[], %(state)s::text[], %(timestamp)s::timestamptz[], %(symbol)s::text[], %(rule)s::text[],
    %(terms)s::json[]
) WITH ORDINALITY AS t (id, state, "timestamp", symbol, rule, terms, place)
ORDER BY place
ON CONFLICT (id, state) DO NOTHING;

-- name: alerts_after
-- A page of the alerts recorded since a time or so long ago, whichever is earlier (NULLs: all of them), in the order in
-- which they were recorded.
SELECT number, id, state, "timestamp", symbol, rule, terms
FROM alerts
WHERE recorded_at >= coalesce(least(%(since)s::timestamptz, statement_timestamp() - %(ago)s::interval), '-infinity')
  AND number > %(after)s
ORDER BY number
LIMIT %(limit)s;

-- name: save_alert_states
-- Where rules stand now for the symbols whose state changed. A newer state stands, whenever this one is written.
INSERT INTO alert_states AS known (rule, symbol, state, id, since, as_of, last_line_at, lines)
SELECT rule, symbol, state, id, since, as_of, last_line_at, lines
FROM unnest(
    %(rule)s::text[], %(symbol)s::text[], %(state)s::text[], %(id)s::text[], %(since)s::timestamptz[],
    %(as_of)s::timestamptz[], %(last_line_at)s::timestamptz[], %(lines)s::int[]
) AS t (rule, symbol, state, id, since, as_of, last_line_at, lines)
ORDER BY rule, symbol
ON CONFLICT (rule, symbol) DO UPDATE SET
    state = excluded.state, id = excluded.id, since = excluded.since, as_of = excluded.as_of,
    last_line_at = excluded.last_line_at, lines = excluded.lines
WHERE known.as_of < excluded.as_of;

-- name: load_alert_states
-- Where every rule stands that is not inactive.
SELECT rule, symbol, state, id, since, as_of, last_line_at, lines FROM alert_states WHERE state <> 'INACTIVE';
