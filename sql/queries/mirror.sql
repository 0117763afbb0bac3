-- What clients of CoinGecko ask CoinGecko for, from what is watched. A coin is what the market coingecko knows by an id. In a
-- currency in which it is not watched there, another aggregator's price of it will do: of the same base, with an id of its
-- own, and of the same name, as others may have the ticker, too. (Exchanges give no names.)

-- name: mirrored_currencies
-- In which currencies something is watched that has an id.
SELECT DISTINCT lower(quote) AS currency FROM instruments WHERE watched AND market = 'coingecko' AND provider_id IS NOT NULL
ORDER BY currency;

-- name: mirrored_coins
-- Every coin: id, ticker, name.
SELECT DISTINCT ON (provider_id COLLATE "C") provider_id, lower(base), coalesce(name, base)
FROM instruments WHERE watched AND market = 'coingecko' AND provider_id IS NOT NULL
ORDER BY provider_id COLLATE "C", symbol;

-- name: mirrored_latest
-- The latest tick of coins (all, or where one of ids, names and tickers is not NULL, of these) in currencies, in order of ids;
-- NULLs where there is no tick, and where a coin is watched in none of them. It is looked for from the newest daily candle: a
-- small index, one look a symbol.
WITH coins AS (
    SELECT DISTINCT ON (provider_id COLLATE "C") provider_id AS id, base, name
    FROM instruments
    WHERE watched AND market = 'coingecko' AND provider_id IS NOT NULL
      AND (%(ids)s::text[] IS NULL OR provider_id = ANY (%(ids)s::text[]))
      AND (%(names)s::text[] IS NULL OR lower(name) = ANY (%(names)s::text[]))
      AND (%(tickers)s::text[] IS NULL OR lower(base) = ANY (%(tickers)s::text[]))
    ORDER BY provider_id COLLATE "C", symbol
), served AS (
    SELECT DISTINCT ON (id, quote) id, quote, symbol
    FROM (
        SELECT id, quote, symbol, false AS stands_in
        FROM coins JOIN instruments AS i ON market = 'coingecko' AND provider_id = id
        WHERE watched AND quote = ANY (%(currencies)s::text[])
        UNION ALL
        SELECT id, quote, symbol, true
        FROM coins JOIN instruments AS i ON i.base = coins.base AND lower(i.name) = lower(coins.name)
        WHERE watched AND market <> 'coingecko' AND provider_id IS NOT NULL AND quote = ANY (%(currencies)s::text[])
    ) AS candidates
    ORDER BY id, quote, stands_in, symbol
)
SELECT id, lower(base), coalesce(name, base), quote, symbol, day.close, day.close_at, day.volume, tick.market_cap
FROM coins
LEFT JOIN served USING (id)
LEFT JOIN LATERAL (
    SELECT close, close_at, volume FROM candles AS c
    WHERE width = '1d' AND c.symbol = served.symbol
    ORDER BY bucket DESC LIMIT 1
) AS day ON true
LEFT JOIN LATERAL (
    SELECT market_cap FROM ticker_data AS t
    WHERE t.symbol = served.symbol AND t."timestamp" = day.close_at
    LIMIT 1
) AS tick ON true
ORDER BY id COLLATE "C", quote;

-- name: mirrored_before
-- The last tick of symbols before each of some moments, and not longer before than so: symbol, number of the moment, price,
-- market cap.
SELECT s.symbol, m.number, minute.close, tick.market_cap
FROM unnest(%(symbols)s::text[]) AS s (symbol)
CROSS JOIN unnest(%(moments)s::timestamptz[], %(slacks)s::interval[]) WITH ORDINALITY AS m (moment, slack, number)
CROSS JOIN LATERAL (
    SELECT close, close_at FROM candles AS c
    WHERE width = '1m' AND c.symbol = s.symbol
      AND bucket >= m.moment - m.slack AND bucket <= m.moment AND close_at <= m.moment
    ORDER BY bucket DESC LIMIT 1
) AS minute
LEFT JOIN LATERAL (
    SELECT market_cap FROM ticker_data AS t
    WHERE t.symbol = s.symbol AND t."timestamp" = minute.close_at
    LIMIT 1
) AS tick ON true;

