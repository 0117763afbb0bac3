-- name: latest_values
-- The latest price and volume_24h of every watched symbol, or (not NULL) of one symbol, watched or not; NULLs where it
-- has none. From the newest daily candle: a look into a small index a symbol. Where that day has no volume it is the
-- last of the week before.
SELECT i.symbol, i.base, i.quote, i.market, i.watched, p.id, day.close, day.close_at, v.id,
    coalesce(day.volume, earlier.volume), coalesce(day.volume_at, earlier.volume_at)
FROM instruments AS i
JOIN metrics AS p ON p.symbol = i.symbol AND p.type = 'price'
JOIN metrics AS v ON v.symbol = i.symbol AND v.type = 'volume'
LEFT JOIN LATERAL (
    SELECT bucket, close, close_at, volume, volume_at FROM candles AS c
    WHERE width = '1d' AND c.symbol = i.symbol
    ORDER BY bucket DESC LIMIT 1
) AS day ON true
LEFT JOIN LATERAL (
    SELECT volume, volume_at FROM candles AS c
    WHERE day.volume IS NULL AND width = '1d' AND c.symbol = i.symbol AND c.volume IS NOT NULL
      AND c.bucket >= day.bucket - interval '7 days'
    ORDER BY c.bucket DESC LIMIT 1
) AS earlier ON true
WHERE i.symbol = %(symbol)s OR %(symbol)s IS NULL AND i.watched;

-- name: source_of_tick
-- Who published a tick.
SELECT source FROM ticker_data WHERE symbol = %(symbol)s AND "timestamp" = %(timestamp)s::timestamptz;

-- name: metric_of_id
-- Which metric has this id.
SELECT symbol, type FROM metrics WHERE id = %(id)s;

-- name: sums_of_ticks
-- What the ticks of every watched symbol add up to, in a span of whole minutes: how many, the sum and the sum of squares
-- of prices, the same of volumes; and whether that is known. Whole hours of it are a candle each.
SELECT i.symbol, its.*
FROM instruments AS i
CROSS JOIN LATERAL (
    SELECT sum(ticks)::bigint AS ticks, sum(price_sum), sum(price_squares),
        sum(volumes)::bigint, sum(volume_sum), sum(volume_squares), bool_and(price_sum IS NOT NULL)
    FROM (
        SELECT * FROM candles
        WHERE width = '1m' AND symbol = i.symbol
          AND bucket >= %(since)s::timestamptz AND bucket < %(first_hour)s::timestamptz
        UNION ALL
        SELECT * FROM candles
        WHERE width = '1h' AND symbol = i.symbol
          AND bucket >= %(first_hour)s::timestamptz AND bucket < %(last_hour)s::timestamptz
        UNION ALL
        SELECT * FROM candles
        WHERE width = '1m' AND symbol = i.symbol
          AND bucket >= %(last_hour)s::timestamptz AND bucket < %(until)s::timestamptz
    ) AS c
) AS its
WHERE i.watched AND its.ticks > 0;
