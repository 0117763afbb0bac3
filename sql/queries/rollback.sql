-- The owner's work, but for the first few: what is removed goes to the tables rolled_back_*, in one transaction.

-- name: what_came_since
-- How many ticks came after a time, by symbol and (UTC) day of their own time.
SELECT symbol, ("timestamp" AT TIME ZONE 'UTC')::date AS day, count(*)
FROM ticker_data WHERE fetched_at > %(to_time)s
GROUP BY 1, 2 ORDER BY 1, 2;

-- name: what_else_came_since
-- How many ticks were released after a time, how many held by hand that were known then; how many alerts, holes and
-- rows of quarantine are not as they were.
SELECT
    (SELECT count(*) FROM quarantine AS q
        WHERE state = 'released' AND held_at <= %(to_time)s AND settled_at > %(to_time)s AND EXISTS (
            SELECT FROM ticker_data AS t
            WHERE t.symbol = q.symbol AND t."timestamp" = q."timestamp" AND t.price = q.price
              AND t.fetched_at <= %(to_time)s)),
    (SELECT count(*) FROM quarantine
        WHERE state = 'held' AND median IS NULL AND fetched_at <= %(to_time)s AND held_at > %(to_time)s),
    (SELECT count(*) FROM alerts WHERE recorded_at > %(to_time)s),
    (SELECT count(*) FROM gaps WHERE greatest(found_at, tried_at, settled_at) > %(to_time)s),
    (SELECT count(*) FROM quarantine WHERE greatest(held_at, settled_at) > %(to_time)s);

-- name: known_anything
-- Had any tick come by then?
SELECT EXISTS (SELECT FROM ticker_data WHERE fetched_at <= %(to_time)s)
    OR EXISTS (SELECT FROM quarantine WHERE fetched_at <= %(to_time)s);

-- name: first_arrival
-- When the first tick came. NULL: none is stored.
SELECT min(fetched_at) FROM ticker_data;

-- name: last_rollback
-- The latest rollback that is not undone.
SELECT id, to_time, done_at, ticks, alerts, gaps, held FROM rollbacks WHERE undone_at IS NULL ORDER BY id DESC LIMIT 1;

-- name: rollback_between
-- A rollback, done after a time and not undone, to another before it: it removed some of what was known at that time.
SELECT id, to_time, done_at, ticks, alerts, gaps, held FROM rollbacks
WHERE undone_at IS NULL AND done_at > %(to_time)s AND to_time < %(to_time)s
ORDER BY id DESC LIMIT 1;

-- name: owns_the_tables
-- Whether we may take ticks away: who we are, and whether the tables are ours.
SELECT current_user, pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'public.ticker_data'::regclass;

-- name: depose_leader
-- Whoever led writes nothing any more, should he only have been frozen; and whoever stands by may take the lease.
UPDATE leader SET epoch = epoch + 1, holder = 'a rollback', renewed_at = '-infinity';

-- name: hold_history
-- Nobody else writes to the history until the transaction ends: what waits in a spool can come without a lease. In the
-- order in which writers take their locks.
LOCK TABLE gaps, alerts, outbox, alert_states, quarantine, ticker_data, candles IN SHARE ROW EXCLUSIVE MODE;

-- name: begin_rollback
-- From here on all that came later is not known any more.
INSERT INTO rollbacks (to_time) VALUES (%(to_time)s) RETURNING id;

-- name: remove_outbox
-- What has to reach the channels of the alerts that will be removed.
INSERT INTO rolled_back_outbox
    (number, id, state, channel, symbol, created_at, vain_before, message, tries, refused_since, next_try_at,
     delivered_at, dead_at, last_error, rollback)
SELECT o.number, o.id, o.state, o.channel, o.symbol, o.created_at, o.vain_before, o.message, o.tries, o.refused_since,
    o.next_try_at, o.delivered_at, o.dead_at, o.last_error, %(rollback)s
FROM outbox AS o JOIN alerts AS a ON (a.id, a.state) = (o.id, o.state)
WHERE a.recorded_at > %(to_time)s;

-- name: remove_alerts
-- Alerts that were recorded after a time, and with them their rows of outbox.
WITH removed AS (
    DELETE FROM alerts WHERE recorded_at > %(to_time)s RETURNING *
)
INSERT INTO rolled_back_alerts
    (number, id, state, "timestamp", symbol, rule, terms, recorded_at, severity, silenced_by, rollback)
SELECT number, id, state, "timestamp", symbol, rule, terms, recorded_at, severity, silenced_by, %(rollback)s
FROM removed;

