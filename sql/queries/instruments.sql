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
        market = excluded.market,
        provider_id = excluded.provider_id,
        name = coalesce(excluded.name, instruments.name),
        watched = true,
        delisted_at = CASE WHEN instruments.market = excluded.market THEN instruments.delisted_at END,
        looked_up_at = CASE WHEN instruments.market = excluded.market THEN instruments.looked_up_at END
)
UPDATE instruments SET watched = false
WHERE watched AND market = %(market)s AND symbol <> ALL (%(symbol)s::text[]);

-- name: save_facts
-- What providers say of instruments, beside what they said of other kinds before.
UPDATE instruments SET metadata = metadata || facts
FROM unnest(%(symbol)s::text[], %(facts)s::jsonb[]) AS t (of_symbol, facts)
WHERE symbol = of_symbol AND NOT metadata @> facts;

-- name: known_instruments
-- What is or was watched on a market, and the ids by which the provider knew each coin before.
WITH RECURSIVE its (symbol, id) AS (
    SELECT symbol, provider_id FROM instruments WHERE market = %(market)s AND provider_id IS NOT NULL
    UNION
    SELECT symbol, provider_id_before
    FROM its JOIN aliases USING (symbol)
    WHERE provider_id = id AND market = %(market)s AND why = 'renamed'
)
SELECT symbol, base, quote, market, provider_id, name, watched, ids, delisted_at, looked_up_at
FROM instruments JOIN (SELECT symbol, array_agg(id) AS ids FROM its GROUP BY symbol) AS known USING (symbol)
ORDER BY symbol COLLATE "C";

-- name: settle_instruments
-- What was found out about coins of a market: other ids, and whether they are listed.
WITH found AS (
    SELECT *
    FROM unnest(%(symbol)s::text[], %(provider_id)s::text[], %(name)s::text[], %(is_delisted)s::bool[], %(why)s::text[])
        AS t (symbol, new_id, new_name, is_delisted, reason)
), before AS (
    SELECT symbol, provider_id AS old_id, new_id, new_name, is_delisted, reason
    FROM found JOIN instruments USING (symbol)
    WHERE market = %(market)s
), settled AS (
    UPDATE instruments SET
        provider_id = new_id,
        name = CASE WHEN old_id = new_id THEN coalesce(new_name, name) ELSE new_name END,
        delisted_at = CASE WHEN is_delisted THEN coalesce(delisted_at, %(at)s) END,
        looked_up_at = CASE WHEN reason = 'renamed' THEN %(at)s::timestamptz END
    FROM before WHERE instruments.symbol = before.symbol
)
INSERT INTO aliases (symbol, market, provider_id_before, provider_id, why)
SELECT symbol, %(market)s, old_id, new_id, reason FROM before WHERE old_id <> new_id;

-- name: known_symbols
-- Those of these symbols that are or were watched.
SELECT symbol FROM instruments WHERE symbol = ANY (%(symbols)s::text[]);
