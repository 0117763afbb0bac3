-- The first schema. Every table and column says in its COMMENT what it holds: \d+ in psql shows it.

-- Ticks -------------------------------------------------------------------------------------------------------------

CREATE TABLE instruments (
    symbol      text PRIMARY KEY,
    base        text NOT NULL,
    quote       text NOT NULL,
    market      text NOT NULL,
    provider_id text,
    name        text,
    watched     boolean NOT NULL DEFAULT true,
    added_at    timestamptz NOT NULL DEFAULT now(),
    metadata    jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE instruments IS 'What is or was watched: one row a symbol.';
COMMENT ON COLUMN instruments.symbol IS 'The one text key: BASE[-QUOTE][@MARKET], without the quote for USD, without the market for the default one.';
COMMENT ON COLUMN instruments.base IS 'The asset, as in BTC.';
COMMENT ON COLUMN instruments.quote IS 'The currency its price is expressed in.';
COMMENT ON COLUMN instruments.market IS 'Where it is observed: an aggregator or an exchange.';
COMMENT ON COLUMN instruments.provider_id IS 'The id by which the provider knows it; coingecko''s for BTC is bitcoin.';
COMMENT ON COLUMN instruments.name IS 'The asset''s name, where the provider gave one.';
COMMENT ON COLUMN instruments.watched IS 'Whether it is on the watch list now. History stays when it is taken off.';
COMMENT ON COLUMN instruments.added_at IS 'When it first came on the watch list.';
COMMENT ON COLUMN instruments.metadata IS 'What else the provider says of it.';

CREATE TABLE ticker_data (
    "timestamp" timestamptz NOT NULL,
    symbol      text NOT NULL,
    price       numeric NOT NULL CHECK (price > 0 AND price < 'Infinity'),
    volume_24h  numeric CHECK (volume_24h >= 0 AND volume_24h < 'Infinity'),
    market_cap  numeric CHECK (market_cap >= 0 AND market_cap < 'Infinity'),
    fetched_at  timestamptz NOT NULL,
    source      text NOT NULL,
    origin      text NOT NULL DEFAULT 'live' CHECK (origin IN ('live', 'backfill')),
    PRIMARY KEY (symbol, "timestamp")
) PARTITION BY RANGE ("timestamp");
COMMENT ON TABLE ticker_data IS 'Every tick: one observation of one symbol, exactly as published. Partitioned by month (UTC).';
COMMENT ON COLUMN ticker_data."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';
COMMENT ON COLUMN ticker_data.symbol IS 'What was observed; instruments says more.';
COMMENT ON COLUMN ticker_data.price IS 'In the quote currency, every published digit kept.';
COMMENT ON COLUMN ticker_data.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';
COMMENT ON COLUMN ticker_data.market_cap IS 'In the quote currency. NULL where none was usable.';
COMMENT ON COLUMN ticker_data.fetched_at IS 'When the reply was complete here.';
COMMENT ON COLUMN ticker_data.source IS 'The provider that answered.';
COMMENT ON COLUMN ticker_data.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

-- Candles -----------------------------------------------------------------------------------------------------------

-- One table for all widths, one partition a width. Each row can take in any further tick of its bucket, in any order:
-- a value stands beside the timestamp that decides about it, and minutes with a tick are bits, so that merging is
-- commutative and taking in the same minute twice changes nothing.
CREATE TABLE candles (
    width     text NOT NULL,
    symbol    text NOT NULL,
    bucket    timestamptz NOT NULL,
    open      numeric NOT NULL,
    open_at   timestamptz NOT NULL,
    high      numeric NOT NULL,
    low       numeric NOT NULL,
    close     numeric NOT NULL,
    close_at  timestamptz NOT NULL,
    volume    numeric,
    volume_at timestamptz,
    ticks     bigint NOT NULL,
    minutes   bit varying NOT NULL,
    PRIMARY KEY (width, symbol, bucket)
) PARTITION BY LIST (width);
CREATE TABLE candles_1m PARTITION OF candles FOR VALUES IN ('1m') WITH (fillfactor = 70);
CREATE TABLE candles_1h PARTITION OF candles FOR VALUES IN ('1h') WITH (fillfactor = 50);
CREATE TABLE candles_1d PARTITION OF candles FOR VALUES IN ('1d') WITH (fillfactor = 50);
COMMENT ON TABLE candles IS 'What ticks roll up into as they are stored. Read ohlcv_1m, ohlcv_1h, ohlcv_1d and daily_ohlcv instead.';
COMMENT ON TABLE candles_1m IS 'The one-minute rows of candles.';
COMMENT ON TABLE candles_1h IS 'The one-hour rows of candles.';
COMMENT ON TABLE candles_1d IS 'The one-day rows of candles.';
COMMENT ON COLUMN candles.width IS 'The length of the bucket: 1m, 1h or 1d.';
COMMENT ON COLUMN candles.symbol IS 'What was observed.';
COMMENT ON COLUMN candles.bucket IS 'The start of the bucket, UTC; it ends before the next one starts.';
COMMENT ON COLUMN candles.open IS 'The price of the earliest tick.';
COMMENT ON COLUMN candles.open_at IS 'The timestamp of the earliest tick.';
COMMENT ON COLUMN candles.high IS 'The highest price of the ticks.';
COMMENT ON COLUMN candles.low IS 'The lowest price of the ticks.';
COMMENT ON COLUMN candles.close IS 'The price of the latest tick.';
COMMENT ON COLUMN candles.close_at IS 'The timestamp of the latest tick.';
COMMENT ON COLUMN candles.volume IS 'The latest volume_24h: a gauge, never a sum.';
COMMENT ON COLUMN candles.volume_at IS 'The timestamp of the tick that volume is from.';
COMMENT ON COLUMN candles.ticks IS 'How many ticks.';
COMMENT ON COLUMN candles.minutes IS 'One bit a minute of the bucket: 1 where the minute has a tick.';

CREATE FUNCTION coverage(minutes bit varying, bucket timestamptz) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN round(
        bit_count(substring(
            minutes FROM 1
            FOR greatest(1, least(length(minutes), floor(extract(epoch FROM now() - bucket) / 60)::int)))::bit varying)
        ::numeric
        / greatest(1, least(length(minutes), floor(extract(epoch FROM now() - bucket) / 60)::int)), 4);
COMMENT ON FUNCTION coverage IS 'The share of a bucket''s elapsed minutes that have a tick: 0 to 1, as of now.';

CREATE VIEW ohlcv_1m AS
    SELECT symbol, bucket, open, high, low, close, volume, ticks, coverage(minutes, bucket) AS coverage
    FROM candles WHERE width = '1m';
CREATE VIEW ohlcv_1h AS
    SELECT symbol, bucket, open, high, low, close, volume, ticks, coverage(minutes, bucket) AS coverage
    FROM candles WHERE width = '1h';
CREATE VIEW ohlcv_1d AS
    SELECT symbol, bucket, open, high, low, close, volume, ticks, coverage(minutes, bucket) AS coverage
    FROM candles WHERE width = '1d';
CREATE MATERIALIZED VIEW daily_ohlcv AS
    SELECT symbol, (bucket AT TIME ZONE 'UTC')::date AS day, open, high, low, close, volume, ticks,
           coverage(minutes, bucket) AS coverage
    FROM candles WHERE width = '1d';
-- What REFRESH ... CONCURRENTLY compares rows by; and the order people ask in.
CREATE UNIQUE INDEX daily_ohlcv_key ON daily_ohlcv (symbol, day);

COMMENT ON VIEW ohlcv_1m IS 'One-minute candles, up to the last stored tick.';
COMMENT ON VIEW ohlcv_1h IS 'One-hour candles, up to the last stored tick.';
COMMENT ON VIEW ohlcv_1d IS 'One-day candles (UTC days), up to the last stored tick.';
COMMENT ON MATERIALIZED VIEW daily_ohlcv IS 'One-day candles (UTC days), as of the last refresh: every VIEW_REFRESH_SECONDS.';
DO $$
DECLARE
    view text;
    described text[] := ARRAY[
        ['symbol', 'What was observed.'],
        ['open', 'The price of the earliest tick.'],
        ['high', 'The highest price of the ticks.'],
        ['low', 'The lowest price of the ticks.'],
        ['close', 'The price of the latest tick.'],
        ['volume', 'The latest volume_24h: a gauge, never a sum.'],
        ['ticks', 'How many ticks.'],
        ['coverage', 'The share of the elapsed minutes that have a tick.']];
    row text[];
BEGIN
    FOREACH view IN ARRAY ARRAY['ohlcv_1m', 'ohlcv_1h', 'ohlcv_1d', 'daily_ohlcv'] LOOP
        FOREACH row SLICE 1 IN ARRAY described LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', view, row[1], row[2]);
        END LOOP;
        IF view = 'daily_ohlcv' THEN
            EXECUTE format('COMMENT ON COLUMN %I.day IS %L', view, 'The UTC day.');
        ELSE
            EXECUTE format('COMMENT ON COLUMN %I.bucket IS %L', view, 'The start of the bucket, UTC; it ends before the next one starts.');
        END IF;
    END LOOP;
END $$;

-- Alerts ------------------------------------------------------------------------------------------------------------

CREATE TABLE alerts (
    number      bigint GENERATED ALWAYS AS IDENTITY,
    id          text NOT NULL,
    state       text NOT NULL CHECK (state IN ('FIRING', 'RESOLVED')),
    "timestamp" timestamptz NOT NULL,
    symbol      text NOT NULL,
    rule        text NOT NULL,
    terms       json NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, state)
);
CREATE UNIQUE INDEX alerts_number ON alerts (number);
CREATE INDEX alerts_timestamp ON alerts ("timestamp");
CREATE INDEX alerts_recorded_at ON alerts (recorded_at);
COMMENT ON TABLE alerts IS 'Every line of alerts.txt: a rule began or ceased to fire for a symbol.';
COMMENT ON COLUMN alerts.number IS 'Grows in the order in which alerts were recorded.';
COMMENT ON COLUMN alerts.id IS 'The episode''s: FIRING and RESOLVED share it, repeats append .2, .3.';
COMMENT ON COLUMN alerts.state IS 'FIRING or RESOLVED.';
COMMENT ON COLUMN alerts."timestamp" IS 'The time of the tick that changed the state.';
COMMENT ON COLUMN alerts.symbol IS 'For which symbol.';
COMMENT ON COLUMN alerts.rule IS 'The name of the rule.';
COMMENT ON COLUMN alerts.terms IS 'The distinct terms of the rule with their values as written, in order.';
COMMENT ON COLUMN alerts.recorded_at IS 'When this row was written.';

