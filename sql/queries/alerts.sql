-- name: record_alerts
-- The alerts that a batch caused, in the order in which they came about; known ones are left alone. A FIRING that a
-- silence covers, by its time, is marked with it.
INSERT INTO alerts (id, state, "timestamp", symbol, rule, terms, severity, silenced_by)
SELECT id, state, "timestamp", symbol, rule, terms, severity, CASE WHEN state = 'FIRING' THEN (
    SELECT min(s.id) FROM silences AS s
    WHERE s.starts_at <= t."timestamp" AND s.ends_at > t."timestamp"
      AND (s.ended_at IS NULL OR s.ended_at > t."timestamp")
      AND matches(t.rule, s.rule) AND selects(s.symbol, t.symbol) AND matches(t.severity, s.severity)) END
FROM unnest(
    %(id)s::text[], %(state)s::text[], %(timestamp)s::timestamptz[], %(symbol)s::text[], %(rule)s::text[],
    %(terms)s::json[], %(severity)s::text[]
) WITH ORDINALITY AS t (id, state, "timestamp", symbol, rule, terms, severity, place)
ORDER BY place
ON CONFLICT (id, state) DO NOTHING;

-- name: alerts_after
-- A page of the alerts recorded since a time or so long ago, whichever is earlier (NULLs: all of them), in the order in
-- which they were recorded.
SELECT number, id, state, "timestamp", symbol, rule, terms, severity
FROM alerts
WHERE recorded_at >= coalesce(least(%(since)s::timestamptz, statement_timestamp() - %(ago)s::interval), '-infinity')
  AND number > %(after)s
ORDER BY number
LIMIT %(limit)s;

-- name: save_alert_states
-- Where rules stand now for the symbols whose state changed. A newer state stands, whenever this one is written.
INSERT INTO alert_states AS known
    (rule, symbol, state, id, since, as_of, last_line_at, lines, recovering_since, digest)
SELECT rule, symbol, state, id, since, as_of, last_line_at, lines, recovering_since, digest
FROM unnest(
    %(rule)s::text[], %(symbol)s::text[], %(state)s::text[], %(id)s::text[], %(since)s::timestamptz[],
    %(as_of)s::timestamptz[], %(last_line_at)s::timestamptz[], %(lines)s::int[], %(recovering_since)s::timestamptz[],
    %(digest)s::text[]
) AS t (rule, symbol, state, id, since, as_of, last_line_at, lines, recovering_since, digest)
ORDER BY rule, symbol
ON CONFLICT (rule, symbol) DO UPDATE SET
    state = excluded.state, id = excluded.id, since = excluded.since, as_of = excluded.as_of,
    last_line_at = excluded.last_line_at, lines = excluded.lines, recovering_since = excluded.recovering_since,
    digest = excluded.digest
WHERE known.as_of < excluded.as_of;

-- name: load_alert_states
-- Where every rule stands that ever was not inactive.
SELECT rule, symbol, state, id, since, as_of, last_line_at, lines, recovering_since, digest
FROM alert_states;

-- name: list_alerts
-- The latest alerts, newest first.
SELECT id, state, "timestamp", symbol, rule, terms, severity FROM alerts ORDER BY number DESC LIMIT %(limit)s;

-- name: list_alerts_of
-- The latest alerts of these symbols and rules (patterns), newest first. From one pair of them to the next and of each
-- its latest, by the index: what is rare is found without reading all that is not.
WITH RECURSIVE pair AS (
    (SELECT rule, symbol FROM alerts ORDER BY rule, symbol LIMIT 1)
    UNION ALL
    SELECT following.rule, following.symbol FROM pair CROSS JOIN LATERAL (
        SELECT rule, symbol FROM alerts AS a
        WHERE (a.rule, a.symbol) > (pair.rule, pair.symbol) ORDER BY a.rule, a.symbol LIMIT 1) AS following
)
SELECT a.id, a.state, a."timestamp", a.symbol, a.rule, a.terms, a.severity
FROM pair CROSS JOIN LATERAL (
    SELECT * FROM alerts WHERE rule = pair.rule AND symbol = pair.symbol ORDER BY number DESC LIMIT %(limit)s) AS a
WHERE matches(lower(pair.symbol), lower(%(symbol)s)) AND matches(pair.rule, %(rule)s)
ORDER BY a.number DESC
LIMIT %(limit)s;

-- name: list_alerts_firing
-- Those alone that fire now, newest first, repeats as well: the id of an episode's n-th line ends in .n.
SELECT a.id, a.state, a."timestamp", a.symbol, a.rule, a.terms, a.severity
FROM alert_states AS s
CROSS JOIN generate_series(greatest(1, s.lines - %(limit)s + 1), greatest(1, s.lines)) AS line
CROSS JOIN LATERAL (  -- LIMIT: each by its key, not all of the table at once
    SELECT * FROM alerts
    WHERE state = 'FIRING' AND id = s.id || CASE WHEN line > 1 THEN '.' || line ELSE '' END LIMIT 1) AS a
WHERE s.state IN ('FIRING', 'RECOVERING')
  AND matches(lower(s.symbol), lower(%(symbol)s)) AND matches(s.rule, %(rule)s)
ORDER BY a.number DESC
LIMIT %(limit)s;

-- name: what_became_of
-- Of each of these alerts, for each channel it was queued for: when it was delivered or given up, and the last error.
SELECT o.id, o.state, o.channel, o.delivered_at, o.dead_at, o.last_error
FROM outbox AS o
JOIN unnest(%(id)s::text[], %(state)s::text[]) AS t (id, state) ON (o.id, o.state) = (t.id, t.state)
ORDER BY o.number;