-- name: mirrored_range
-- The highest and lowest price of symbols since a time: from the hours after it, and the minutes before these.
SELECT s.symbol, max(c.high), min(c.low)
FROM unnest(%(symbols)s::text[]) AS s (symbol)
CROSS JOIN LATERAL (
    SELECT high, low FROM candles
    WHERE width = '1m' AND symbol = s.symbol AND bucket >= %(since)s::timestamptz AND bucket < %(hour)s::timestamptz
    UNION ALL
    SELECT high, low FROM candles
    WHERE width = '1h' AND symbol = s.symbol AND bucket >= %(hour)s::timestamptz
) AS c
GROUP BY s.symbol;

-- name: mirrored_sparklines
-- The last price of each hour of symbols since a time.
SELECT s.symbol, c.closes
FROM unnest(%(symbols)s::text[]) AS s (symbol)
CROSS JOIN LATERAL (
    SELECT array_agg(close ORDER BY bucket) AS closes FROM candles
    WHERE width = '1h' AND symbol = s.symbol AND bucket >= %(since)s
) AS c;

-- name: mirrored_symbol
-- Under which symbol a coin is watched in a currency, and whether that currency is one of ours: no row where the coin is not
-- watched, NULL where it is not in this currency.
WITH coin AS (
    SELECT provider_id AS id, base, name FROM instruments
    WHERE watched AND market = 'coingecko' AND provider_id = %(id)s
    ORDER BY symbol LIMIT 1
)
SELECT (
    SELECT symbol FROM instruments AS i
    WHERE watched AND quote = %(currency)s
      AND (market = 'coingecko' AND provider_id = coin.id
           OR market <> 'coingecko' AND provider_id IS NOT NULL AND i.base = coin.base AND lower(i.name) = lower(coin.name))
    ORDER BY market <> 'coingecko', symbol LIMIT 1
)
FROM coin;

-- name: mirrored_chart
-- The last tick of every bucket, made of the candles of a width, as three texts: [milliseconds, value] of its price, market
-- cap and volume_24h, with commas between them. A point has the time of its tick; but a day that is over has the midnight
-- that ends it, where clients look for it.
WITH last AS (
    SELECT DISTINCT ON (date_bin(%(step)s::interval, bucket, 'epoch')) bucket, close, close_at, volume
    FROM candles
    WHERE width = %(width)s AND symbol = %(symbol)s
      AND bucket >= date_bin(%(step)s::interval, %(since)s::timestamptz, 'epoch') - %(back)s::interval AND bucket <= %(until)s
    ORDER BY date_bin(%(step)s::interval, bucket, 'epoch'), bucket DESC
), placed AS (
    SELECT DISTINCT ON (time) time, close, close_at, volume
    FROM last
    CROSS JOIN LATERAL (
        SELECT CASE WHEN %(width)s = '1d' AND bucket + interval '1 day' <= %(now)s THEN bucket + interval '1 day'
            ELSE close_at END AS time
    ) AS t
    WHERE time >= %(since)s AND time <= %(until)s
    ORDER BY time, bucket DESC
), points AS (
    SELECT time, '[' || floor(extract(epoch FROM time) * 1000)::bigint || ',' AS stamp, volume, market_cap,
        CASE WHEN %(decimals)s::int IS NULL THEN close ELSE round(close, %(decimals)s::int) END AS price
    FROM placed
    LEFT JOIN LATERAL (
        SELECT market_cap FROM ticker_data WHERE symbol = %(symbol)s AND "timestamp" = close_at LIMIT 1
    ) AS tick ON true
)
SELECT coalesce(string_agg(stamp || price || ']', ',' ORDER BY time), ''),
    coalesce(string_agg(stamp || coalesce(market_cap::text, 'null') || ']', ',' ORDER BY time), ''),
    coalesce(string_agg(stamp || coalesce(volume::text, 'null') || ']', ',' ORDER BY time), '')
FROM points;

-- name: mirrored_ohlc
-- Candles made of those of a width, of every bucket that starts from a time on: its start, open, high, low, close.
SELECT start, (array_agg(open ORDER BY bucket))[1], max(high), min(low), (array_agg(close ORDER BY bucket DESC))[1]
FROM candles
CROSS JOIN LATERAL (SELECT date_bin(%(step)s::interval, bucket, 'epoch') AS start) AS s
WHERE width = %(width)s AND symbol = %(symbol)s AND bucket >= %(since)s AND start >= %(since)s
GROUP BY start ORDER BY start;