-- name: keep_quarantine
-- What was held or released after a time, as it is.
INSERT INTO rolled_back_quarantine
    (symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why, state,
     held_at, settled_at, settled_by, rollback)
SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why, state,
    held_at, settled_at, settled_by, %(rollback)s
FROM quarantine WHERE greatest(held_at, settled_at) > %(to_time)s;

-- name: remove_released
-- Ticks that came in time, were held at that time, and released later.
WITH removed AS (
    DELETE FROM ticker_data AS t USING rolled_back_quarantine AS q
    WHERE q.rollback = %(rollback)s AND q.state = 'released' AND q.held_at <= %(to_time)s
      AND t.symbol = q.symbol AND t."timestamp" = q."timestamp" AND t.price = q.price AND t.fetched_at <= %(to_time)s
    RETURNING t.*
)
INSERT INTO rolled_back_ticks
    ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets, rollback)
SELECT "timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets, %(rollback)s FROM removed;

-- name: remove_ticks
-- Ticks that came after a time.
WITH removed AS (
    DELETE FROM ticker_data WHERE fetched_at > %(to_time)s RETURNING *
)
INSERT INTO rolled_back_ticks
    ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets, rollback)
SELECT "timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets, %(rollback)s FROM removed;

-- name: forget_quarantine
-- What was held after a time is not held, ...
DELETE FROM quarantine WHERE held_at > %(to_time)s;

-- name: hold_again
-- ... what was released after it is held again, ...
UPDATE quarantine SET state = 'held', settled_at = NULL, settled_by = NULL WHERE settled_at > %(to_time)s;

-- name: put_back_held
-- ... and what somebody has held by hand since is where it was.
INSERT INTO ticker_data ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets)
SELECT "timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets
FROM rolled_back_quarantine
WHERE rollback = %(rollback)s AND state = 'held' AND median IS NULL
  AND fetched_at <= %(to_time)s AND held_at > %(to_time)s
ON CONFLICT (symbol, "timestamp") DO NOTHING;

-- name: keep_alert_states
-- States that rules came to after a time: those of later ticks, of removed ones, and those with a removed alert.
INSERT INTO rolled_back_alert_states
    (rule, symbol, state, id, since, last_line_at, lines, as_of, digest, recovering_since, rollback)
SELECT rule, symbol, state, id, since, last_line_at, lines, as_of, digest, recovering_since, %(rollback)s
FROM alert_states AS s
WHERE as_of > %(to_time)s
   OR EXISTS (
       SELECT FROM rolled_back_alerts AS a
       WHERE a.rollback = %(rollback)s AND a.rule = s.rule AND a.symbol = s.symbol)
   OR EXISTS (
       SELECT FROM rolled_back_ticks AS t
       WHERE t.rollback = %(rollback)s AND t.symbol = s.symbol AND t."timestamp" = s.as_of);

-- name: set_back_alert_states
-- Of these, where the alerts that are left say that the rule stood: in the last episode that they tell of.
UPDATE alert_states AS s SET
    state = CASE WHEN told.over_at IS NULL THEN 'FIRING' ELSE 'INACTIVE' END,
    id = told.episode,
    since = CASE WHEN s.id = told.episode THEN s.since ELSE told.since END,
    as_of = coalesce(told.over_at, told.last_line_at),
    last_line_at = told.last_line_at, lines = told.lines, recovering_since = NULL,
    digest = CASE WHEN s.id = told.episode THEN s.digest ELSE '' END
FROM rolled_back_alert_states AS kept
CROSS JOIN LATERAL (
    SELECT split_part(id, '.', 1) AS episode FROM alerts AS a
    WHERE a.rule = kept.rule AND a.symbol = kept.symbol ORDER BY number DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT last.episode, min("timestamp") AS since, count(*) FILTER (WHERE state = 'FIRING') AS lines,
        max("timestamp") FILTER (WHERE state = 'FIRING') AS last_line_at,
        max("timestamp") FILTER (WHERE state = 'RESOLVED') AS over_at
    FROM alerts AS a
    WHERE a.rule = kept.rule AND a.symbol = kept.symbol AND split_part(a.id, '.', 1) = last.episode
) AS told
WHERE kept.rollback = %(rollback)s AND s.rule = kept.rule AND s.symbol = kept.symbol;

