-- Metrics: what of a symbol has a history, each under an id that never changes; and their rank, from candles that know
-- what their ticks add up to.

-- A time as the API writes it -----------------------------------------------------------------------------------------

CREATE FUNCTION iso_time(t timestamptz) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_char(t AT TIME ZONE 'UTC', CASE WHEN t::timestamptz(0) = t
        THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"' ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END);
COMMENT ON FUNCTION iso_time IS 'A time as the API writes it: ISO 8601, UTC, with a fraction only where there is one.';

-- Ids -----------------------------------------------------------------------------------------------------------------

-- Without a foreign key: whoever deletes an instrument, and watches it again, finds its metrics under the same ids.
CREATE TABLE metrics (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol text NOT NULL,
    type   text NOT NULL CHECK (type IN ('price', 'volume')),
    UNIQUE (symbol, type)
);
COMMENT ON TABLE metrics IS 'What of each symbol has a history, and the id by which the API knows it.';
COMMENT ON COLUMN metrics.id IS 'Given when the symbol first comes on the watch list, and never to another metric.';
COMMENT ON COLUMN metrics.symbol IS 'Whose; instruments says more.';
COMMENT ON COLUMN metrics.type IS 'price, or volume: the rolling 24-hour volume.';

CREATE FUNCTION make_metrics() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO metrics (symbol, type)
    SELECT symbol, type FROM added CROSS JOIN unnest(ARRAY['price', 'volume']) AS type
    ORDER BY symbol COLLATE "C", type
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION make_metrics IS 'Give the metrics of new instruments their ids.';
REVOKE ALL ON FUNCTION make_metrics() FROM PUBLIC;
CREATE TRIGGER make_metrics AFTER INSERT ON instruments
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION make_metrics();

INSERT INTO metrics (symbol, type)
SELECT symbol, type FROM instruments CROSS JOIN unnest(ARRAY['price', 'volume']) AS type
ORDER BY added_at, symbol COLLATE "C", type;

-- What the ticks of a candle add up to --------------------------------------------------------------------------------

-- Sums of numerics are exact, and adding candles adds theirs: so the standard deviation over any whole minutes is that
-- of their ticks, digit for digit; a whole hour of it is one row.
ALTER TABLE candles
    ADD COLUMN price_sum      numeric,
    ADD COLUMN price_squares  numeric,
    ADD COLUMN volumes        bigint,
    ADD COLUMN volume_sum     numeric,
    ADD COLUMN volume_squares numeric;
COMMENT ON COLUMN candles.price_sum IS 'The sum of all prices. This and the following: NULL where ticks came before there were such sums.';
COMMENT ON COLUMN candles.price_squares IS 'The sum of the squares of all prices.';
COMMENT ON COLUMN candles.volumes IS 'How many ticks have a volume_24h.';
COMMENT ON COLUMN candles.volume_sum IS 'The sum of all volume_24h, for their mean and deviation: it is no volume of anything.';
COMMENT ON COLUMN candles.volume_squares IS 'The sum of the squares of all volume_24h.';

-- As far back as ranks look. Symbol by symbol: only so is there an index for it.
UPDATE candles AS c SET
    price_sum = its.price_sum, price_squares = its.price_squares,
    volumes = its.volumes, volume_sum = its.volume_sum, volume_squares = its.volume_squares
FROM (
    SELECT i.symbol, b.*
    FROM instruments AS i
    CROSS JOIN (VALUES ('1m', interval '1 minute'), ('1h', interval '1 hour')) AS w (width, length)
    CROSS JOIN LATERAL (
        SELECT w.width, date_bin(w.length, t."timestamp", 'epoch') AS bucket,
            sum(price) AS price_sum, sum(price * price) AS price_squares, count(volume_24h) AS volumes,
            coalesce(sum(volume_24h), 0) AS volume_sum, coalesce(sum(volume_24h * volume_24h), 0) AS volume_squares
        FROM ticker_data AS t
        WHERE t.symbol = i.symbol AND t."timestamp" >= date_trunc('hour', now() - interval '25 hours', 'UTC')
        GROUP BY date_bin(w.length, t."timestamp", 'epoch')
    ) AS b
) AS its
WHERE c.width = its.width AND c.symbol = its.symbol AND c.bucket = its.bucket;

-- As in 0006_markets.sql, with the sums.
CREATE OR REPLACE FUNCTION recompute_candles(of_symbol text, begins_at timestamptz, ends_at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    first_minute timestamptz := date_bin('1 minute', begins_at, 'epoch');
    last_minute timestamptz := date_bin('1 minute', ends_at - interval '1 microsecond', 'epoch');
    first_day timestamptz := date_bin('1 day', begins_at, 'epoch');
    last_day timestamptz := date_bin('1 day', ends_at - interval '1 microsecond', 'epoch');
BEGIN
    -- Until we commit nobody else stores ticks: one whose own roll-up came between reading and writing would be lost.
    LOCK TABLE candles IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM candles
    WHERE width = '1m' AND symbol = of_symbol AND bucket BETWEEN first_minute AND last_minute;
    INSERT INTO candles
        (width, symbol, bucket, open, open_at, high, low, close, close_at, volume, volume_at, ticks, minutes,
         price_sum, price_squares, volumes, volume_sum, volume_squares)
    SELECT '1m', of_symbol, b.bucket,
        (array_agg(price ORDER BY "timestamp"))[1], min("timestamp"),
        max(price), min(price),
        (array_agg(price ORDER BY "timestamp" DESC))[1], max("timestamp"),
        (array_agg(volume_24h ORDER BY "timestamp" DESC) FILTER (WHERE volume_24h IS NOT NULL))[1],
        max("timestamp") FILTER (WHERE volume_24h IS NOT NULL),
        count(*), B'1',
        sum(price), sum(price * price),
        count(volume_24h), coalesce(sum(volume_24h), 0), coalesce(sum(volume_24h * volume_24h), 0)
    FROM ticker_data
    CROSS JOIN LATERAL (SELECT date_bin('1 minute', "timestamp", 'epoch') AS bucket) AS b
    WHERE symbol = of_symbol AND "timestamp" >= first_minute AND "timestamp" < last_minute + interval '1 minute'
    GROUP BY b.bucket;
    DELETE FROM candles
    WHERE symbol = of_symbol
      AND (width = '1h' AND bucket BETWEEN date_bin('1 hour', begins_at, 'epoch') AND last_minute
           OR width = '1d' AND bucket BETWEEN first_day AND last_day);
    INSERT INTO candles
        (width, symbol, bucket, open, open_at, high, low, close, close_at, volume, volume_at, ticks, minutes,
         price_sum, price_squares, volumes, volume_sum, volume_squares)
    SELECT w.width, of_symbol, b.bucket,
        (array_agg(m.open ORDER BY m.open_at))[1], min(m.open_at),
        max(m.high), min(m.low),
        (array_agg(m.close ORDER BY m.close_at DESC))[1], max(m.close_at),
        (array_agg(m.volume ORDER BY m.volume_at DESC) FILTER (WHERE m.volume_at IS NOT NULL))[1], max(m.volume_at),
        sum(m.ticks), bit_or(set_bit(w.blank, floor(extract(epoch FROM m.bucket - b.bucket) / 60)::int, 1)),
        -- Unknown where that of any minute is.
        CASE WHEN bool_and(m.price_sum IS NOT NULL) THEN sum(m.price_sum) END,
        CASE WHEN bool_and(m.price_sum IS NOT NULL) THEN sum(m.price_squares) END,
        CASE WHEN bool_and(m.price_sum IS NOT NULL) THEN sum(m.volumes) END,
        CASE WHEN bool_and(m.price_sum IS NOT NULL) THEN sum(m.volume_sum) END,
        CASE WHEN bool_and(m.price_sum IS NOT NULL) THEN sum(m.volume_squares) END
    FROM candles AS m
    CROSS JOIN (
        VALUES ('1h', interval '1 hour', repeat('0', 60)::bit varying),
               ('1d', interval '1 day', repeat('0', 1440)::bit varying)
    ) AS w (width, length, blank)
    CROSS JOIN LATERAL (SELECT date_bin(w.length, m.bucket, 'epoch') AS bucket) AS b
    WHERE m.width = '1m' AND m.symbol = of_symbol
      AND m.bucket >= first_day AND m.bucket < last_day + interval '1 day'
      AND b.bucket >= date_bin(w.length, begins_at, 'epoch') AND b.bucket < ends_at
    GROUP BY w.width, b.bucket;
END $$;

INSERT INTO rights (object, role, privileges) VALUES ('metrics', 'cryptomonitor_app', 'SELECT');
SELECT grant_rights();
