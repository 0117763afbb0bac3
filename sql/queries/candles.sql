-- name: stored_candles
-- Candles of a width as they are stored, oldest first. Numbers as text, every digit; covered: how many of the minutes that
-- were over at a time have a tick.
SELECT bucket AS start, open_at, open::text, high::text, low::text, close::text, volume::text, ticks,
    CASE WHEN bucket + %(length)s::interval <= %(now)s THEN bit_count(minutes)
        ELSE bit_count(substring(minutes FROM 1
            FOR greatest(0, floor(extract(epoch FROM %(now)s - bucket) / 60)::int))::bit varying)
    END AS covered
FROM candles
WHERE width = %(width)s AND symbol = %(symbol)s AND bucket >= %(since)s AND bucket < %(until)s
ORDER BY bucket LIMIT %(limit)s;

-- name: merged_candles
-- Candles that are made of smaller ones, as stored_candles has them. Buckets are given as runs (app/api/buckets.py): one
-- after the other without a hole, each of buckets of one length. They are made of rows of one width; a row that an edge
-- cuts is replaced by its minutes. So many rows are read that, where there are as many, they hold a candle more than the
-- limit, however rare they are: that one alone may be cut off, and is there to say where the next page starts.
WITH runs AS (
    SELECT run, begins_at, ends_at, length
    FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[], %(lengths)s::interval[])
        WITH ORDINALITY AS r (begins_at, ends_at, length, run)
), base AS MATERIALIZED (
    SELECT bucket, open, open_at, high, low, close, volume, volume_at, ticks, minutes
    FROM candles
    WHERE width = %(width)s AND symbol = %(symbol)s
      AND bucket > %(since)s::timestamptz - %(step)s::interval AND bucket < %(until)s
    ORDER BY bucket LIMIT %(rows)s
), judged AS (
    SELECT base.*, NOT %(cut)s OR coalesce(date_bin(length, last, begins_at) <= bucket AND last < ends_at, false) AS whole
    FROM base
    CROSS JOIN LATERAL (SELECT bucket + %(step)s::interval - interval '1 microsecond' AS last) AS l
    LEFT JOIN runs ON %(cut)s AND run = width_bucket(last, %(begins)s::timestamptz[])
), parts AS (
    SELECT bucket, open, open_at, high, low, close, volume, volume_at, ticks, minutes FROM judged WHERE whole
    UNION ALL
    SELECT m.bucket, m.open, m.open_at, m.high, m.low, m.close, m.volume, m.volume_at, m.ticks, m.minutes
    FROM judged AS j
    JOIN candles AS m ON m.width = '1m' AND m.symbol = %(symbol)s
        AND m.bucket >= j.bucket AND m.bucket < j.bucket + %(step)s::interval
    WHERE NOT whole
), placed AS (
    SELECT date_bin(length, bucket, begins_at) AS start, parts.*,
        CASE WHEN bucket + length(minutes) * interval '1 minute' <= %(now)s THEN bit_count(minutes)
            ELSE bit_count(substring(minutes FROM 1
                FOR greatest(0, floor(extract(epoch FROM %(now)s - bucket) / 60)::int))::bit varying)
        END AS covered
    FROM parts
    JOIN runs ON run = width_bucket(bucket, %(begins)s::timestamptz[]) AND bucket < ends_at
)
-- All in one order, which newer servers sort by only once.
SELECT start, min(open_at), (array_agg(open ORDER BY bucket))[1]::text, max(high)::text, min(low)::text,
    (array_agg(close ORDER BY bucket))[count(*)]::text,
    (array_agg(volume ORDER BY bucket) FILTER (WHERE volume_at IS NOT NULL))[count(volume_at)]::text,
    sum(ticks)::bigint, sum(covered)::bigint
FROM placed
GROUP BY start ORDER BY start LIMIT %(limit)s;

-- name: known_candles
-- Candles of what was known at a time, as stored_candles has them; made of ticks, and of runs as merged_candles are.
SELECT date_bin(length, t."timestamp", begins_at) AS start, min(t."timestamp"),
    (array_agg(t.price ORDER BY t."timestamp"))[1]::text, max(t.price)::text, min(t.price)::text,
    (array_agg(t.price ORDER BY t."timestamp"))[count(*)]::text,
    (array_agg(t.volume_24h ORDER BY t."timestamp") FILTER (WHERE t.volume_24h IS NOT NULL))[count(t.volume_24h)]::text,
    count(*), count(DISTINCT minute) FILTER (WHERE minute + interval '1 minute' <= %(now)s)
FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[], %(lengths)s::interval[]) AS r (begins_at, ends_at, length)
CROSS JOIN LATERAL known_ticks(%(symbol)s, begins_at, ends_at, %(as_of)s) AS t
CROSS JOIN LATERAL (SELECT date_bin('1 minute', t."timestamp", 'epoch'::timestamptz) AS minute) AS m
GROUP BY start ORDER BY start LIMIT %(limit)s;

-- name: close_before
-- The close of the last minute with a tick before a time.
SELECT close::text FROM candles
WHERE width = '1m' AND symbol = %(symbol)s AND bucket < %(since)s
ORDER BY bucket DESC LIMIT 1;

-- name: known_close_before
-- The last price before a time, in so many seconds before, of those known at another time.
SELECT price::text
FROM known_ticks(%(symbol)s, %(since)s::timestamptz - make_interval(secs => %(seconds)s), %(since)s, %(as_of)s)
ORDER BY "timestamp" DESC LIMIT 1;

-- name: first_minute_from
-- The first minute with a tick from a time on, NULL where there is none.
SELECT min(bucket) FROM candles WHERE width = '1m' AND symbol = %(symbol)s AND bucket >= %(since)s;
