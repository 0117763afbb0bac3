SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE FUNCTION public.coverage(minutes bit varying, bucket timestamp with time zone) RETURNS numeric
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN round(((bit_count(((SUBSTRING(minutes FROM 1 FOR GREATEST(1, LEAST(length((minutes)::"bit"), (floor((EXTRACT(epoch FROM (now() - bucket)) / (60)::numeric)))::integer))))::bit varying)::"bit"))::numeric / (GREATEST(1, LEAST(length((minutes)::"bit"), (floor((EXTRACT(epoch FROM (now() - bucket)) / (60)::numeric)))::integer)))::numeric), 4);

COMMENT ON FUNCTION public.coverage(minutes bit varying, bucket timestamp with time zone) IS 'The share of a bucket''s elapsed minutes that have a tick: 0 to 1, as of now.';

CREATE FUNCTION public.make_partition(month date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
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

COMMENT ON FUNCTION public.make_partition(month date) IS 'Make the partition of ticker_data for a month; false if it is there.';

CREATE FUNCTION public.refresh_daily_ohlcv() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF (SELECT relispopulated FROM pg_class WHERE oid = 'daily_ohlcv'::regclass) THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY daily_ohlcv;
    ELSE
        REFRESH MATERIALIZED VIEW daily_ohlcv;  -- a restore that was broken off leaves it empty
    END IF;
END $$;

COMMENT ON FUNCTION public.refresh_daily_ohlcv() IS 'Bring daily_ohlcv up to date without blocking its readers.';

SET default_tablespace = '';

CREATE TABLE public.alert_states (
    rule text NOT NULL,
    symbol text NOT NULL,
    state text NOT NULL,
    id text NOT NULL,
    since timestamp with time zone NOT NULL,
    last_line_at timestamp with time zone,
    lines integer NOT NULL,
    CONSTRAINT alert_states_state_check CHECK ((state = ANY (ARRAY['PENDING'::text, 'FIRING'::text])))
);

COMMENT ON TABLE public.alert_states IS 'Where a rule stands for a symbol; no row = inactive. Written with the ticks that caused it.';

COMMENT ON COLUMN public.alert_states.rule IS 'The name of the rule.';

COMMENT ON COLUMN public.alert_states.symbol IS 'For which symbol.';

COMMENT ON COLUMN public.alert_states.state IS 'PENDING (true, but not yet for long enough) or FIRING.';

COMMENT ON COLUMN public.alert_states.id IS 'The id of the episode.';

COMMENT ON COLUMN public.alert_states.since IS 'The time of the first tick of the episode.';

COMMENT ON COLUMN public.alert_states.last_line_at IS 'The time of the tick of the newest FIRING line; NULL while pending.';

COMMENT ON COLUMN public.alert_states.lines IS 'How many FIRING lines the episode has.';

CREATE TABLE public.alerts (
    number bigint NOT NULL,
    id text NOT NULL,
    state text NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    rule text NOT NULL,
    terms json NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT alerts_state_check CHECK ((state = ANY (ARRAY['FIRING'::text, 'RESOLVED'::text])))
);

COMMENT ON TABLE public.alerts IS 'Every line of alerts.txt: a rule began or ceased to fire for a symbol.';

COMMENT ON COLUMN public.alerts.number IS 'Grows in the order in which alerts were recorded.';

COMMENT ON COLUMN public.alerts.id IS 'The episode''s: FIRING and RESOLVED share it, repeats append .2, .3.';

COMMENT ON COLUMN public.alerts.state IS 'FIRING or RESOLVED.';

COMMENT ON COLUMN public.alerts."timestamp" IS 'The time of the tick that changed the state.';

COMMENT ON COLUMN public.alerts.symbol IS 'For which symbol.';

COMMENT ON COLUMN public.alerts.rule IS 'The name of the rule.';

COMMENT ON COLUMN public.alerts.terms IS 'The distinct terms of the rule with their values as written, in order.';

COMMENT ON COLUMN public.alerts.recorded_at IS 'When this row was written.';

ALTER TABLE public.alerts ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.alerts_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.candles (
    width text NOT NULL,
    symbol text NOT NULL,
    bucket timestamp with time zone NOT NULL,
    open numeric NOT NULL,
    open_at timestamp with time zone NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    close_at timestamp with time zone NOT NULL,
    volume numeric,
    volume_at timestamp with time zone,
    ticks bigint NOT NULL,
    minutes bit varying NOT NULL
)
PARTITION BY LIST (width);

COMMENT ON TABLE public.candles IS 'What ticks roll up into as they are stored. Read ohlcv_1m, ohlcv_1h, ohlcv_1d and daily_ohlcv instead.';

COMMENT ON COLUMN public.candles.width IS 'The length of the bucket: 1m, 1h or 1d.';

COMMENT ON COLUMN public.candles.symbol IS 'What was observed.';

COMMENT ON COLUMN public.candles.bucket IS 'The start of the bucket, UTC; it ends before the next one starts.';

COMMENT ON COLUMN public.candles.open IS 'The price of the earliest tick.';

COMMENT ON COLUMN public.candles.open_at IS 'The timestamp of the earliest tick.';

COMMENT ON COLUMN public.candles.high IS 'The highest price of the ticks.';

COMMENT ON COLUMN public.candles.low IS 'The lowest price of the ticks.';

COMMENT ON COLUMN public.candles.close IS 'The price of the latest tick.';

COMMENT ON COLUMN public.candles.close_at IS 'The timestamp of the latest tick.';

COMMENT ON COLUMN public.candles.volume IS 'The latest volume_24h: a gauge, never a sum.';

COMMENT ON COLUMN public.candles.volume_at IS 'The timestamp of the tick that volume is from.';

COMMENT ON COLUMN public.candles.ticks IS 'How many ticks.';

COMMENT ON COLUMN public.candles.minutes IS 'One bit a minute of the bucket: 1 where the minute has a tick.';

CREATE TABLE public.candles_1d (
    width text NOT NULL,
    symbol text NOT NULL,
    bucket timestamp with time zone NOT NULL,
    open numeric NOT NULL,
    open_at timestamp with time zone NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    close_at timestamp with time zone NOT NULL,
    volume numeric,
    volume_at timestamp with time zone,
    ticks bigint NOT NULL,
    minutes bit varying NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE public.candles_1d IS 'The one-day rows of candles.';

CREATE TABLE public.candles_1h (
    width text NOT NULL,
    symbol text NOT NULL,
    bucket timestamp with time zone NOT NULL,
    open numeric NOT NULL,
    open_at timestamp with time zone NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    close_at timestamp with time zone NOT NULL,
    volume numeric,
    volume_at timestamp with time zone,
    ticks bigint NOT NULL,
    minutes bit varying NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE public.candles_1h IS 'The one-hour rows of candles.';

CREATE TABLE public.candles_1m (
    width text NOT NULL,
    symbol text NOT NULL,
    bucket timestamp with time zone NOT NULL,
    open numeric NOT NULL,
    open_at timestamp with time zone NOT NULL,
    high numeric NOT NULL,
    low numeric NOT NULL,
    close numeric NOT NULL,
    close_at timestamp with time zone NOT NULL,
    volume numeric,
    volume_at timestamp with time zone,
    ticks bigint NOT NULL,
    minutes bit varying NOT NULL
)
WITH (fillfactor='70');

COMMENT ON TABLE public.candles_1m IS 'The one-minute rows of candles.';

CREATE MATERIALIZED VIEW public.daily_ohlcv AS
 SELECT candles.symbol,
    ((candles.bucket AT TIME ZONE 'UTC'::text))::date AS day,
    candles.open,
    candles.high,
    candles.low,
    candles.close,
    candles.volume,
    candles.ticks,
    public.coverage(candles.minutes, candles.bucket) AS coverage
   FROM public.candles
  WHERE (candles.width = '1d'::text)
  WITH NO DATA;

COMMENT ON MATERIALIZED VIEW public.daily_ohlcv IS 'One-day candles (UTC days), as of the last refresh: every VIEW_REFRESH_SECONDS.';

COMMENT ON COLUMN public.daily_ohlcv.symbol IS 'What was observed.';

COMMENT ON COLUMN public.daily_ohlcv.day IS 'The UTC day.';

COMMENT ON COLUMN public.daily_ohlcv.open IS 'The price of the earliest tick.';

COMMENT ON COLUMN public.daily_ohlcv.high IS 'The highest price of the ticks.';

COMMENT ON COLUMN public.daily_ohlcv.low IS 'The lowest price of the ticks.';

COMMENT ON COLUMN public.daily_ohlcv.close IS 'The price of the latest tick.';

COMMENT ON COLUMN public.daily_ohlcv.volume IS 'The latest volume_24h: a gauge, never a sum.';

COMMENT ON COLUMN public.daily_ohlcv.ticks IS 'How many ticks.';

COMMENT ON COLUMN public.daily_ohlcv.coverage IS 'The share of the elapsed minutes that have a tick.';

CREATE TABLE public.instruments (
    symbol text NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    market text NOT NULL,
    provider_id text,
    name text,
    watched boolean DEFAULT true NOT NULL,
    added_at timestamp with time zone DEFAULT now() NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL
);

COMMENT ON TABLE public.instruments IS 'What is or was watched: one row a symbol.';

COMMENT ON COLUMN public.instruments.symbol IS 'The one text key: BASE[-QUOTE][@MARKET], without the quote for USD, without the market for the default one.';

COMMENT ON COLUMN public.instruments.base IS 'The asset, as in BTC.';

COMMENT ON COLUMN public.instruments.quote IS 'The currency its price is expressed in.';

COMMENT ON COLUMN public.instruments.market IS 'Where it is observed: an aggregator or an exchange.';

COMMENT ON COLUMN public.instruments.provider_id IS 'The id by which the provider knows it; coingecko''s for BTC is bitcoin.';

COMMENT ON COLUMN public.instruments.name IS 'The asset''s name, where the provider gave one.';

COMMENT ON COLUMN public.instruments.watched IS 'Whether it is on the watch list now. History stays when it is taken off.';

COMMENT ON COLUMN public.instruments.added_at IS 'When it first came on the watch list.';

COMMENT ON COLUMN public.instruments.metadata IS 'What else the provider says of it.';

CREATE VIEW public.ohlcv_1d AS
 SELECT candles.symbol,
    candles.bucket,
    candles.open,
    candles.high,
    candles.low,
    candles.close,
    candles.volume,
    candles.ticks,
    public.coverage(candles.minutes, candles.bucket) AS coverage
   FROM public.candles
  WHERE (candles.width = '1d'::text);

COMMENT ON VIEW public.ohlcv_1d IS 'One-day candles (UTC days), up to the last stored tick.';

COMMENT ON COLUMN public.ohlcv_1d.symbol IS 'What was observed.';

COMMENT ON COLUMN public.ohlcv_1d.bucket IS 'The start of the bucket, UTC; it ends before the next one starts.';

COMMENT ON COLUMN public.ohlcv_1d.open IS 'The price of the earliest tick.';

COMMENT ON COLUMN public.ohlcv_1d.high IS 'The highest price of the ticks.';

COMMENT ON COLUMN public.ohlcv_1d.low IS 'The lowest price of the ticks.';

COMMENT ON COLUMN public.ohlcv_1d.close IS 'The price of the latest tick.';

COMMENT ON COLUMN public.ohlcv_1d.volume IS 'The latest volume_24h: a gauge, never a sum.';

COMMENT ON COLUMN public.ohlcv_1d.ticks IS 'How many ticks.';

COMMENT ON COLUMN public.ohlcv_1d.coverage IS 'The share of the elapsed minutes that have a tick.';

CREATE VIEW public.ohlcv_1h AS
 SELECT candles.symbol,
    candles.bucket,
    candles.open,
    candles.high,
    candles.low,
    candles.close,
    candles.volume,
    candles.ticks,
    public.coverage(candles.minutes, candles.bucket) AS coverage
   FROM public.candles
  WHERE (candles.width = '1h'::text);

COMMENT ON VIEW public.ohlcv_1h IS 'One-hour candles, up to the last stored tick.';

COMMENT ON COLUMN public.ohlcv_1h.symbol IS 'What was observed.';

COMMENT ON COLUMN public.ohlcv_1h.bucket IS 'The start of the bucket, UTC; it ends before the next one starts.';

COMMENT ON COLUMN public.ohlcv_1h.open IS 'The price of the earliest tick.';

COMMENT ON COLUMN public.ohlcv_1h.high IS 'The highest price of the ticks.';

COMMENT ON COLUMN public.ohlcv_1h.low IS 'The lowest price of the ticks.';

COMMENT ON COLUMN public.ohlcv_1h.close IS 'The price of the latest tick.';

COMMENT ON COLUMN public.ohlcv_1h.volume IS 'The latest volume_24h: a gauge, never a sum.';

COMMENT ON COLUMN public.ohlcv_1h.ticks IS 'How many ticks.';

COMMENT ON COLUMN public.ohlcv_1h.coverage IS 'The share of the elapsed minutes that have a tick.';

CREATE VIEW public.ohlcv_1m AS
 SELECT candles.symbol,
    candles.bucket,
    candles.open,
    candles.high,
    candles.low,
    candles.close,
    candles.volume,
    candles.ticks,
    public.coverage(candles.minutes, candles.bucket) AS coverage
   FROM public.candles
  WHERE (candles.width = '1m'::text);

COMMENT ON VIEW public.ohlcv_1m IS 'One-minute candles, up to the last stored tick.';

COMMENT ON COLUMN public.ohlcv_1m.symbol IS 'What was observed.';

COMMENT ON COLUMN public.ohlcv_1m.bucket IS 'The start of the bucket, UTC; it ends before the next one starts.';

COMMENT ON COLUMN public.ohlcv_1m.open IS 'The price of the earliest tick.';

COMMENT ON COLUMN public.ohlcv_1m.high IS 'The highest price of the ticks.';

COMMENT ON COLUMN public.ohlcv_1m.low IS 'The lowest price of the ticks.';

COMMENT ON COLUMN public.ohlcv_1m.close IS 'The price of the latest tick.';

COMMENT ON COLUMN public.ohlcv_1m.volume IS 'The latest volume_24h: a gauge, never a sum.';

COMMENT ON COLUMN public.ohlcv_1m.ticks IS 'How many ticks.';

COMMENT ON COLUMN public.ohlcv_1m.coverage IS 'The share of the elapsed minutes that have a tick.';

CREATE TABLE public.provider_calls (
    source text NOT NULL,
    month date NOT NULL,
    calls integer NOT NULL
);

COMMENT ON TABLE public.provider_calls IS 'Calls spent against a provider''s monthly limit, each reserved before it is made.';

COMMENT ON COLUMN public.provider_calls.source IS 'The provider.';

COMMENT ON COLUMN public.provider_calls.month IS 'The first day of the month, UTC.';

COMMENT ON COLUMN public.provider_calls.calls IS 'Calls reserved in it so far.';

CREATE TABLE public.schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE public.schema_migrations IS 'The migrations of sql/migrations that this database has.';

COMMENT ON COLUMN public.schema_migrations.version IS 'The number its file name starts with.';

COMMENT ON COLUMN public.schema_migrations.name IS 'The rest of its file name.';

COMMENT ON COLUMN public.schema_migrations.applied_at IS 'When it was applied.';

CREATE TABLE public.ticker_data (
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    volume_24h numeric,
    market_cap numeric,
    fetched_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT ticker_data_market_cap_check CHECK (((market_cap >= (0)::numeric) AND (market_cap < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text]))),
    CONSTRAINT ticker_data_price_check CHECK (((price > (0)::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_volume_24h_check CHECK (((volume_24h >= (0)::numeric) AND (volume_24h < 'Infinity'::numeric)))
)
PARTITION BY RANGE ("timestamp");

COMMENT ON TABLE public.ticker_data IS 'Every tick: one observation of one symbol, exactly as published. Partitioned by month (UTC).';

COMMENT ON COLUMN public.ticker_data."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';

COMMENT ON COLUMN public.ticker_data.symbol IS 'What was observed; instruments says more.';

COMMENT ON COLUMN public.ticker_data.price IS 'In the quote currency, every published digit kept.';

COMMENT ON COLUMN public.ticker_data.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data.market_cap IS 'In the quote currency. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data.fetched_at IS 'When the reply was complete here.';

COMMENT ON COLUMN public.ticker_data.source IS 'The provider that answered.';

COMMENT ON COLUMN public.ticker_data.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

CREATE TABLE public.ticker_data_2024_02 (
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    volume_24h numeric,
    market_cap numeric,
    fetched_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT ticker_data_market_cap_check CHECK (((market_cap >= (0)::numeric) AND (market_cap < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text]))),
    CONSTRAINT ticker_data_price_check CHECK (((price > (0)::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_volume_24h_check CHECK (((volume_24h >= (0)::numeric) AND (volume_24h < 'Infinity'::numeric)))
);

COMMENT ON TABLE public.ticker_data_2024_02 IS 'The ticks of 2024-02 (UTC).';

COMMENT ON COLUMN public.ticker_data_2024_02."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';

COMMENT ON COLUMN public.ticker_data_2024_02.symbol IS 'What was observed; instruments says more.';

COMMENT ON COLUMN public.ticker_data_2024_02.price IS 'In the quote currency, every published digit kept.';

COMMENT ON COLUMN public.ticker_data_2024_02.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2024_02.market_cap IS 'In the quote currency. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2024_02.fetched_at IS 'When the reply was complete here.';

COMMENT ON COLUMN public.ticker_data_2024_02.source IS 'The provider that answered.';

COMMENT ON COLUMN public.ticker_data_2024_02.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

CREATE TABLE public.ticker_data_2024_03 (
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    volume_24h numeric,
    market_cap numeric,
    fetched_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT ticker_data_market_cap_check CHECK (((market_cap >= (0)::numeric) AND (market_cap < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text]))),
    CONSTRAINT ticker_data_price_check CHECK (((price > (0)::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_volume_24h_check CHECK (((volume_24h >= (0)::numeric) AND (volume_24h < 'Infinity'::numeric)))
);

COMMENT ON TABLE public.ticker_data_2024_03 IS 'The ticks of 2024-03 (UTC).';

COMMENT ON COLUMN public.ticker_data_2024_03."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';

COMMENT ON COLUMN public.ticker_data_2024_03.symbol IS 'What was observed; instruments says more.';

COMMENT ON COLUMN public.ticker_data_2024_03.price IS 'In the quote currency, every published digit kept.';

COMMENT ON COLUMN public.ticker_data_2024_03.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2024_03.market_cap IS 'In the quote currency. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2024_03.fetched_at IS 'When the reply was complete here.';

COMMENT ON COLUMN public.ticker_data_2024_03.source IS 'The provider that answered.';

COMMENT ON COLUMN public.ticker_data_2024_03.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

CREATE TABLE public.ticker_data_2026_11 (
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    volume_24h numeric,
    market_cap numeric,
    fetched_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT ticker_data_market_cap_check CHECK (((market_cap >= (0)::numeric) AND (market_cap < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text]))),
    CONSTRAINT ticker_data_price_check CHECK (((price > (0)::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_volume_24h_check CHECK (((volume_24h >= (0)::numeric) AND (volume_24h < 'Infinity'::numeric)))
);

COMMENT ON TABLE public.ticker_data_2026_11 IS 'The ticks of 2026-11 (UTC).';

COMMENT ON COLUMN public.ticker_data_2026_11."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';

COMMENT ON COLUMN public.ticker_data_2026_11.symbol IS 'What was observed; instruments says more.';

COMMENT ON COLUMN public.ticker_data_2026_11.price IS 'In the quote currency, every published digit kept.';

COMMENT ON COLUMN public.ticker_data_2026_11.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2026_11.market_cap IS 'In the quote currency. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2026_11.fetched_at IS 'When the reply was complete here.';

COMMENT ON COLUMN public.ticker_data_2026_11.source IS 'The provider that answered.';

COMMENT ON COLUMN public.ticker_data_2026_11.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

CREATE TABLE public.ticker_data_2026_12 (
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    volume_24h numeric,
    market_cap numeric,
    fetched_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT ticker_data_market_cap_check CHECK (((market_cap >= (0)::numeric) AND (market_cap < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text]))),
    CONSTRAINT ticker_data_price_check CHECK (((price > (0)::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_volume_24h_check CHECK (((volume_24h >= (0)::numeric) AND (volume_24h < 'Infinity'::numeric)))
);

COMMENT ON TABLE public.ticker_data_2026_12 IS 'The ticks of 2026-12 (UTC).';

COMMENT ON COLUMN public.ticker_data_2026_12."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';

COMMENT ON COLUMN public.ticker_data_2026_12.symbol IS 'What was observed; instruments says more.';

COMMENT ON COLUMN public.ticker_data_2026_12.price IS 'In the quote currency, every published digit kept.';

COMMENT ON COLUMN public.ticker_data_2026_12.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2026_12.market_cap IS 'In the quote currency. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2026_12.fetched_at IS 'When the reply was complete here.';

COMMENT ON COLUMN public.ticker_data_2026_12.source IS 'The provider that answered.';

COMMENT ON COLUMN public.ticker_data_2026_12.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

CREATE TABLE public.ticker_data_2027_01 (
    "timestamp" timestamp with time zone NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    volume_24h numeric,
    market_cap numeric,
    fetched_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    origin text DEFAULT 'live'::text NOT NULL,
    CONSTRAINT ticker_data_market_cap_check CHECK (((market_cap >= (0)::numeric) AND (market_cap < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_origin_check CHECK ((origin = ANY (ARRAY['live'::text, 'backfill'::text]))),
    CONSTRAINT ticker_data_price_check CHECK (((price > (0)::numeric) AND (price < 'Infinity'::numeric))),
    CONSTRAINT ticker_data_volume_24h_check CHECK (((volume_24h >= (0)::numeric) AND (volume_24h < 'Infinity'::numeric)))
);

COMMENT ON TABLE public.ticker_data_2027_01 IS 'The ticks of 2027-01 (UTC).';

COMMENT ON COLUMN public.ticker_data_2027_01."timestamp" IS 'The time the source gives the observation; the fetch time where it gives none.';

COMMENT ON COLUMN public.ticker_data_2027_01.symbol IS 'What was observed; instruments says more.';

COMMENT ON COLUMN public.ticker_data_2027_01.price IS 'In the quote currency, every published digit kept.';

COMMENT ON COLUMN public.ticker_data_2027_01.volume_24h IS 'The provider''s rolling 24-hour volume in the quote currency. A gauge: summing it is a mistake. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2027_01.market_cap IS 'In the quote currency. NULL where none was usable.';

COMMENT ON COLUMN public.ticker_data_2027_01.fetched_at IS 'When the reply was complete here.';

COMMENT ON COLUMN public.ticker_data_2027_01.source IS 'The provider that answered.';

COMMENT ON COLUMN public.ticker_data_2027_01.origin IS 'live, or backfill where the tick was fetched later to fill a hole.';

ALTER TABLE ONLY public.candles ATTACH PARTITION public.candles_1d FOR VALUES IN ('1d');

ALTER TABLE ONLY public.candles ATTACH PARTITION public.candles_1h FOR VALUES IN ('1h');

ALTER TABLE ONLY public.candles ATTACH PARTITION public.candles_1m FOR VALUES IN ('1m');

ALTER TABLE ONLY public.ticker_data ATTACH PARTITION public.ticker_data_2024_02 FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00');

ALTER TABLE ONLY public.ticker_data ATTACH PARTITION public.ticker_data_2024_03 FOR VALUES FROM ('2024-03-01 00:00:00+00') TO ('2024-04-01 00:00:00+00');

ALTER TABLE ONLY public.ticker_data ATTACH PARTITION public.ticker_data_2026_11 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');

ALTER TABLE ONLY public.ticker_data ATTACH PARTITION public.ticker_data_2026_12 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');

ALTER TABLE ONLY public.ticker_data ATTACH PARTITION public.ticker_data_2027_01 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');

INSERT INTO public.alert_states VALUES
	('price-2pct-5m', 'BTC', 'FIRING', 'b744a63cbf38', '2024-03-01 00:06:00+00', '2024-03-01 00:06:00+00', 1);

INSERT INTO public.alerts OVERRIDING SYSTEM VALUE VALUES
	(1, '645f27e00fb0', 'FIRING', '2024-02-29 23:58:00+00', 'BTC', 'price-2pct-5m', '{"price": "63821.0685", "avg(price,5m)": "60781.97"}', '2026-11-22 06:24:01.734703+00'),
	(2, '645f27e00fb0', 'RESOLVED', '2024-03-01 00:01:00+00', 'BTC', 'price-2pct-5m', '{"price": "63821.0685", "avg(price,5m)": "62605.429"}', '2026-11-22 06:24:02.012779+00'),
	(3, '0f1e73d4f618', 'FIRING', '2024-03-01 00:02:00+00', 'BTC', 'price-2pct-5m', '{"price": "60781.97", "avg(price,5m)": "63213.249"}', '2026-11-22 06:24:02.056279+00'),
	(4, '0f1e73d4f618', 'RESOLVED', '2024-03-01 00:05:00+00', 'BTC', 'price-2pct-5m', '{"price": "60781.97", "avg(price,5m)": "61997.609"}', '2026-11-22 06:24:02.208082+00'),
	(5, 'b744a63cbf38', 'FIRING', '2024-03-01 00:06:00+00', 'BTC', 'price-2pct-5m', '{"price": "63821.0685", "avg(price,5m)": "61389.79"}', '2026-11-22 06:24:02.313936+00');

INSERT INTO public.candles_1d VALUES
	('1d', 'BTC', '2024-02-29 00:00:00+00', 60781.97, '2024-02-29 23:50:00+00', 63821.0685, 60781.97, 63821.0685, '2024-02-29 23:59:00+00', 3692454352, '2024-02-29 23:59:00+00', 10, B'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001111111111'),
	('1d', 'ETH', '2024-02-29 00:00:00+00', 2388.18, '2024-02-29 23:50:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:59:00+00', 1522591299, '2024-02-29 23:59:00+00', 10, B'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001111111111'),
	('1d', 'ZEC', '2024-02-29 00:00:00+00', 294.550, '2024-02-29 23:50:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:59:00+00', 145279133, '2024-02-29 23:59:00+00', 10, B'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001111111111'),
	('1d', 'ETH', '2024-03-01 00:00:00+00', 2388.18, '2024-03-01 00:00:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:07:00+00', 1522591307, '2024-03-01 00:07:00+00', 8, B'111111110000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000'),
	('1d', 'ZEC', '2024-03-01 00:00:00+00', 294.550, '2024-03-01 00:00:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:07:00+00', 145279141, '2024-03-01 00:07:00+00', 8, B'111111110000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000'),
	('1d', 'BTC', '2024-03-01 00:00:00+00', 63821.0685, '2024-03-01 00:00:00+00', 63821.0685, 60781.97, 63821.0685, '2024-03-01 00:07:00+00', 3692454360, '2024-03-01 00:07:00+00', 8, B'111111110000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000');

INSERT INTO public.candles_1h VALUES
	('1h', 'ETH', '2024-02-29 23:00:00+00', 2388.18, '2024-02-29 23:50:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:59:00+00', 1522591299, '2024-02-29 23:59:00+00', 10, B'000000000000000000000000000000000000000000000000001111111111'),
	('1h', 'ZEC', '2024-02-29 23:00:00+00', 294.550, '2024-02-29 23:50:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:59:00+00', 145279133, '2024-02-29 23:59:00+00', 10, B'000000000000000000000000000000000000000000000000001111111111'),
	('1h', 'ETH', '2024-03-01 00:00:00+00', 2388.18, '2024-03-01 00:00:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:07:00+00', 1522591307, '2024-03-01 00:07:00+00', 8, B'111111110000000000000000000000000000000000000000000000000000'),
	('1h', 'ZEC', '2024-03-01 00:00:00+00', 294.550, '2024-03-01 00:00:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:07:00+00', 145279141, '2024-03-01 00:07:00+00', 8, B'111111110000000000000000000000000000000000000000000000000000'),
	('1h', 'BTC', '2024-02-29 23:00:00+00', 60781.97, '2024-02-29 23:50:00+00', 63821.0685, 60781.97, 63821.0685, '2024-02-29 23:59:00+00', 3692454352, '2024-02-29 23:59:00+00', 10, B'000000000000000000000000000000000000000000000000001111111111'),
	('1h', 'BTC', '2024-03-01 00:00:00+00', 63821.0685, '2024-03-01 00:00:00+00', 63821.0685, 60781.97, 63821.0685, '2024-03-01 00:07:00+00', 3692454360, '2024-03-01 00:07:00+00', 8, B'111111110000000000000000000000000000000000000000000000000000');

INSERT INTO public.candles_1m VALUES
	('1m', 'BTC', '2024-02-29 23:50:00+00', 60781.97, '2024-02-29 23:50:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:50:00+00', 3692454343, '2024-02-29 23:50:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:50:00+00', 2388.18, '2024-02-29 23:50:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:50:00+00', 1522591290, '2024-02-29 23:50:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:50:00+00', 294.550, '2024-02-29 23:50:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:50:00+00', 145279124, '2024-02-29 23:50:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:51:00+00', 60781.97, '2024-02-29 23:51:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:51:00+00', 3692454344, '2024-02-29 23:51:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:51:00+00', 2388.18, '2024-02-29 23:51:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:51:00+00', 1522591291, '2024-02-29 23:51:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:51:00+00', 294.550, '2024-02-29 23:51:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:51:00+00', 145279125, '2024-02-29 23:51:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:52:00+00', 60781.97, '2024-02-29 23:52:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:52:00+00', 3692454345, '2024-02-29 23:52:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:52:00+00', 2388.18, '2024-02-29 23:52:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:52:00+00', 1522591292, '2024-02-29 23:52:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:52:00+00', 294.550, '2024-02-29 23:52:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:52:00+00', 145279126, '2024-02-29 23:52:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:53:00+00', 60781.97, '2024-02-29 23:53:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:53:00+00', 3692454346, '2024-02-29 23:53:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:53:00+00', 2388.18, '2024-02-29 23:53:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:53:00+00', 1522591293, '2024-02-29 23:53:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:53:00+00', 294.550, '2024-02-29 23:53:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:53:00+00', 145279127, '2024-02-29 23:53:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:54:00+00', 60781.97, '2024-02-29 23:54:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:54:00+00', 3692454347, '2024-02-29 23:54:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:54:00+00', 2388.18, '2024-02-29 23:54:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:54:00+00', 1522591294, '2024-02-29 23:54:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:54:00+00', 294.550, '2024-02-29 23:54:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:54:00+00', 145279128, '2024-02-29 23:54:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:55:00+00', 60781.97, '2024-02-29 23:55:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:55:00+00', 3692454348, '2024-02-29 23:55:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:55:00+00', 2388.18, '2024-02-29 23:55:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:55:00+00', 1522591295, '2024-02-29 23:55:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:55:00+00', 294.550, '2024-02-29 23:55:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:55:00+00', 145279129, '2024-02-29 23:55:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:56:00+00', 60781.97, '2024-02-29 23:56:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:56:00+00', 3692454349, '2024-02-29 23:56:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:56:00+00', 2388.18, '2024-02-29 23:56:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:56:00+00', 1522591296, '2024-02-29 23:56:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:56:00+00', 294.550, '2024-02-29 23:56:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:56:00+00', 145279130, '2024-02-29 23:56:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:57:00+00', 60781.97, '2024-02-29 23:57:00+00', 60781.97, 60781.97, 60781.97, '2024-02-29 23:57:00+00', 3692454350, '2024-02-29 23:57:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:57:00+00', 2388.18, '2024-02-29 23:57:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:57:00+00', 1522591297, '2024-02-29 23:57:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:57:00+00', 294.550, '2024-02-29 23:57:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:57:00+00', 145279131, '2024-02-29 23:57:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:58:00+00', 63821.0685, '2024-02-29 23:58:00+00', 63821.0685, 63821.0685, 63821.0685, '2024-02-29 23:58:00+00', 3692454351, '2024-02-29 23:58:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:58:00+00', 2388.18, '2024-02-29 23:58:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:58:00+00', 1522591298, '2024-02-29 23:58:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:58:00+00', 294.550, '2024-02-29 23:58:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:58:00+00', 145279132, '2024-02-29 23:58:00+00', 1, B'1'),
	('1m', 'BTC', '2024-02-29 23:59:00+00', 63821.0685, '2024-02-29 23:59:00+00', 63821.0685, 63821.0685, 63821.0685, '2024-02-29 23:59:00+00', 3692454352, '2024-02-29 23:59:00+00', 1, B'1'),
	('1m', 'ETH', '2024-02-29 23:59:00+00', 2388.18, '2024-02-29 23:59:00+00', 2388.18, 2388.18, 2388.18, '2024-02-29 23:59:00+00', 1522591299, '2024-02-29 23:59:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-02-29 23:59:00+00', 294.550, '2024-02-29 23:59:00+00', 294.550, 294.550, 294.550, '2024-02-29 23:59:00+00', 145279133, '2024-02-29 23:59:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:00:00+00', 63821.0685, '2024-03-01 00:00:00+00', 63821.0685, 63821.0685, 63821.0685, '2024-03-01 00:00:00+00', 3692454353, '2024-03-01 00:00:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:00:00+00', 2388.18, '2024-03-01 00:00:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:00:00+00', 1522591300, '2024-03-01 00:00:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:00:00+00', 294.550, '2024-03-01 00:00:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:00:00+00', 145279134, '2024-03-01 00:00:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:01:00+00', 63821.0685, '2024-03-01 00:01:00+00', 63821.0685, 63821.0685, 63821.0685, '2024-03-01 00:01:00+00', 3692454354, '2024-03-01 00:01:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:01:00+00', 2388.18, '2024-03-01 00:01:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:01:00+00', 1522591301, '2024-03-01 00:01:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:01:00+00', 294.550, '2024-03-01 00:01:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:01:00+00', 145279135, '2024-03-01 00:01:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:02:00+00', 60781.97, '2024-03-01 00:02:00+00', 60781.97, 60781.97, 60781.97, '2024-03-01 00:02:00+00', 3692454355, '2024-03-01 00:02:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:02:00+00', 2388.18, '2024-03-01 00:02:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:02:00+00', 1522591302, '2024-03-01 00:02:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:02:00+00', 294.550, '2024-03-01 00:02:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:02:00+00', 145279136, '2024-03-01 00:02:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:03:00+00', 60781.97, '2024-03-01 00:03:00+00', 60781.97, 60781.97, 60781.97, '2024-03-01 00:03:00+00', 3692454356, '2024-03-01 00:03:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:03:00+00', 2388.18, '2024-03-01 00:03:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:03:00+00', 1522591303, '2024-03-01 00:03:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:03:00+00', 294.550, '2024-03-01 00:03:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:03:00+00', 145279137, '2024-03-01 00:03:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:04:00+00', 60781.97, '2024-03-01 00:04:00+00', 60781.97, 60781.97, 60781.97, '2024-03-01 00:04:00+00', 3692454357, '2024-03-01 00:04:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:04:00+00', 2388.18, '2024-03-01 00:04:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:04:00+00', 1522591304, '2024-03-01 00:04:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:04:00+00', 294.550, '2024-03-01 00:04:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:04:00+00', 145279138, '2024-03-01 00:04:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:05:00+00', 60781.97, '2024-03-01 00:05:00+00', 60781.97, 60781.97, 60781.97, '2024-03-01 00:05:00+00', 3692454358, '2024-03-01 00:05:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:05:00+00', 2388.18, '2024-03-01 00:05:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:05:00+00', 1522591305, '2024-03-01 00:05:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:05:00+00', 294.550, '2024-03-01 00:05:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:05:00+00', 145279139, '2024-03-01 00:05:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:06:00+00', 63821.0685, '2024-03-01 00:06:00+00', 63821.0685, 63821.0685, 63821.0685, '2024-03-01 00:06:00+00', 3692454359, '2024-03-01 00:06:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:06:00+00', 2388.18, '2024-03-01 00:06:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:06:00+00', 1522591306, '2024-03-01 00:06:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:06:00+00', 294.550, '2024-03-01 00:06:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:06:00+00', 145279140, '2024-03-01 00:06:00+00', 1, B'1'),
	('1m', 'BTC', '2024-03-01 00:07:00+00', 63821.0685, '2024-03-01 00:07:00+00', 63821.0685, 63821.0685, 63821.0685, '2024-03-01 00:07:00+00', 3692454360, '2024-03-01 00:07:00+00', 1, B'1'),
	('1m', 'ETH', '2024-03-01 00:07:00+00', 2388.18, '2024-03-01 00:07:00+00', 2388.18, 2388.18, 2388.18, '2024-03-01 00:07:00+00', 1522591307, '2024-03-01 00:07:00+00', 1, B'1'),
	('1m', 'ZEC', '2024-03-01 00:07:00+00', 294.550, '2024-03-01 00:07:00+00', 294.550, 294.550, 294.550, '2024-03-01 00:07:00+00', 145279141, '2024-03-01 00:07:00+00', 1, B'1');

INSERT INTO public.instruments VALUES
	('BTC', 'BTC', 'USD', 'coingecko', 'bitcoin', 'Bitcoin', true, '2026-11-22 06:24:01.098364+00', '{}'),
	('ETH', 'ETH', 'USD', 'coingecko', 'ethereum', 'Ethereum', true, '2026-11-22 06:24:01.098364+00', '{}'),
	('ZEC', 'ZEC', 'USD', 'coingecko', 'zcash', 'Zcash', true, '2026-11-22 06:24:01.098364+00', '{}');

INSERT INTO public.provider_calls VALUES
	('coingecko', '2026-11-01', 19);

INSERT INTO public.schema_migrations VALUES
	(1, 'initial', '2026-11-22 06:24:00.978681+00');

INSERT INTO public.ticker_data_2024_02 VALUES
	('2024-02-29 23:50:00+00', 'BTC', 60781.97, 3692454343, NULL, '2026-11-22 06:24:01.140471+00', 'coingecko', 'live'),
	('2024-02-29 23:50:00+00', 'ETH', 2388.18, 1522591290, NULL, '2026-11-22 06:24:01.140471+00', 'coingecko', 'live'),
	('2024-02-29 23:50:00+00', 'ZEC', 294.550, 145279124, NULL, '2026-11-22 06:24:01.140471+00', 'coingecko', 'live'),
	('2024-02-29 23:51:00+00', 'BTC', 60781.97, 3692454344, NULL, '2026-11-22 06:24:01.217268+00', 'coingecko', 'live'),
	('2024-02-29 23:51:00+00', 'ETH', 2388.18, 1522591291, NULL, '2026-11-22 06:24:01.217268+00', 'coingecko', 'live'),
	('2024-02-29 23:51:00+00', 'ZEC', 294.550, 145279125, NULL, '2026-11-22 06:24:01.217268+00', 'coingecko', 'live'),
	('2024-02-29 23:52:00+00', 'BTC', 60781.97, 3692454345, NULL, '2026-11-22 06:24:01.293387+00', 'coingecko', 'live'),
	('2024-02-29 23:52:00+00', 'ETH', 2388.18, 1522591292, NULL, '2026-11-22 06:24:01.293387+00', 'coingecko', 'live'),
	('2024-02-29 23:52:00+00', 'ZEC', 294.550, 145279126, NULL, '2026-11-22 06:24:01.293387+00', 'coingecko', 'live'),
	('2024-02-29 23:53:00+00', 'BTC', 60781.97, 3692454346, NULL, '2026-11-22 06:24:01.368993+00', 'coingecko', 'live'),
	('2024-02-29 23:53:00+00', 'ETH', 2388.18, 1522591293, NULL, '2026-11-22 06:24:01.368993+00', 'coingecko', 'live'),
	('2024-02-29 23:53:00+00', 'ZEC', 294.550, 145279127, NULL, '2026-11-22 06:24:01.368993+00', 'coingecko', 'live'),
	('2024-02-29 23:54:00+00', 'BTC', 60781.97, 3692454347, NULL, '2026-11-22 06:24:01.494234+00', 'coingecko', 'live'),
	('2024-02-29 23:54:00+00', 'ETH', 2388.18, 1522591294, NULL, '2026-11-22 06:24:01.494234+00', 'coingecko', 'live'),
	('2024-02-29 23:54:00+00', 'ZEC', 294.550, 145279128, NULL, '2026-11-22 06:24:01.494234+00', 'coingecko', 'live'),
	('2024-02-29 23:55:00+00', 'BTC', 60781.97, 3692454348, NULL, '2026-11-22 06:24:01.555346+00', 'coingecko', 'live'),
	('2024-02-29 23:55:00+00', 'ETH', 2388.18, 1522591295, NULL, '2026-11-22 06:24:01.555346+00', 'coingecko', 'live'),
	('2024-02-29 23:55:00+00', 'ZEC', 294.550, 145279129, NULL, '2026-11-22 06:24:01.555346+00', 'coingecko', 'live'),
	('2024-02-29 23:56:00+00', 'BTC', 60781.97, 3692454349, NULL, '2026-11-22 06:24:01.609564+00', 'coingecko', 'live'),
	('2024-02-29 23:56:00+00', 'ETH', 2388.18, 1522591296, NULL, '2026-11-22 06:24:01.609564+00', 'coingecko', 'live'),
	('2024-02-29 23:56:00+00', 'ZEC', 294.550, 145279130, NULL, '2026-11-22 06:24:01.609564+00', 'coingecko', 'live'),
	('2024-02-29 23:57:00+00', 'BTC', 60781.97, 3692454350, NULL, '2026-11-22 06:24:01.665843+00', 'coingecko', 'live'),
	('2024-02-29 23:57:00+00', 'ETH', 2388.18, 1522591297, NULL, '2026-11-22 06:24:01.665843+00', 'coingecko', 'live'),
	('2024-02-29 23:57:00+00', 'ZEC', 294.550, 145279131, NULL, '2026-11-22 06:24:01.665843+00', 'coingecko', 'live'),
	('2024-02-29 23:58:00+00', 'BTC', 63821.0685, 3692454351, NULL, '2026-11-22 06:24:01.730095+00', 'coingecko', 'live'),
	('2024-02-29 23:58:00+00', 'ETH', 2388.18, 1522591298, NULL, '2026-11-22 06:24:01.730095+00', 'coingecko', 'live'),
	('2024-02-29 23:58:00+00', 'ZEC', 294.550, 145279132, NULL, '2026-11-22 06:24:01.730095+00', 'coingecko', 'live'),
	('2024-02-29 23:59:00+00', 'BTC', 63821.0685, 3692454352, NULL, '2026-11-22 06:24:01.901574+00', 'coingecko', 'live'),
	('2024-02-29 23:59:00+00', 'ETH', 2388.18, 1522591299, NULL, '2026-11-22 06:24:01.901574+00', 'coingecko', 'live'),
	('2024-02-29 23:59:00+00', 'ZEC', 294.550, 145279133, NULL, '2026-11-22 06:24:01.901574+00', 'coingecko', 'live');

INSERT INTO public.ticker_data_2024_03 VALUES
	('2024-03-01 00:00:00+00', 'BTC', 63821.0685, 3692454353, NULL, '2026-11-22 06:24:01.953262+00', 'coingecko', 'live'),
	('2024-03-01 00:00:00+00', 'ETH', 2388.18, 1522591300, NULL, '2026-11-22 06:24:01.953262+00', 'coingecko', 'live'),
	('2024-03-01 00:00:00+00', 'ZEC', 294.550, 145279134, NULL, '2026-11-22 06:24:01.953262+00', 'coingecko', 'live'),
	('2024-03-01 00:01:00+00', 'BTC', 63821.0685, 3692454354, NULL, '2026-11-22 06:24:02.010494+00', 'coingecko', 'live'),
	('2024-03-01 00:01:00+00', 'ETH', 2388.18, 1522591301, NULL, '2026-11-22 06:24:02.010494+00', 'coingecko', 'live'),
	('2024-03-01 00:01:00+00', 'ZEC', 294.550, 145279135, NULL, '2026-11-22 06:24:02.010494+00', 'coingecko', 'live'),
	('2024-03-01 00:02:00+00', 'BTC', 60781.97, 3692454355, NULL, '2026-11-22 06:24:02.052683+00', 'coingecko', 'live'),
	('2024-03-01 00:02:00+00', 'ETH', 2388.18, 1522591302, NULL, '2026-11-22 06:24:02.052683+00', 'coingecko', 'live'),
	('2024-03-01 00:02:00+00', 'ZEC', 294.550, 145279136, NULL, '2026-11-22 06:24:02.052683+00', 'coingecko', 'live'),
	('2024-03-01 00:03:00+00', 'BTC', 60781.97, 3692454356, NULL, '2026-11-22 06:24:02.109284+00', 'coingecko', 'live'),
	('2024-03-01 00:03:00+00', 'ETH', 2388.18, 1522591303, NULL, '2026-11-22 06:24:02.109284+00', 'coingecko', 'live'),
	('2024-03-01 00:03:00+00', 'ZEC', 294.550, 145279137, NULL, '2026-11-22 06:24:02.109284+00', 'coingecko', 'live'),
	('2024-03-01 00:04:00+00', 'BTC', 60781.97, 3692454357, NULL, '2026-11-22 06:24:02.157048+00', 'coingecko', 'live'),
	('2024-03-01 00:04:00+00', 'ETH', 2388.18, 1522591304, NULL, '2026-11-22 06:24:02.157048+00', 'coingecko', 'live'),
	('2024-03-01 00:04:00+00', 'ZEC', 294.550, 145279138, NULL, '2026-11-22 06:24:02.157048+00', 'coingecko', 'live'),
	('2024-03-01 00:05:00+00', 'BTC', 60781.97, 3692454358, NULL, '2026-11-22 06:24:02.206926+00', 'coingecko', 'live'),
	('2024-03-01 00:05:00+00', 'ETH', 2388.18, 1522591305, NULL, '2026-11-22 06:24:02.206926+00', 'coingecko', 'live'),
	('2024-03-01 00:05:00+00', 'ZEC', 294.550, 145279139, NULL, '2026-11-22 06:24:02.206926+00', 'coingecko', 'live'),
	('2024-03-01 00:06:00+00', 'BTC', 63821.0685, 3692454359, NULL, '2026-11-22 06:24:02.312953+00', 'coingecko', 'live'),
	('2024-03-01 00:06:00+00', 'ETH', 2388.18, 1522591306, NULL, '2026-11-22 06:24:02.312953+00', 'coingecko', 'live'),
	('2024-03-01 00:06:00+00', 'ZEC', 294.550, 145279140, NULL, '2026-11-22 06:24:02.312953+00', 'coingecko', 'live'),
	('2024-03-01 00:07:00+00', 'BTC', 63821.0685, 3692454360, NULL, '2026-11-22 06:24:02.377474+00', 'coingecko', 'live'),
	('2024-03-01 00:07:00+00', 'ETH', 2388.18, 1522591307, NULL, '2026-11-22 06:24:02.377474+00', 'coingecko', 'live'),
	('2024-03-01 00:07:00+00', 'ZEC', 294.550, 145279141, NULL, '2026-11-22 06:24:02.377474+00', 'coingecko', 'live');

SELECT pg_catalog.setval('public.alerts_number_seq', 5, true);

ALTER TABLE ONLY public.alert_states
    ADD CONSTRAINT alert_states_pkey PRIMARY KEY (rule, symbol);

ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (id, state);

ALTER TABLE ONLY public.candles
    ADD CONSTRAINT candles_pkey PRIMARY KEY (width, symbol, bucket);

ALTER TABLE ONLY public.candles_1d
    ADD CONSTRAINT candles_1d_pkey PRIMARY KEY (width, symbol, bucket);

ALTER TABLE ONLY public.candles_1h
    ADD CONSTRAINT candles_1h_pkey PRIMARY KEY (width, symbol, bucket);

ALTER TABLE ONLY public.candles_1m
    ADD CONSTRAINT candles_1m_pkey PRIMARY KEY (width, symbol, bucket);

ALTER TABLE ONLY public.instruments
    ADD CONSTRAINT instruments_pkey PRIMARY KEY (symbol);

ALTER TABLE ONLY public.provider_calls
    ADD CONSTRAINT provider_calls_pkey PRIMARY KEY (source, month);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.ticker_data
    ADD CONSTRAINT ticker_data_pkey PRIMARY KEY (symbol, "timestamp");

ALTER TABLE ONLY public.ticker_data_2024_02
    ADD CONSTRAINT ticker_data_2024_02_pkey PRIMARY KEY (symbol, "timestamp");

ALTER TABLE ONLY public.ticker_data_2024_03
    ADD CONSTRAINT ticker_data_2024_03_pkey PRIMARY KEY (symbol, "timestamp");

ALTER TABLE ONLY public.ticker_data_2026_11
    ADD CONSTRAINT ticker_data_2026_11_pkey PRIMARY KEY (symbol, "timestamp");

ALTER TABLE ONLY public.ticker_data_2026_12
    ADD CONSTRAINT ticker_data_2026_12_pkey PRIMARY KEY (symbol, "timestamp");

ALTER TABLE ONLY public.ticker_data_2027_01
    ADD CONSTRAINT ticker_data_2027_01_pkey PRIMARY KEY (symbol, "timestamp");

CREATE UNIQUE INDEX alerts_number ON public.alerts USING btree (number);

CREATE INDEX alerts_recorded_at ON public.alerts USING btree (recorded_at);

CREATE INDEX alerts_timestamp ON public.alerts USING btree ("timestamp");

CREATE UNIQUE INDEX daily_ohlcv_key ON public.daily_ohlcv USING btree (symbol, day);

ALTER INDEX public.candles_pkey ATTACH PARTITION public.candles_1d_pkey;

ALTER INDEX public.candles_pkey ATTACH PARTITION public.candles_1h_pkey;

ALTER INDEX public.candles_pkey ATTACH PARTITION public.candles_1m_pkey;

ALTER INDEX public.ticker_data_pkey ATTACH PARTITION public.ticker_data_2024_02_pkey;

ALTER INDEX public.ticker_data_pkey ATTACH PARTITION public.ticker_data_2024_03_pkey;

ALTER INDEX public.ticker_data_pkey ATTACH PARTITION public.ticker_data_2026_11_pkey;

ALTER INDEX public.ticker_data_pkey ATTACH PARTITION public.ticker_data_2026_12_pkey;

ALTER INDEX public.ticker_data_pkey ATTACH PARTITION public.ticker_data_2027_01_pkey;

GRANT USAGE ON SCHEMA public TO cryptomonitor_reader;

REVOKE ALL ON FUNCTION public.make_partition(month date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.refresh_daily_ohlcv() FROM PUBLIC;

GRANT SELECT ON TABLE public.alert_states TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.alerts TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.candles TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.candles_1d TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.candles_1h TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.candles_1m TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.daily_ohlcv TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.instruments TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ohlcv_1d TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ohlcv_1h TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ohlcv_1m TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.provider_calls TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.schema_migrations TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ticker_data TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ticker_data_2024_02 TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ticker_data_2024_03 TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ticker_data_2026_11 TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ticker_data_2026_12 TO cryptomonitor_reader;

GRANT SELECT ON TABLE public.ticker_data_2027_01 TO cryptomonitor_reader;

ALTER DEFAULT PRIVILEGES FOR ROLE cryptomonitor IN SCHEMA public GRANT SELECT ON TABLES  TO cryptomonitor_reader;

REFRESH MATERIALIZED VIEW public.daily_ohlcv;