-- name: forget_alert_states
-- The others of these: no alert tells where they stood.
DELETE FROM alert_states AS s USING rolled_back_alert_states AS kept
WHERE kept.rollback = %(rollback)s AND s.rule = kept.rule AND s.symbol = kept.symbol
  AND NOT EXISTS (SELECT FROM alerts AS a WHERE a.rule = kept.rule AND a.symbol = kept.symbol);

-- name: keep_gaps
-- Holes that were found, tried or settled after a time, as they are; and the open rest of those that were split by that.
WITH open_then AS (
    SELECT *, greatest(tried_at, settled_at) > %(to_time)s IS TRUE AS changed,
        begins_at IS DISTINCT FROM lag(ends_at) OVER (PARTITION BY symbol, found_at ORDER BY begins_at) AS apart
    FROM gaps
    WHERE found_at <= %(to_time)s AND (state = 'open' OR greatest(tried_at, settled_at) > %(to_time)s)
), numbered AS (
    SELECT *, count(*) FILTER (WHERE apart) OVER (PARTITION BY symbol, found_at ORDER BY begins_at) AS whole FROM open_then
), judged AS (
    SELECT *, bool_or(changed) OVER (PARTITION BY symbol, found_at, whole) AS touched FROM numbered
)
INSERT INTO rolled_back_gaps
    (symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at, tried_at, settled_at, rollback)
SELECT symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at, tried_at, settled_at,
    %(rollback)s
FROM judged WHERE touched
UNION ALL
SELECT symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at, tried_at, settled_at,
    %(rollback)s
FROM gaps WHERE found_at > %(to_time)s;

-- name: remove_gaps
-- All of these are gone, ...
DELETE FROM gaps AS g USING rolled_back_gaps AS r
WHERE r.rollback = %(rollback)s AND g.symbol = r.symbol AND g.begins_at = r.begins_at;

-- name: open_gaps_again
-- ... but those that were found by then are open, in one piece. What attempts there had been, the changed ones forgot.
WITH parts AS (
    SELECT *, greatest(tried_at, settled_at) > %(to_time)s IS TRUE AS changed,
        begins_at IS DISTINCT FROM lag(ends_at) OVER (PARTITION BY symbol, found_at ORDER BY begins_at) AS apart
    FROM rolled_back_gaps
    WHERE rollback = %(rollback)s AND found_at <= %(to_time)s
), numbered AS (
    SELECT *, count(*) FILTER (WHERE apart) OVER (PARTITION BY symbol, found_at ORDER BY begins_at) AS whole FROM parts
)
INSERT INTO gaps (symbol, begins_at, ends_at, why, source, attempts, found_at, tried_at)
SELECT symbol, min(begins_at), max(ends_at), 'the history was set back to before it was settled',
    max(source) FILTER (WHERE NOT changed), coalesce(max(attempts) FILTER (WHERE NOT changed), 0), found_at,
    max(tried_at) FILTER (WHERE NOT changed)
FROM numbered GROUP BY symbol, found_at, whole;

-- name: touched_spans
-- Of each symbol the days in a row that a rollback touches: its first and just after its last tick there, and how many.
WITH touched AS (
    SELECT symbol, "timestamp" FROM rolled_back_ticks WHERE rollback = %(rollback)s
    UNION ALL
    SELECT symbol, "timestamp" FROM rolled_back_quarantine WHERE rollback = %(rollback)s
), days AS (
    SELECT symbol, date_bin('1 day', "timestamp", 'epoch') AS day, min("timestamp") AS first, max("timestamp") AS last,
        count(*) AS ticks
    FROM touched GROUP BY 1, 2
), numbered AS (
    SELECT *, day - row_number() OVER (PARTITION BY symbol ORDER BY day) * interval '1 day' AS run FROM days
)
SELECT symbol, min(first), max(last) + interval '1 microsecond', sum(ticks)::bigint
FROM numbered GROUP BY symbol, run ORDER BY symbol, run;

-- name: recompute_candles
-- Make the candles of these spans anew.
SELECT recompute_candles(symbol, begins_at, ends_at)
FROM unnest(%(symbol)s::text[], %(begins_at)s::timestamptz[], %(ends_at)s::timestamptz[]) AS t (symbol, begins_at, ends_at);

-- name: end_rollback
-- How much it was.
UPDATE rollbacks SET ticks = %(ticks)s, alerts = %(alerts)s, gaps = %(gaps)s, held = %(held)s WHERE id = %(rollback)s;

-- name: undone
-- It is as if it had never been.
UPDATE rollbacks SET undone_at = clock_timestamp() WHERE id = %(rollback)s;

