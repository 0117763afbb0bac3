-- name: hold_ticks
-- Write down ticks that are held, and those that three which agree have released. What is written already stands: a
-- tick is held once, and released once. One that somebody held by hand since is not released by what was before.
INSERT INTO quarantine AS q
    (symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why, state,
     held_at, settled_at, settled_by)
SELECT DISTINCT ON (symbol, "timestamp")
    symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why,
    CASE WHEN settled_at IS NULL THEN 'held' ELSE 'released' END, held_at, settled_at,
    CASE WHEN settled_at IS NOT NULL THEN 'three ticks' END
FROM unnest(
    %(symbol)s::text[], %(timestamp)s::timestamptz[], %(price)s::numeric[], %(volume_24h)s::numeric[],
    %(market_cap)s::numeric[], %(fetched_at)s::timestamptz[], %(source)s::text[], %(origin)s::text[],
    %(markets)s::smallint[], %(median)s::numeric[], %(why)s::text[], %(held_at)s::timestamptz[],
    %(settled_at)s::timestamptz[]
) WITH ORDINALITY AS t (symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median,
    why, held_at, settled_at, place)
ORDER BY symbol, "timestamp", settled_at, place
ON CONFLICT (symbol, "timestamp") DO UPDATE SET
    state = excluded.state, settled_at = excluded.settled_at, settled_by = excluded.settled_by
WHERE q.state = 'held' AND excluded.state = 'released' AND q.price = excluded.price
  AND q.held_at <= excluded.settled_at;

-- name: recent_prices
-- For each symbol the last live price of each slot of ten seconds (since 1970) before its newest, for so many seconds.
SELECT t.symbol, t."timestamp", t.price, t.source
FROM unnest(%(symbols)s::text[]) AS s (symbol)
CROSS JOIN LATERAL (
    SELECT "timestamp" FROM ticker_data
    WHERE ticker_data.symbol = s.symbol AND origin = 'live'
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (date_bin('10 seconds', "timestamp", 'epoch')) symbol, "timestamp", price, source
    FROM ticker_data
    WHERE ticker_data.symbol = s.symbol AND origin = 'live'
      AND "timestamp" >= newest."timestamp" - make_interval(secs => %(seconds)s)
    ORDER BY date_bin('10 seconds', "timestamp", 'epoch') DESC, "timestamp" DESC
) AS t
ORDER BY t."timestamp";

-- name: held_lately
-- Ticks of these symbols that are held, and no older than so many seconds before the newest of the symbol that are; in
-- the order in which they came.
SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, median, why, held_at
FROM (
    SELECT *, max("timestamp") OVER (PARTITION BY symbol) AS newest FROM quarantine
    WHERE symbol = ANY (%(symbols)s::text[]) AND state = 'held'
) AS held
WHERE "timestamp" >= newest - make_interval(secs => %(seconds)s)
ORDER BY held_at, "timestamp";

-- name: list_quarantine
-- The latest of what is held, or of all that ever was, the newest first; of one symbol or of all.
SELECT symbol, "timestamp", price, median, source, state, held_at, settled_at, settled_by, why
FROM quarantine
WHERE (state = 'held' OR %(all)s) AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
ORDER BY held_at DESC, "timestamp" DESC, symbol
LIMIT %(limit)s;

-- name: release_tick
-- A held tick is held no more, and is to be stored as it is. No row: none is held with that time.
UPDATE quarantine SET state = 'released', settled_at = clock_timestamp(), settled_by = 'hand'
WHERE symbol = %(symbol)s AND "timestamp" = %(timestamp)s AND state = 'held'
RETURNING symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets;

-- name: hold_tick
-- Take a stored tick out of ticker_data and its candles, into quarantine: whether there was one. NULL: another of that
-- time is held already.
SELECT hold_tick(%(symbol)s, %(timestamp)s, %(why)s);
