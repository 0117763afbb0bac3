-- What a metric was, as one text, an entry a point, oldest first; the time of its last point, and whether more follow.
-- A query for each place that points are read from: the planner takes its time for what it does not need.

-- name: history_of_ticks
-- Its ticks.
SELECT
    string_agg(%(before)s || iso_time(time) || %(between)s || value || %(after)s, ',') FILTER (WHERE place <= %(limit)s),
    max(time) FILTER (WHERE place <= %(limit)s), count(*) > %(limit)s
FROM (
    SELECT time, value, row_number() OVER (ORDER BY time) AS place
    FROM ticker_data AS t
    CROSS JOIN LATERAL (
        SELECT t."timestamp" AS time, CASE %(type)s WHEN 'price' THEN t.price ELSE t.volume_24h END AS value) AS its
    WHERE t.symbol = %(symbol)s AND t."timestamp" >= %(since)s::timestamptz AND t."timestamp" < %(until)s::timestamptz
      AND value IS NOT NULL
    ORDER BY time LIMIT %(limit)s + 1
) AS page;

-- name: history_of_candles
-- The last value of each bucket that starts in the span.
SELECT
    string_agg(%(before)s || iso_time(time) || %(between)s || value || %(after)s, ',') FILTER (WHERE place <= %(limit)s),
    max(time) FILTER (WHERE place <= %(limit)s), count(*) > %(limit)s
FROM (
    SELECT time, value, row_number() OVER (ORDER BY time) AS place
    FROM candles AS c
    CROSS JOIN LATERAL (
        SELECT c.bucket AS time, CASE %(type)s WHEN 'price' THEN c.close ELSE c.volume END AS value) AS its
    WHERE c.width = %(resolution)s AND c.symbol = %(symbol)s
      AND c.bucket >= %(since)s::timestamptz AND c.bucket < %(until)s::timestamptz AND value IS NOT NULL
    ORDER BY time LIMIT %(limit)s + 1
) AS page;

-- name: history_as_of
-- Either of these as it was known at a time. (Of ticks a bucket is a microsecond.)
SELECT
    string_agg(%(before)s || iso_time(time) || %(between)s || value || %(after)s, ',') FILTER (WHERE place <= %(limit)s),
    max(time) FILTER (WHERE place <= %(limit)s), count(*) > %(limit)s
FROM (
    SELECT time, (array_agg(value ORDER BY "timestamp" DESC))[1] AS value, row_number() OVER (ORDER BY time) AS place
    FROM known_ticks(
        %(symbol)s,
        date_bin(%(width)s::interval, %(since)s::timestamptz + %(width)s::interval - interval '1 us', 'epoch'),
        date_bin(%(width)s::interval, %(until)s::timestamptz + %(width)s::interval - interval '1 us', 'epoch'),
        %(as_of)s::timestamptz) AS t
    CROSS JOIN LATERAL (
        SELECT date_bin(%(width)s::interval, t."timestamp", 'epoch') AS time,
            CASE %(type)s WHEN 'price' THEN t.price ELSE t.volume_24h END AS value) AS its
    WHERE value IS NOT NULL
    GROUP BY time
    ORDER BY time LIMIT %(limit)s + 1
) AS page;

-- name: history_in_short
-- All points of the span, thinned to max_points where they are more: the span from the first to the last is cut
-- into so many equal parts, of each of which the first, the last, the lowest and the highest stay (M4). Then how many
-- points there were; NULL for the text where they are more than most.
WITH points (time, value) AS (
    SELECT "timestamp", CASE %(type)s WHEN 'price' THEN price ELSE volume_24h END
    FROM ticker_data
    WHERE %(resolution)s = 'tick' AND %(as_of)s::timestamptz IS NULL
      AND symbol = %(symbol)s AND "timestamp" >= %(since)s::timestamptz AND "timestamp" < %(until)s::timestamptz
    UNION ALL
    SELECT bucket, CASE %(type)s WHEN 'price' THEN close ELSE volume END
    FROM candles
    WHERE width = %(resolution)s AND %(as_of)s::timestamptz IS NULL
      AND symbol = %(symbol)s AND bucket >= %(since)s::timestamptz AND bucket < %(until)s::timestamptz
    UNION ALL
    SELECT time, (array_agg(value ORDER BY "timestamp" DESC))[1]
    FROM known_ticks(
        %(symbol)s,
        date_bin(%(width)s::interval, %(since)s::timestamptz + %(width)s::interval - interval '1 us', 'epoch'),
        date_bin(%(width)s::interval, %(until)s::timestamptz + %(width)s::interval - interval '1 us', 'epoch'),
        %(as_of)s::timestamptz) AS t
    CROSS JOIN LATERAL (
        SELECT date_bin(%(width)s::interval, t."timestamp", 'epoch') AS time,
            CASE %(type)s WHEN 'price' THEN t.price ELSE t.volume_24h END AS value) AS its
    WHERE %(as_of)s::timestamptz IS NOT NULL AND value IS NOT NULL
    GROUP BY time
), found AS MATERIALIZED (
    SELECT time, value FROM points WHERE value IS NOT NULL LIMIT %(most)s + 1
), of_all AS (
    SELECT count(*) AS points, min(time) AS first, extract(epoch FROM max(time) - min(time))::float8 AS seconds FROM found
), parted AS MATERIALIZED (
    -- The last point ends its part; where all fit each is a part of its own.
    SELECT time, value, CASE WHEN points <= %(max_points)s THEN row_number() OVER () ELSE
        least(%(max_points)s / 4 - 1,
            floor(extract(epoch FROM time - first)::float8 / seconds * (%(max_points)s / 4))::int) END AS part
    FROM found CROSS JOIN of_all
    WHERE points <= %(most)s
), edges AS (
    SELECT part, min(time) AS first, max(time) AS last, min(value) AS low, max(value) AS high FROM parted GROUP BY part
), kept AS (
    SELECT time, value FROM parted JOIN edges USING (part) WHERE time = edges.first OR time = edges.last
    UNION
    (SELECT DISTINCT ON (part) time, value FROM parted JOIN edges USING (part) WHERE value = low ORDER BY part, time)
    UNION
    (SELECT DISTINCT ON (part) time, value FROM parted JOIN edges USING (part) WHERE value = high ORDER BY part, time)
)
SELECT string_agg(%(before)s || iso_time(time) || %(between)s || value || %(after)s, ','), (SELECT points FROM of_all)
FROM (SELECT * FROM kept ORDER BY time) AS k;
