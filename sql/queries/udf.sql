-- What TradingView's charting library asks a datafeed for (UDF).

-- name: udf_symbol
-- What there is to say of a symbol that is or was watched, and the closes of its last hour of minutes with a tick.
SELECT symbol, base, quote, market, coalesce(name, base), ARRAY(
    SELECT close FROM candles AS c
    WHERE width = '1m' AND c.symbol = i.symbol
    ORDER BY bucket DESC LIMIT 60
)
FROM instruments AS i WHERE symbol = %(symbol)s;

-- name: udf_markets
-- The markets that something is watched on.
SELECT DISTINCT market FROM instruments WHERE watched ORDER BY market;

-- name: udf_search
-- What is watched and has the text in its symbol or name: what begins with it first, and short symbols before long ones.
SELECT symbol, quote, market, coalesce(name, base)
FROM instruments
WHERE watched AND (%(market)s = '' OR market = %(market)s)
  AND (strpos(lower(symbol), lower(%(text)s)) > 0 OR strpos(lower(name), lower(%(text)s)) > 0)
ORDER BY NOT starts_with(lower(symbol), lower(%(text)s)), length(symbol), symbol LIMIT %(limit)s;

-- name: udf_bars
-- The last so many bars that start in a span (both its ends are starts of bars), made of candles of a width, as columns of
-- JSON with commas between: start in seconds, open, high, low, close. Of so many rows there are as many bars at least, or all.
WITH rows AS (
    SELECT date_bin(%(step)s::interval, bucket, 'epoch') AS start, bucket, open, high, low, close
    FROM candles
    WHERE width = %(width)s AND symbol = %(symbol)s AND bucket >= %(since)s AND bucket < %(until)s
    ORDER BY bucket DESC LIMIT %(rows)s
), bars AS (
    SELECT start, (array_agg(open ORDER BY bucket))[1] AS open, max(high) AS high, min(low) AS low,
        (array_agg(close ORDER BY bucket DESC))[1] AS close
    FROM rows GROUP BY start ORDER BY start DESC LIMIT %(limit)s
)
SELECT string_agg(extract(epoch FROM start)::bigint::text, ',' ORDER BY start), string_agg(open::text, ',' ORDER BY start),
    string_agg(high::text, ',' ORDER BY start), string_agg(low::text, ',' ORDER BY start),
    string_agg(close::text, ',' ORDER BY start)
FROM bars;

-- name: udf_bar_before
-- Where the last bar before a time starts, in seconds.
SELECT extract(epoch FROM date_bin(%(step)s::interval, bucket, 'epoch'))::bigint FROM candles
WHERE width = %(width)s AND symbol = %(symbol)s AND bucket < %(before)s
ORDER BY bucket DESC LIMIT 1;

-- name: udf_marks
-- The last so many alerts of a symbol in a span, oldest first.
SELECT * FROM (
    SELECT number, extract(epoch FROM "timestamp")::bigint AS second, state, rule, terms::text
    FROM alerts
    WHERE symbol = %(symbol)s AND "timestamp" >= %(since)s AND "timestamp" < %(until)s
    ORDER BY "timestamp" DESC, number DESC LIMIT %(limit)s
) AS marks
ORDER BY second, number;