CREATE TABLE alert_states (
    rule         text NOT NULL,
    symbol       text NOT NULL,
    state        text NOT NULL CHECK (state IN ('PENDING', 'FIRING')),
    id           text NOT NULL,
    since        timestamptz NOT NULL,
    last_line_at timestamptz,
    lines        integer NOT NULL,
    PRIMARY KEY (rule, symbol)
);
COMMENT ON TABLE alert_states IS 'Where a rule stands for a symbol; no row = inactive. Written with the ticks that caused it.';
COMMENT ON COLUMN alert_states.rule IS 'The name of the rule.';
COMMENT ON COLUMN alert_states.symbol IS 'For which symbol.';
COMMENT ON COLUMN alert_states.state IS 'PENDING (true, but not yet for long enough) or FIRING.';
COMMENT ON COLUMN alert_states.id IS 'The id of the episode.';
COMMENT ON COLUMN alert_states.since IS 'The time of the first tick of the episode.';
COMMENT ON COLUMN alert_states.last_line_at IS 'The time of the tick of the newest FIRING line; NULL while pending.';
COMMENT ON COLUMN alert_states.lines IS 'How many FIRING lines the episode has.';

-- Providers ---------------------------------------------------------------------------------------------------------

CREATE TABLE provider_calls (
    source text NOT NULL,
    month  date NOT NULL,
    calls  integer NOT NULL,
    PRIMARY KEY (source, month)
);
COMMENT ON TABLE provider_calls IS 'Calls spent against a provider''s monthly limit, each reserved before it is made.';
COMMENT ON COLUMN provider_calls.source IS 'The provider.';
COMMENT ON COLUMN provider_calls.month IS 'The first day of the month, UTC.';
COMMENT ON COLUMN provider_calls.calls IS 'Calls reserved in it so far.';

