-- name: announce_alerts
-- Of these alerts those that this transaction has recorded, as a batch; where it stores ticks too, store_ticks does that.
-- Has to be the last that is done in the transaction.
INSERT INTO batches (number, ticks, symbols, timestamps, alerts)
SELECT next_batch(), 0, '{}', '{}', array_agg(number ORDER BY number)
FROM alerts
WHERE recorded_at = now() AND (id, state) IN (SELECT * FROM unnest(%(id)s::text[], %(state)s::text[]))
HAVING count(*) > 0;

-- name: forget_batches
-- Leave the batches of the last minutes, not too many, and the last one.
DELETE FROM batches
WHERE number < (SELECT max(number) FROM batches)
  AND (recorded_at < now() - make_interval(mins => %(minutes)s)
       OR number <= (SELECT number FROM batches ORDER BY number DESC OFFSET %(most)s LIMIT 1));

-- name: listen
-- To be told of every batch at its commit.
LISTEN cryptomonitor;

-- name: batch_numbers
-- The numbers of the first and of the last batch that are kept.
SELECT min(number), max(number) FROM batches;

-- name: batches_from
-- The batch of this number, if it is kept still, and those after it, until so many ticks or batches are together: of
-- each the number and its events, in their order, as JSON. A candle of several batches comes with the last of them.
WITH first AS (
    SELECT number, ticks, symbols, timestamps, alerts FROM batches
    WHERE number >= %(number)s ORDER BY number LIMIT %(batches)s
), counted AS (
    SELECT *, sum(CASE WHEN number > %(number)s THEN ticks ELSE 0 END) OVER (ORDER BY number) - ticks AS before FROM first
), page AS MATERIALIZED (
    SELECT number, symbols, timestamps, alerts FROM counted WHERE before <= %(ticks)s
), named AS MATERIALIZED (
    SELECT number, symbol, "timestamp", place
    FROM page CROSS JOIN unnest(symbols, timestamps) WITH ORDINALITY AS t (symbol, "timestamp", place)
    WHERE number > %(number)s
), events AS (
    SELECT named.number, 1 AS kind, place, named.symbol, tick.json
    FROM named CROSS JOIN LATERAL (
        SELECT row_to_json(its) AS json FROM (
            SELECT symbol, iso_time("timestamp") AS "timestamp", price, volume_24h, market_cap, source
            FROM ticker_data AS t
            WHERE t.symbol = named.symbol AND t."timestamp" = named."timestamp"
            OFFSET 0  -- each by its key
        ) AS its
    ) AS tick
    UNION ALL
    SELECT touched.number, 2, place, touched.symbol, candle.json
    FROM (
        SELECT symbol, date_bin('1 minute', "timestamp", 'epoch'::timestamptz) AS bucket, max(number) AS number,
            min(place) AS place
        FROM named GROUP BY 1, 2
    ) AS touched CROSS JOIN LATERAL (
        SELECT row_to_json(its) AS json FROM (
            SELECT symbol, '1m' AS interval, iso_time(bucket) AS bucket, open, high, low, close, volume, ticks
            FROM candles AS c
            WHERE c.width = '1m' AND c.symbol = touched.symbol AND c.bucket = touched.bucket
            OFFSET 0
        ) AS its
    ) AS candle
    UNION ALL
    SELECT page.number, 3, a.number, a.symbol, row_to_json(its)
    FROM page
    JOIN alerts AS a ON a.number = ANY (page.alerts)
    CROSS JOIN LATERAL (
        SELECT iso_time(a."timestamp") AS "timestamp", a.state, a.symbol, a.rule, a.terms, a.severity, a.id
    ) AS its
    WHERE page.number > %(number)s
)
SELECT page.number, kind, symbol, json::text
FROM page LEFT JOIN events USING (number)
ORDER BY number, kind, place, symbol;
