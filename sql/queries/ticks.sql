-- name: store_ticks
-- One batch in one statement: new ticks are stored, and rolled up into the candles of all widths. A tick whose
-- (symbol, timestamp) is stored already makes no row (the first stands) and touches no candle; nor does one that is held
-- in quarantine, as somebody may have held it by hand while its provider still repeats it.
-- Ordered by key throughout, so that two writers can never wait for each other in a circle. What is live and new, and
-- the alerts that this transaction has recorded before, are a batch of /api/v1/stream.
WITH incoming AS (
    SELECT *
    FROM unnest(
        %(timestamp)s::timestamptz[], %(symbol)s::text[], %(price)s::numeric[], %(volume_24h)s::numeric[],
        %(market_cap)s::numeric[], %(fetched_at)s::timestamptz[], %(source)s::text[], %(origin)s::text[],
        %(markets)s::smallint[]
    ) WITH ORDINALITY AS t
        ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets, place)
), stored AS (
    INSERT INTO ticker_data ("timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets)
    SELECT "timestamp", symbol, price, volume_24h, market_cap, fetched_at, source, origin, markets
    FROM incoming
    WHERE NOT EXISTS (
        SELECT FROM quarantine AS q
        WHERE q.symbol = incoming.symbol AND q."timestamp" = incoming."timestamp" AND q.price = incoming.price
          AND q.state = 'held')
    ORDER BY symbol, "timestamp", place
    ON CONFLICT (symbol, "timestamp") DO NOTHING
    RETURNING symbol, "timestamp", price, volume_24h, origin
), widths (width, length, blank) AS (
    VALUES ('1m', interval '1 minute', repeat('0', 1)::bit varying),
           ('1h', interval '1 hour', repeat('0', 60)::bit varying),
           ('1d', interval '1 day', repeat('0', 1440)::bit varying)
), placed AS (
    SELECT width, symbol, "timestamp", price, volume_24h, bucket,
        set_bit(blank, floor(extract(epoch FROM "timestamp" - bucket) / 60)::int, 1) AS minute
    FROM stored
    CROSS JOIN widths
    CROSS JOIN LATERAL (SELECT date_bin(length, "timestamp", 'epoch'::timestamptz) AS bucket) AS b
), rolled AS (
    INSERT INTO candles AS c
        (width, symbol, bucket, open, open_at, high, low, close, close_at, volume, volume_at, ticks, minutes,
         price_sum, price_squares, volumes, volume_sum, volume_squares)
    SELECT width, symbol, bucket,
        (array_agg(price ORDER BY "timestamp"))[1], min("timestamp"),
        max(price), min(price),
        (array_agg(price ORDER BY "timestamp" DESC))[1], max("timestamp"),
        (array_agg(volume_24h ORDER BY "timestamp" DESC) FILTER (WHERE volume_24h IS NOT NULL))[1],
        max("timestamp") FILTER (WHERE volume_24h IS NOT NULL),
        count(*), bit_or(minute),
        sum(price), sum(price * price),
        count(volume_24h), coalesce(sum(volume_24h), 0), coalesce(sum(volume_24h * volume_24h), 0)
    FROM placed
    GROUP BY width, symbol, bucket
    ORDER BY width, symbol, bucket
    ON CONFLICT (width, symbol, bucket) DO UPDATE SET
        open = CASE WHEN excluded.open_at < c.open_at THEN excluded.open ELSE c.open END,
        open_at = least(excluded.open_at, c.open_at),
        high = greatest(excluded.high, c.high),
        low = least(excluded.low, c.low),
        close = CASE WHEN excluded.close_at > c.close_at THEN excluded.close ELSE c.close END,
        close_at = greatest(excluded.close_at, c.close_at),
        volume = CASE WHEN excluded.volume_at > c.volume_at OR c.volume_at IS NULL THEN excluded.volume ELSE c.volume END,
        volume_at = greatest(excluded.volume_at, c.volume_at),
        ticks = c.ticks + excluded.ticks,
        minutes = c.minutes | excluded.minutes,
        -- NULL, of candles that older versions made, stays NULL.
        price_sum = c.price_sum + excluded.price_sum,
        price_squares = c.price_squares + excluded.price_squares,
        volumes = c.volumes + excluded.volumes,
        volume_sum = c.volume_sum + excluded.volume_sum,
        volume_squares = c.volume_squares + excluded.volume_squares
    RETURNING 1
), numbered AS (
    INSERT INTO batches (number, ticks, symbols, timestamps, alerts)
    SELECT next_batch(), count(*), coalesce(array_agg(symbol), '{}'), coalesce(array_agg("timestamp"), '{}'),
        coalesce((SELECT array_agg(number ORDER BY number) FROM alerts WHERE recorded_at = now()), '{}')
    FROM (SELECT symbol, "timestamp" FROM stored WHERE origin = 'live' ORDER BY "timestamp", symbol COLLATE "C") AS t
    WHERE (SELECT count(*) FROM rolled) > 0  -- these first: next_batch() is for the end
    HAVING count(*) > 0 OR EXISTS (SELECT FROM alerts WHERE recorded_at = now())
)
SELECT symbol, "timestamp" FROM stored;

-- name: make_partition
-- The partition of ticker_data for the month that a day lies in.
SELECT make_partition(%(month)s::date);

-- name: recent_ticks
-- For each symbol its newest live tick and those before it that lie at most so many seconds back, oldest first; of the
-- first symbol those after a time (NULL: all). A page of them: each look into the index ends at the limit.
SELECT t.symbol, t."timestamp", t.price, t.volume_24h, t.market_cap, t.fetched_at, t.source
FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS s (symbol, place)
CROSS JOIN LATERAL (
    SELECT "timestamp" FROM ticker_data
    WHERE ticker_data.symbol = s.symbol AND origin = 'live'
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT * FROM ticker_data
    WHERE ticker_data.symbol = s.symbol AND origin = 'live'
      AND "timestamp" >= newest."timestamp" - make_interval(secs => %(seconds)s)
      AND "timestamp" > CASE WHEN place = 1 THEN coalesce(%(after)s::timestamptz, '-infinity') ELSE '-infinity' END
    ORDER BY "timestamp" LIMIT %(limit)s
) AS t
ORDER BY place, t."timestamp"
LIMIT %(limit)s;

-- name: values_before
-- For each symbol, each of its sources and each of these columns, the latest live tick that has it, among so many of the
-- symbol's last ticks before those that recent_ticks finds.
SELECT place, symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source
FROM unnest(%(symbols)s::text[]) WITH ORDINALITY AS s (of_symbol, place)
CROSS JOIN LATERAL (
    SELECT "timestamp" - make_interval(secs => %(seconds)s) AS reach FROM ticker_data
    WHERE ticker_data.symbol = of_symbol AND origin = 'live'
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT DISTINCT unnest(ARRAY[
        CASE WHEN 'price' = ANY (%(columns)s) THEN max("timestamp") END,
        CASE WHEN 'volume_24h' = ANY (%(columns)s) THEN max("timestamp") FILTER (WHERE volume_24h IS NOT NULL) END,
        CASE WHEN 'market_cap' = ANY (%(columns)s) THEN max("timestamp") FILTER (WHERE market_cap IS NOT NULL) END
    ]) AS time
    FROM (
        SELECT * FROM ticker_data
        WHERE ticker_data.symbol = of_symbol AND origin = 'live' AND "timestamp" < reach
        ORDER BY "timestamp" DESC LIMIT %(look_at)s
    ) AS before
    GROUP BY source
) AS last
CROSS JOIN LATERAL (  -- by its key, however many the planner thinks there are
    SELECT * FROM ticker_data WHERE ticker_data.symbol = of_symbol AND "timestamp" = last.time LIMIT 1
) AS t
ORDER BY place, "timestamp";

-- name: take_time
-- What follows in this transaction may take longer than a session's statements otherwise may.
SET LOCAL statement_timeout = '10min';

-- name: refresh_daily_ohlcv
-- Bring daily_ohlcv up to date without blocking its readers.
SELECT refresh_daily_ohlcv();

-- name: newest_day
-- The last day that daily_ohlcv knows of.
SELECT max(day) FROM daily_ohlcv;