-- Upkeep: what needs the owner's rights, as functions that others may be allowed to call ------------------------------

CREATE FUNCTION make_partition(month date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    partition text := 'ticker_data_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- The lock that ATTACH takes anyway. (Behind an advisory lock the second of two would not see the first's table.)
    LOCK TABLE ticker_data IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('public.' || partition) IS NOT NULL THEN
        RETURN false;  -- somebody else made it while we waited
    END IF;
    -- Not PARTITION OF: that waits behind any open reader of ticker_data, and every insert then waits behind it.
    EXECUTE format('CREATE TABLE %I (LIKE ticker_data INCLUDING ALL)', partition);
    EXECUTE format('ALTER TABLE ticker_data ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition,
        first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    EXECUTE format('COMMENT ON TABLE %I IS %L', partition, 'The ticks of ' || to_char(first, 'YYYY-MM') || ' (UTC).');
    RETURN true;
END $$;
COMMENT ON FUNCTION make_partition IS 'Make the partition of ticker_data for a month; false if it is there.';

CREATE FUNCTION refresh_daily_ohlcv() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF (SELECT relispopulated FROM pg_class WHERE oid = 'daily_ohlcv'::regclass) THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY daily_ohlcv;
    ELSE
        REFRESH MATERIALIZED VIEW daily_ohlcv;  -- a restore that was broken off leaves it empty
    END IF;
END $$;
COMMENT ON FUNCTION refresh_daily_ohlcv IS 'Bring daily_ohlcv up to date without blocking its readers.';

REVOKE ALL ON FUNCTION make_partition(date), refresh_daily_ohlcv() FROM PUBLIC;

-- A role for people -------------------------------------------------------------------------------------------------

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cryptomonitor_reader') THEN
        CREATE ROLE cryptomonitor_reader NOLOGIN;
    END IF;
    GRANT USAGE ON SCHEMA public TO cryptomonitor_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO cryptomonitor_reader;
    -- Partitions and tables to come, too.
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO cryptomonitor_reader;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'The role cryptomonitor_reader could not be made: the database user may not create roles. '
        'Everything else works; ask the server''s administrator for "CREATE ROLE cryptomonitor_reader", '
        'then GRANT SELECT ON ALL TABLES IN SCHEMA public TO cryptomonitor_reader.';
END $$;
