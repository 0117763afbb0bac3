-- name: short_questions
-- What the API asks must not hold a reply up, nor, where it only reads, change anything. For the session.
SELECT set_config('statement_timeout', %(seconds)s, false),
    set_config('default_transaction_read_only', CASE WHEN %(read_only)s THEN 'on' ELSE 'off' END, false);

-- name: allow_seconds
-- This transaction alone may take longer, or less long.
SELECT set_config('statement_timeout', %(seconds)s, true);

-- name: answers
-- Does the database answer?
SELECT 1;

-- name: database_facts
-- The server's version and how many bytes the database takes.
SELECT current_setting('server_version'), pg_database_size(current_database());

-- name: latest_ticks
-- For each watched symbol the time of its newest tick and how many seconds ago that was; NULLs where it has none.
-- One look into an index a symbol, newest partition first: max() over all of ticker_data would read it all.
SELECT i.symbol, newest."timestamp", extract(epoch FROM clock_timestamp() - newest."timestamp")::double precision
FROM instruments AS i
LEFT JOIN LATERAL (
    SELECT "timestamp" FROM ticker_data
    WHERE ticker_data.symbol = i.symbol
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest ON true
WHERE i.watched
ORDER BY i.symbol;

-- name: outbox_counts
-- For each channel that there is or was: alerts that wait for it, since when the first of them does, those given up.
SELECT c.name,
    (SELECT count(*) FROM outbox WHERE channel = c.name AND delivered_at IS NULL AND dead_at IS NULL),
    (SELECT created_at FROM outbox WHERE channel = c.name AND delivered_at IS NULL AND dead_at IS NULL
     ORDER BY number LIMIT 1),
    (SELECT count(*) FROM outbox WHERE channel = c.name AND dead_at IS NOT NULL)
FROM channels AS c
ORDER BY c.name;

-- name: database_growth
-- How many bytes the ticks of the last 24 hours take: their number times what a stored tick has taken so far.
-- The number is that of today's daily candles of watched symbols, and of yesterday's the share that is not 24 hours old
-- yet. What a tick takes is the size of ticker_data and candles, with indexes, by the server's own count of ticks, which
-- it estimates. NULL while it has counted none. Nothing here reads a tick.
WITH part AS (
    SELECT relid, true AS holds_ticks FROM pg_partition_tree('ticker_data') WHERE isleaf
    UNION ALL
    SELECT relid, false FROM pg_partition_tree('candles') WHERE isleaf
), stored AS (
    SELECT sum(pg_total_relation_size(part.relid)) AS bytes,
        -- reltuples lags behind, and the statistics are gone after a crash.
        sum(greatest(c.reltuples, pg_stat_get_live_tuples(part.relid), 0)) FILTER (WHERE part.holds_ticks) AS ticks
    FROM part JOIN pg_class AS c ON c.oid = part.relid
), today AS (
    SELECT midnight, extract(epoch FROM now() - midnight)::double precision / 86400 AS elapsed
    FROM (SELECT date_trunc('day', now(), 'UTC') AS midnight) AS its
), lately AS (
    SELECT coalesce(sum(CASE WHEN day.bucket < midnight THEN day.ticks * (1 - elapsed) ELSE day.ticks END), 0) AS ticks
    FROM today CROSS JOIN instruments AS i CROSS JOIN LATERAL (
        SELECT bucket, ticks FROM candles
        WHERE width = '1d' AND symbol = i.symbol AND bucket >= midnight - interval '1 day'
        OFFSET 0  -- two rows by the index for each symbol, never a join with all days there are
    ) AS day
    WHERE i.watched
)
SELECT round(lately.ticks * stored.bytes::double precision / nullif(stored.ticks, 0))::bigint FROM stored, lately;