-- name: clear_for_held
-- What the rollback let in again, or came again since, and is to be held.
DELETE FROM ticker_data AS t USING rolled_back_quarantine AS q
WHERE q.rollback = %(rollback)s AND q.state = 'held'
  AND t.symbol = q.symbol AND t."timestamp" = q."timestamp" AND t.price = q.price;

-- name: clear_for_ticks
-- Of two ticks of one time the one that was removed stands: it was the first.
DELETE FROM ticker_data AS t USING rolled_back_ticks AS r
WHERE r.rollback = %(rollback)s AND t.symbol = r.symbol AND t."timestamp" = r."timestamp";

-- name: clear_held_ticks
-- The same tick cannot be stored and held.
DELETE FROM quarantine AS q USING rolled_back_ticks AS r
WHERE r.rollback = %(rollback)s AND q.state = 'held'
  AND q.symbol = r.symbol AND q."timestamp" = r."timestamp" AND q.price = r.price;

-- name: restore_ticks
-- Ticks as they were.
WITH back AS (
    DELETE FROM rolled_back_ticks WHERE rollback = %(rollback)s RETURNING *
)
INSERT INTO ticker_data ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets)
SELECT "timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets FROM back
ORDER BY fetched_at;

-- name: clear_for_quarantine
-- Likewise.
DELETE FROM quarantine AS q USING rolled_back_quarantine AS r
WHERE r.rollback = %(rollback)s AND q.symbol = r.symbol AND q."timestamp" = r."timestamp";

-- name: restore_quarantine
-- Quarantine as it was.
WITH back AS (
    DELETE FROM rolled_back_quarantine WHERE rollback = %(rollback)s RETURNING *
)
INSERT INTO quarantine
    (symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why, state,
     held_at, settled_at, settled_by)
SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why, state,
    held_at, settled_at, settled_by
FROM back;

-- name: clear_for_alerts
-- Likewise.
DELETE FROM alerts AS a USING rolled_back_alerts AS r
WHERE r.rollback = %(rollback)s AND a.id = r.id AND a.state = r.state;

-- name: restore_alerts
-- Alerts as they were, under their numbers.
WITH back AS (
    DELETE FROM rolled_back_alerts WHERE rollback = %(rollback)s RETURNING *
)
INSERT INTO alerts (number, id, state, "timestamp", symbol, rule, terms, recorded_at, severity, silenced_by)
    OVERRIDING SYSTEM VALUE
SELECT number, id, state, "timestamp", symbol, rule, terms, recorded_at, severity, silenced_by FROM back ORDER BY number;

-- name: restore_outbox
-- And what has to reach their channels.
WITH back AS (
    DELETE FROM rolled_back_outbox WHERE rollback = %(rollback)s RETURNING *
)
INSERT INTO outbox
    (number, id, state, channel, symbol, created_at, vain_before, message, tries, refused_since, next_try_at,
     delivered_at, dead_at, last_error)
    OVERRIDING SYSTEM VALUE
SELECT number, id, state, channel, symbol, created_at, vain_before, message, tries, refused_since, next_try_at,
    delivered_at, dead_at, last_error
FROM back ORDER BY number;

-- name: restore_alert_states
-- States as they were, but for those that a rule has come to since.
WITH back AS (
    DELETE FROM rolled_back_alert_states WHERE rollback = %(rollback)s RETURNING *
)
INSERT INTO alert_states AS known
    (rule, symbol, state, id, since, last_line_at, lines, as_of, digest, recovering_since)
SELECT rule, symbol, state, id, since, last_line_at, lines, as_of, digest, recovering_since FROM back
ON CONFLICT (rule, symbol) DO UPDATE SET
    state = excluded.state, id = excluded.id, since = excluded.since, last_line_at = excluded.last_line_at,
    lines = excluded.lines, as_of = excluded.as_of, digest = excluded.digest,
    recovering_since = excluded.recovering_since
WHERE known.as_of <= excluded.as_of;

-- name: clear_for_gaps
-- Holes of a symbol never overlap: those that were removed stand. What is still missing is found again.
DELETE FROM gaps AS g USING rolled_back_gaps AS r
WHERE r.rollback = %(rollback)s AND g.symbol = r.symbol AND g.begins_at < r.ends_at AND g.ends_at > r.begins_at;

-- name: restore_gaps
-- Holes as they were.
WITH back AS (
    DELETE FROM rolled_back_gaps WHERE rollback = %(rollback)s RETURNING *
)
INSERT INTO gaps
    (symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at, tried_at, settled_at)
SELECT symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at, tried_at, settled_at
FROM back;
