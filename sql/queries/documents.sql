-- name: currencies_of
-- In which currencies an asset is or was watched; no row: it never was.
SELECT DISTINCT quote FROM instruments WHERE base = %(base)s ORDER BY quote;

-- name: documents
-- Documents as JSON, with commas between them, and the key of the first tick beyond the limit: of every watched symbol, or
-- of all there is or was of one base; in one currency, or in every one (NULL); from the key on, where one is given.
WITH chosen AS (
    SELECT symbol, base, quote, market, watched,
        metadata || jsonb_build_object('name', name, 'provider_id', provider_id) AS metadata
    FROM instruments
    WHERE CASE WHEN %(base)s::text IS NULL THEN watched ELSE base = %(base)s END
      AND (%(currency)s::text IS NULL OR quote = %(currency)s) AND symbol >= coalesce(%(from_symbol)s, '')
), ticks AS (
    SELECT t.*, row_number() OVER (ORDER BY symbol, "timestamp") AS place
    FROM (
        -- By symbol, so that only those are read that the page has room for, and not so many ticks of every one. (The
        -- order of a subquery is known to what reads it; in PostgreSQL 15 that of a WITH is not.)
        SELECT symbol, t.*
        FROM (SELECT symbol FROM chosen ORDER BY symbol) AS chosen
        CROSS JOIN LATERAL (
            SELECT "timestamp", price, volume_24h, market_cap FROM ticker_data
            WHERE ticker_data.symbol = chosen.symbol AND "timestamp" >= %(since)s AND "timestamp" < %(until)s
              AND "timestamp" >= CASE WHEN chosen.symbol = %(from_symbol)s THEN %(from_time)s ELSE %(since)s END
            ORDER BY "timestamp" LIMIT %(limit)s + 1
        ) AS t
        ORDER BY symbol, "timestamp" LIMIT %(limit)s + 1
    ) AS t
), points AS (
    SELECT symbol, string_agg(
        '{"timestamp":"' || iso_time("timestamp") || '","price":' || price
        || ',"volume_24h":' || coalesce(volume_24h::text, 'null')
        || ',"market_cap":' || coalesce(market_cap::text, 'null') || '}', ',' ORDER BY "timestamp") AS text
    FROM ticks WHERE place <= %(limit)s GROUP BY symbol
), beyond AS (
    SELECT symbol, "timestamp" FROM ticks WHERE place > %(limit)s
)
SELECT string_agg(
    '{"symbol":' || to_json(symbol) || ',"base":' || to_json(base) || ',"currency":' || to_json(quote)
    || ',"market":' || to_json(market) || ',"watched":' || watched || ',"metadata":' || metadata
    || ',"data":[' || coalesce(points.text, '') || ']}', ',' ORDER BY symbol),
    (SELECT symbol FROM beyond), (SELECT "timestamp" FROM beyond)
FROM chosen LEFT JOIN points USING (symbol)
WHERE points.symbol IS NOT NULL OR NOT EXISTS (SELECT FROM beyond) OR symbol < (SELECT symbol FROM beyond);
