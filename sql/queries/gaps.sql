-- name: minutes_of_days
-- Of each symbol the days of a span, in order: how many ticks, and which minutes have one ('1': all of them); and
-- whether there are any before. A symbol without a day in the span has one row.
SELECT s.symbol, d.bucket, coalesce(d.ticks, 0),
    CASE WHEN bit_count(d.minutes) = length(d.minutes) THEN '1' ELSE coalesce(d.minutes::text, '') END, older
FROM unnest(%(symbols)s::text[]) AS s (symbol)
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM candles WHERE width = '1d' AND symbol = s.symbol AND bucket < %(first_day)s::timestamptz
    ) AS older
    OFFSET 0
) AS before
LEFT JOIN candles AS d
    ON d.width = '1d' AND d.symbol = s.symbol
    AND d.bucket >= %(first_day)s::timestamptz AND d.bucket < %(until)s::timestamptz
ORDER BY s.symbol, d.bucket;

-- name: minutes_of_market
-- The same of all these symbols together: in which minutes any of them has a tick.
SELECT bucket, sum(ticks)::bigint, bit_or(minutes)::text, false
FROM candles
WHERE width = '1d' AND symbol = ANY (%(symbols)s::text[])
  AND bucket >= %(first_day)s::timestamptz AND bucket < %(until)s::timestamptz
GROUP BY bucket
ORDER BY bucket;

-- name: edges_of_holes
-- Of each pair of minutes, one before a hole and one after it, the last tick of the one and the first of the other.
SELECT place, last.close_at, first.open_at
FROM unnest(%(symbol)s::text[], %(minute_before)s::timestamptz[], %(minute_after)s::timestamptz[])
    WITH ORDINALITY AS h (symbol, minute_before, minute_after, place)
LEFT JOIN candles AS last ON last.width = '1m' AND last.symbol = h.symbol AND last.bucket = minute_before
LEFT JOIN candles AS first ON first.width = '1m' AND first.symbol = h.symbol AND first.bucket = minute_after
ORDER BY place;

-- name: hold_gaps
-- Nobody else adds holes, or settles any, until the transaction ends.
LOCK TABLE gaps IN SHARE ROW EXCLUSIVE MODE;

-- name: known_gaps
-- What is known already of a span: holes of every state.
SELECT symbol, begins_at, ends_at FROM gaps
WHERE symbol = ANY (%(symbols)s::text[]) AND begins_at < %(until)s::timestamptz AND ends_at > %(since)s::timestamptz
ORDER BY symbol, begins_at;

-- name: symbols_with_open_gaps
-- Whose holes are open within a span: where the newest of them ends, how often one was asked for in vain, and their
-- seconds in all.
SELECT symbol, max(least(ends_at, %(until)s::timestamptz)), max(attempts),
    sum(extract(epoch FROM least(ends_at, %(until)s::timestamptz) - greatest(begins_at, %(since)s::timestamptz)))::float
FROM gaps
WHERE state = 'open' AND symbol = ANY (%(symbols)s::text[])
  AND begins_at < %(until)s::timestamptz AND ends_at > %(since)s::timestamptz
GROUP BY symbol;

-- name: open_gaps
-- The open holes of a symbol within a span, newest first.
SELECT symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at
FROM gaps
WHERE state = 'open' AND symbol = %(symbol)s AND begins_at < %(until)s::timestamptz AND ends_at > %(since)s::timestamptz
ORDER BY begins_at DESC;

-- name: take_gaps
-- The same, taken out: what becomes of them is put back in the same transaction.
DELETE FROM gaps
WHERE state = 'open' AND symbol = %(symbol)s AND begins_at < %(until)s::timestamptz AND ends_at > %(since)s::timestamptz
RETURNING symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at;

-- name: put_gaps
-- Holes as they are now. One that was never asked for has no source.
INSERT INTO gaps (symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at, tried_at, settled_at)
SELECT symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, coalesce(found_at, now()),
    CASE WHEN source IS NOT NULL THEN now() END, CASE WHEN state <> 'open' THEN now() END
FROM unnest(
    %(symbol)s::text[], %(begins_at)s::timestamptz[], %(ends_at)s::timestamptz[], %(state)s::text[], %(why)s::text[],
    %(resolution)s::interval[], %(source)s::text[], %(ticks)s::int[], %(attempts)s::int[], %(found_at)s::timestamptz[]
) AS t (symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at);

-- name: reopen_gaps
-- What was given up within a span is tried again.
UPDATE gaps SET state = 'open', settled_at = NULL
WHERE state = 'unrecoverable' AND symbol = ANY (%(symbols)s::text[])
  AND begins_at < %(until)s::timestamptz AND ends_at > %(since)s::timestamptz;

-- name: let_gaps_go
-- What will be asked for no more: too old, or of what nobody watches. Not what somebody else may be filling just now.
UPDATE gaps
SET state = 'unrecoverable', settled_at = now(),
    why = CASE WHEN ends_at <= %(oldest)s::timestamptz THEN %(too_old)s::text ELSE %(unwatched)s::text END
WHERE state = 'open' AND greatest(found_at, tried_at) < %(since)s::timestamptz
  AND (ends_at <= %(oldest)s::timestamptz
       OR NOT EXISTS (SELECT FROM instruments AS i WHERE i.symbol = gaps.symbol AND i.watched));

-- name: minutes_with_live_ticks
-- The minutes of a symbol, within these spans, in which a live tick stands.
SELECT DISTINCT date_bin('1 minute', t."timestamp", 'epoch'::timestamptz)
FROM unnest(%(begin)s::timestamptz[], %(end)s::timestamptz[]) AS span (begins_at, ends_at)
CROSS JOIN LATERAL (
    SELECT "timestamp" FROM ticker_data
    WHERE symbol = %(symbol)s AND origin = 'live' AND "timestamp" >= span.begins_at AND "timestamp" < span.ends_at
) AS t;

-- name: count_gaps
-- How many holes are in which state.
SELECT state, count(*) FROM gaps GROUP BY state;

-- name: watched_instruments
-- What is watched, on these markets.
SELECT base, quote, market, symbol, provider_id, name FROM instruments
WHERE watched AND market = ANY (%(markets)s::text[])
ORDER BY symbol;

-- name: instruments_of
-- What is known of these symbols, watched or not.
SELECT base, quote, market, symbol, provider_id, name FROM instruments
WHERE symbol = ANY (%(symbols)s::text[])
ORDER BY symbol;

-- name: know_instruments
-- Write down what was asked for by name and is not known yet; it is not watched by that.
INSERT INTO instruments (symbol, base, quote, market, provider_id, name, watched)
SELECT symbol, base, quote, market, provider_id, name, false
FROM unnest(
    %(symbol)s::text[], %(base)s::text[], %(quote)s::text[], %(market)s::text[], %(provider_id)s::text[], %(name)s::text[]
) AS t (symbol, base, quote, market, provider_id, name)
ORDER BY symbol
ON CONFLICT (symbol) DO NOTHING;

-- name: gaps_of_span
-- All that is known of a span, newest first.
SELECT symbol, begins_at, ends_at, state, why, resolution, source, ticks, attempts, found_at
FROM gaps
WHERE symbol = ANY (%(symbols)s::text[]) AND begins_at < %(until)s::timestamptz AND ends_at > %(since)s::timestamptz
ORDER BY begins_at DESC, symbol;
