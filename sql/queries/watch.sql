-- name: watch_changes
-- What was added to the watch list, or taken off it, at run time; in the order in which that was said.
SELECT entry, watched, changed_at, error FROM watch ORDER BY changed_at, entry COLLATE "C";

-- name: watch_entries
-- Add these entries to the watch list, or take them off it.
INSERT INTO watch (entry, watched, changed_at)
SELECT entry, %(watched)s, clock_timestamp() FROM unnest(%(entries)s::text[]) AS entry ORDER BY entry
ON CONFLICT (entry) DO UPDATE SET watched = excluded.watched, changed_at = clock_timestamp(), error = NULL;

-- name: forget_entries
-- Nothing was said of these entries: what WATCH says counts again.
DELETE FROM watch WHERE entry = ANY (%(entries)s::text[]);

-- name: watch_failed
-- Why an entry that was added cannot be watched; NULL: it can.
UPDATE watch SET error = %(error)s WHERE entry = %(entry)s AND error IS DISTINCT FROM %(error)s;

-- name: watched_symbols
-- Every symbol that is watched now, with its newest tick.
SELECT symbol, market, provider_id, name, added_at, newest."timestamp", newest.source
FROM instruments
LEFT JOIN LATERAL (
    SELECT "timestamp", source FROM ticker_data
    WHERE ticker_data.symbol = instruments.symbol ORDER BY "timestamp" DESC LIMIT 1
) AS newest ON true
WHERE watched
ORDER BY market COLLATE "C", symbol COLLATE "C";

-- name: page_of_watched
-- The first symbols that are watched now, after one of a market, each with its newest tick.
SELECT symbol, market, provider_id, name, added_at, newest."timestamp", newest.source
FROM (
    SELECT * FROM instruments
    WHERE watched AND (market COLLATE "C", symbol COLLATE "C") > (%(market)s, %(symbol)s)
    ORDER BY market COLLATE "C", symbol COLLATE "C" LIMIT %(limit)s
) AS page
LEFT JOIN LATERAL (
    SELECT "timestamp", source FROM ticker_data
    WHERE ticker_data.symbol = page.symbol ORDER BY "timestamp" DESC LIMIT 1
) AS newest ON true
ORDER BY market COLLATE "C", symbol COLLATE "C";

-- name: is_watched
-- A row if this symbol is watched now.
SELECT symbol FROM instruments WHERE symbol = %(symbol)s AND watched;
