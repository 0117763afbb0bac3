-- name: save_instruments
-- What is watched on a market now; what no longer is stays, unwatched.
WITH watched AS (
    INSERT INTO instruments (symbol, base, quote, market, provider_id, name)
    SELECT symbol, base, quote, %(market)s, provider_id, name
    FROM unnest(
        %(symbol)s::text[], %(base)s::text[], %(quote)s::text[], %(provider_id)s::text[], %(name)s::text[]
    ) AS t (symbol, base, quote, provider_id, name)
    ORDER BY symbol
    ON CONFLICT (symbol) DO UPDATE SET
        provider_id = excluded.provider_id, name = coalesce(excluded.name, instruments.name), watched = true
)
UPDATE instruments SET watched = false
WHERE watched AND market = %(market)s AND symbol <> ALL (%(symbol)s::text[]);

-- name: reserve_calls
-- Count so many more calls of a source in a month; the count with them.
INSERT INTO provider_calls AS p (source, month, calls) VALUES (%(source)s, %(month)s, %(calls)s)
ON CONFLICT (source, month) DO UPDATE SET calls = p.calls + excluded.calls
RETURNING calls;
