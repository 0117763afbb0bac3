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
