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

-- name: page_of_alerts
-- The numbers of the latest alerts before one (NULL: of all) that are as is asked for; NULLs ask for nothing.
SELECT number FROM alerts AS a
WHERE (%(before)s::bigint IS NULL OR number < %(before)s::bigint)
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
  AND (%(since)s::timestamptz IS NULL OR "timestamp" >= %(since)s::timestamptz)
  AND (%(until)s::timestamptz IS NULL OR "timestamp" < %(until)s::timestamptz)
  AND (%(acknowledged)s::boolean IS NULL
       OR EXISTS (SELECT FROM acknowledged WHERE episode = split_part(a.id, '.', 1)) = %(acknowledged)s::boolean)
ORDER BY number DESC
LIMIT %(limit)s;

-- name: page_of_alerts_of
-- The same of some symbols and rules (patterns), or of what fires now alone. From one pair of them to the next and of
-- each its latest, by the index: what is rare is found without reading all that is not.
WITH RECURSIVE walked AS (
    (SELECT rule, symbol FROM alerts WHERE NOT %(firing)s ORDER BY rule, symbol LIMIT 1)
    UNION ALL
    SELECT following.rule, following.symbol FROM walked CROSS JOIN LATERAL (
        SELECT rule, symbol FROM alerts AS a
        WHERE (a.rule, a.symbol) > (walked.rule, walked.symbol) ORDER BY a.rule, a.symbol LIMIT 1) AS following
), pair AS (
    SELECT rule, symbol, 0::bigint AS first FROM walked
    UNION ALL
    SELECT s.rule, s.symbol, a.number FROM alert_states AS s JOIN alerts AS a ON (a.id, a.state) = (s.id, 'FIRING')
    WHERE %(firing)s AND s.state IN ('FIRING', 'RECOVERING')
), wanted AS MATERIALIZED (
    SELECT * FROM pair WHERE selects(%(symbol)s, symbol) AND matches(rule, %(rule)s)
)
SELECT found.number
FROM wanted CROSS JOIN LATERAL (
    SELECT number FROM alerts AS a
    WHERE rule = wanted.rule AND symbol = wanted.symbol AND number >= wanted.first
      AND (%(before)s::bigint IS NULL OR number < %(before)s::bigint)
      AND (%(state)s::text IS NULL OR state = %(state)s::text)
      AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
      AND (%(since)s::timestamptz IS NULL OR "timestamp" >= %(since)s::timestamptz)
      AND (%(until)s::timestamptz IS NULL OR "timestamp" < %(until)s::timestamptz)
      AND (%(acknowledged)s::boolean IS NULL
           OR EXISTS (SELECT FROM acknowledged WHERE episode = split_part(a.id, '.', 1)) = %(acknowledged)s::boolean)
    ORDER BY number DESC LIMIT %(limit)s
) AS found
ORDER BY found.number DESC
LIMIT %(limit)s;

-- name: alerts_in_full
-- Alerts by their numbers, each as JSON, with what became of it on every channel it was queued for.
SELECT row_to_json(its)::text
FROM unnest(%(numbers)s::bigint[]) WITH ORDINALITY AS t (number, place)
JOIN alerts AS a USING (number)
LEFT JOIN acknowledged AS k ON k.episode = split_part(a.id, '.', 1)
CROSS JOIN LATERAL (
    SELECT a.id, split_part(a.id, '.', 1) AS episode, a.state, iso_time(a."timestamp") AS "timestamp", a.symbol, a.rule,
        a.severity, a.terms, iso_time(a.recorded_at) AS recorded_at, a.silenced_by,
        CASE WHEN k.episode IS NOT NULL THEN json_build_object(
            'at', iso_time(k.acknowledged_at), 'by', k.acknowledged_by, 'note', k.note) END AS acknowledged,
        coalesce((
            SELECT json_agg(json_build_object(
                'channel', o.channel, 'queued_at', iso_time(o.created_at), 'delivered_at', iso_time(o.delivered_at),
                'given_up_at', iso_time(o.dead_at), 'failed_tries', o.tries, 'last_error', o.last_error) ORDER BY o.number)
            FROM outbox AS o WHERE (o.id, o.state) = (a.id, a.state)), '[]') AS deliveries
) AS its
ORDER BY t.place;

-- name: find_episode
-- An episode: its rule and symbol, when it began and ended, whether it fires now, the numbers of its first and last line.
WITH ends AS (SELECT * FROM alerts WHERE id = %(episode)s)
SELECT rule, symbol, severity,
    (SELECT "timestamp" FROM ends WHERE state = 'FIRING'), (SELECT "timestamp" FROM ends WHERE state = 'RESOLVED'),
    EXISTS (SELECT FROM alert_states WHERE alert_states.rule = ends.rule AND alert_states.symbol = ends.symbol
            AND alert_states.id = ends.id AND alert_states.state IN ('FIRING', 'RECOVERING')),
    number AS first, (SELECT number FROM ends WHERE state = 'RESOLVED') AS last
FROM ends ORDER BY ends.number LIMIT 1;

-- name: lines_of_episode
-- The numbers of an episode's first lines after one, in the order in which they were recorded.
SELECT number FROM alerts
WHERE rule = %(rule)s AND symbol = %(symbol)s AND number > %(after)s AND number >= %(first)s
  AND (%(last)s::bigint IS NULL OR number <= %(last)s::bigint) AND split_part(id, '.', 1) = %(episode)s
ORDER BY number
LIMIT %(limit)s;

-- name: find_acknowledgement
-- That somebody has taken note of an episode.
SELECT acknowledged_at, acknowledged_by, note FROM acknowledged WHERE episode = %(episode)s;

-- name: acknowledge
-- Somebody has taken note of an episode; said anew, the last word counts.
INSERT INTO acknowledged AS known (episode, acknowledged_at, acknowledged_by, note)
VALUES (%(episode)s, clock_timestamp(), %(by)s, %(note)s)
ON CONFLICT (episode) DO UPDATE SET
    acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by, note = excluded.note
RETURNING acknowledged_at, acknowledged_by, note;

-- name: forget_acknowledgement
-- Nobody has taken note of an episode after all. A row, if somebody had.
DELETE FROM acknowledged WHERE episode = %(episode)s RETURNING episode;
