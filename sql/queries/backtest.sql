-- name: long_look
-- This transaction reads, for long, and sees the database as it is now. (Nobody waits for it: it locks nothing.)
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL statement_timeout = '10min';
SET LOCAL idle_in_transaction_session_timeout = '1h';  -- while somebody reads our output page by page
SET LOCAL work_mem = '64MB';

-- name: symbols_with_ticks
-- Those of the symbols of which any tick is stored.
SELECT symbol FROM unnest(%(symbols)s::text[]) AS s (symbol)
WHERE EXISTS (SELECT FROM candles WHERE width = '1d' AND candles.symbol = s.symbol);

-- name: symbols_of_span
-- What a daemon that starts then is taken to watch: symbols with ticks on the days of the span, and those that are
-- watched now. (That nothing comes of one which was given up long before is no news.)
SELECT symbol FROM instruments WHERE watched
UNION
SELECT symbol FROM candles WHERE width = '1d'
  AND bucket >= date_trunc('day', %(since)s::timestamptz, 'UTC') AND bucket < %(until)s::timestamptz;

-- name: has_begun
-- Whether any live tick had arrived by then.
SELECT EXISTS (SELECT FROM ticker_data WHERE origin = 'live' AND fetched_at < %(by)s::timestamptz);

-- name: ticks_before
-- What recent_ticks would have said then: for each symbol the newest live tick that had arrived, and those before it
-- that lie at most so many seconds back, oldest first. (One whose time is more than a day after it arrived, by a clock
-- that was wrong, is not looked for.)
SELECT t.symbol, t."timestamp", t.price, t.volume_24h, t.market_cap, t.fetched_at, t.source
FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS s (symbol, place)
CROSS JOIN LATERAL (
    SELECT "timestamp" FROM ticker_data
    WHERE ticker_data.symbol = s.symbol AND origin = 'live' AND fetched_at < %(since)s::timestamptz
      AND "timestamp" < %(since)s::timestamptz + interval '1 day'
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT * FROM ticker_data
    WHERE ticker_data.symbol = s.symbol AND origin = 'live' AND fetched_at < %(since)s::timestamptz
      AND "timestamp" BETWEEN newest."timestamp" - make_interval(secs => %(seconds)s) AND newest."timestamp"
) AS t
ORDER BY place, t."timestamp";

-- name: values_before_those
-- What values_before would have said then: for each symbol, each of its sources and each of these fields, the latest
-- live tick that has it and had arrived, among so many before those that ticks_before finds.
SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source
FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS s (of_symbol, place)
CROSS JOIN LATERAL (
    SELECT "timestamp" - make_interval(secs => %(seconds)s) AS reach FROM ticker_data
    WHERE ticker_data.symbol = of_symbol AND origin = 'live' AND fetched_at < %(since)s::timestamptz
      AND "timestamp" < %(since)s::timestamptz + interval '1 day'
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT DISTINCT unnest(ARRAY[
        CASE WHEN 'price' = ANY (%(fields)s) THEN max("timestamp") END,
        CASE WHEN 'volume' = ANY (%(fields)s) THEN max("timestamp") FILTER (WHERE volume_24h IS NOT NULL) END,
        CASE WHEN 'market_cap' = ANY (%(fields)s) THEN max("timestamp") FILTER (WHERE market_cap IS NOT NULL) END
    ]) AS time
    FROM (
        SELECT * FROM ticker_data
        WHERE ticker_data.symbol = of_symbol AND origin = 'live' AND fetched_at < %(since)s::timestamptz
          AND "timestamp" < reach
        ORDER BY "timestamp" DESC LIMIT %(look_at)s
    ) AS earlier
    GROUP BY source
) AS last
CROSS JOIN LATERAL (  -- by its key, however many the planner thinks there are
    SELECT * FROM ticker_data WHERE ticker_data.symbol = of_symbol AND "timestamp" = last.time LIMIT 1
) AS t
ORDER BY place, "timestamp";

-- name: ticks_as_they_came
-- The live ticks that arrived in a span of time, reply by reply, and within one as a batch has them. Composites stand behind
-- what moved them.
SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source
FROM ticker_data
WHERE origin = 'live' AND fetched_at >= %(since)s::timestamptz AND fetched_at < %(until)s::timestamptz
  AND (%(symbols)s::text[] IS NULL OR symbol = ANY (%(symbols)s::text[]))
ORDER BY fetched_at, source = 'all', source, "timestamp", symbol COLLATE "C";
