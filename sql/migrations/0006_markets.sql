-- Every market: budgets that all share, holes in the history, values that nobody confirms, a watch list that changes.

-- Ticks of a composite ----------------------------------------------------------------------------------------------

-- Without a CHECK: for that years of ticks would be read, and nobody could write meanwhile.
ALTER TABLE ticker_data ADD COLUMN markets smallint;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT 'ticker_data'::regclass UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ticker_data'::regclass LOOP
        EXECUTE format('COMMENT ON COLUMN %s.markets IS %L', part,
            'Of a composite such as BTC@all: how many markets are in it. NULL for others.');
    END LOOP;
END $$;

-- Budgets -----------------------------------------------------------------------------------------------------------

-- Whose limits they are, now that a provider may be asked with several keys. Counts of before are everybody's.
ALTER TABLE provider_calls
    ADD COLUMN account   text NOT NULL DEFAULT '',
    ADD COLUMN backfill  integer NOT NULL DEFAULT 0,
    ADD COLUMN polled_at timestamptz,
    DROP CONSTRAINT provider_calls_pkey,
    ADD PRIMARY KEY (source, account, month, spender);
ALTER TABLE provider_calls ALTER COLUMN account DROP DEFAULT;
COMMENT ON TABLE provider_calls IS 'Credits spent against a provider''s monthly limit, by each who shares it, counted before the call is made.';
COMMENT ON COLUMN provider_calls.account IS 'Whose limit: keyless, or a digest of the key; empty for calls counted before there were several.';
COMMENT ON COLUMN provider_calls.spender IS 'The DATA_DIR or command that made the calls; elsewhere: what only the provider knows of; empty for calls counted before there were several.';
COMMENT ON COLUMN provider_calls.calls IS 'Credits it has spent in the month so far; most calls cost one.';
COMMENT ON COLUMN provider_calls.backfill IS 'How many of them were for filling holes in the history.';
COMMENT ON COLUMN provider_calls.polled_at IS 'When it last made a call for another reason: who polls shares the pace.';

CREATE TABLE provider_recent_calls (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source    text NOT NULL,
    account   text NOT NULL,
    spender   text NOT NULL,
    called_at timestamptz NOT NULL,
    backfill  boolean NOT NULL
);
CREATE INDEX provider_recent_calls_of ON provider_recent_calls (source, account, called_at);
COMMENT ON TABLE provider_recent_calls IS 'The calls of the last minutes, for the limit of calls a minute; older ones are deleted.';
COMMENT ON COLUMN provider_recent_calls.id IS 'Tells one from another.';
COMMENT ON COLUMN provider_recent_calls.source IS 'The provider.';
COMMENT ON COLUMN provider_recent_calls.account IS 'Whose limit: keyless, or a digest of the key.';
COMMENT ON COLUMN provider_recent_calls.spender IS 'The DATA_DIR or command that made it.';
COMMENT ON COLUMN provider_recent_calls.called_at IS 'When it was written down, just before it was made, by this server''s clock.';
COMMENT ON COLUMN provider_recent_calls.backfill IS 'Whether it was for filling a hole in the history.';

CREATE TABLE provider_accounts (
    source     text NOT NULL,
    account    text NOT NULL,
    per_minute integer CHECK (per_minute > 0),
    limited_at timestamptz,
    warned_of  date,
    PRIMARY KEY (source, account)
);
COMMENT ON TABLE provider_accounts IS 'What was learned of a limit, for all who share it; no row: nothing.';
COMMENT ON COLUMN provider_accounts.source IS 'The provider.';
COMMENT ON COLUMN provider_accounts.account IS 'Whose limit: keyless, or a digest of the key.';
COMMENT ON COLUMN provider_accounts.per_minute IS 'Calls a minute after the latest 429; a tenth of the plan''s more are tried with every ten minutes since.';
COMMENT ON COLUMN provider_accounts.limited_at IS 'When that 429 came, by this server''s clock.';
COMMENT ON COLUMN provider_accounts.warned_of IS 'The latest month of which it was said that its credits will not last.';

-- Gaps --------------------------------------------------------------------------------------------------------------

-- A hole lies between two ticks, or between a tick and the edge of what was asked for. Rows of a symbol never overlap:
-- who adds some holds the table against others who do.
CREATE TABLE gaps (
    symbol     text NOT NULL,
    begins_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    state      text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'filled', 'unrecoverable')),
    why        text NOT NULL,
    resolution interval,
    source     text,
    ticks      integer NOT NULL DEFAULT 0 CHECK (ticks >= 0),
    attempts   integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    found_at   timestamptz NOT NULL DEFAULT now(),
    tried_at   timestamptz,
    settled_at timestamptz,
    PRIMARY KEY (symbol, begins_at),
    CHECK (begins_at < ends_at),
    CHECK ((state = 'open') = (settled_at IS NULL))
);
CREATE INDEX gaps_open ON gaps (ends_at) WHERE state = 'open';
COMMENT ON TABLE gaps IS 'Holes in the history: spans of time in which a symbol should have ticks and had none, and what became of each.';
COMMENT ON COLUMN gaps.symbol IS 'Whose history has the hole.';
COMMENT ON COLUMN gaps.begins_at IS 'The time of the last tick before the hole, or where the span that was asked for begins.';
COMMENT ON COLUMN gaps.ends_at IS 'The time of the first tick after the hole, or where the span that was asked for ends. The hole ends before it.';
COMMENT ON COLUMN gaps.state IS 'open: still to be filled. filled: with what the provider has there. unrecoverable: nothing is to be had.';
COMMENT ON COLUMN gaps.why IS 'While it is open why it is taken for a hole, or what the last attempt came to; then what it was filled with, or why it cannot be.';
COMMENT ON COLUMN gaps.resolution IS 'The usual time between the points that it was filled with. NULL unless it is filled.';
COMMENT ON COLUMN gaps.source IS 'The provider that was asked. NULL before anybody was.';
COMMENT ON COLUMN gaps.ticks IS 'How many ticks were added.';
COMMENT ON COLUMN gaps.attempts IS 'How often the provider was asked for it.';
COMMENT ON COLUMN gaps.found_at IS 'When the hole was found.';
COMMENT ON COLUMN gaps.tried_at IS 'When the provider was asked for it last.';
COMMENT ON COLUMN gaps.settled_at IS 'When it was filled or given up. NULL while it is open.';

-- Quarantine --------------------------------------------------------------------------------------------------------

CREATE TABLE quarantine (
    symbol      text NOT NULL,
    "timestamp" timestamptz NOT NULL,
    price       numeric NOT NULL,
    volume_24h  numeric,
    market_cap  numeric,
    fetched_at  timestamptz NOT NULL,
    source      text NOT NULL,
    origin      text NOT NULL,
    markets     smallint,
    median      numeric,
    why         text NOT NULL,
    state       text NOT NULL CHECK (state IN ('held', 'released')),
    held_at     timestamptz NOT NULL,
    settled_at  timestamptz,
    settled_by  text CHECK (settled_by IN ('three ticks', 'hand')),
    PRIMARY KEY (symbol, "timestamp"),
    CHECK ((state = 'held') = (settled_at IS NULL)),
    CHECK ((settled_at IS NULL) = (settled_by IS NULL))
);
CREATE INDEX quarantine_held ON quarantine (held_at) WHERE state = 'held';
COMMENT ON TABLE quarantine IS 'Ticks that are kept out of ticker_data, candles and alerts as nobody confirms them, and those that were let in after all.';
COMMENT ON COLUMN quarantine.symbol IS 'What was observed.';
COMMENT ON COLUMN quarantine."timestamp" IS 'The time the source gives the observation.';
COMMENT ON COLUMN quarantine.price IS 'The price that is in doubt, every published digit kept.';
COMMENT ON COLUMN quarantine.volume_24h IS 'The tick''s rolling 24-hour volume.';
COMMENT ON COLUMN quarantine.market_cap IS 'The tick''s market cap.';
COMMENT ON COLUMN quarantine.fetched_at IS 'When the reply was complete here.';
COMMENT ON COLUMN quarantine.source IS 'The provider that answered.';
COMMENT ON COLUMN quarantine.origin IS 'live or backfill, as in ticker_data.';
COMMENT ON COLUMN quarantine.markets IS 'Of a composite: how many markets are in it. NULL for others.';
COMMENT ON COLUMN quarantine.median IS 'The five-minute median that the price was too far from. NULL where somebody held it by hand.';
COMMENT ON COLUMN quarantine.why IS 'Why it is held, a sentence.';
COMMENT ON COLUMN quarantine.state IS 'held: here and nowhere else. released: in ticker_data and its candles.';
COMMENT ON COLUMN quarantine.held_at IS 'When it was held last.';
COMMENT ON COLUMN quarantine.settled_at IS 'When it was released. NULL while it is held.';
COMMENT ON COLUMN quarantine.settled_by IS 'What released it: three ticks that agree, or a hand. NULL while it is held.';

-- Candles are brought up to date where ticks were taken away: nothing is ever subtracted from them. From ticks for the
-- minutes, and from minutes for the hour and the day, which is the same and soon done.
CREATE FUNCTION recompute_candles(of_symbol text, begins_at timestamptz, ends_at timestamptz) RETURNS void
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
        (width, symbol, bucket, open, open_at, high, low, close, close_at, volume, volume_at, ticks, minutes)
    SELECT '1m', of_symbol, b.bucket,
        (array_agg(price ORDER BY "timestamp"))[1], min("timestamp"),
        max(price), min(price),
        (array_agg(price ORDER BY "timestamp" DESC))[1], max("timestamp"),
        (array_agg(volume_24h ORDER BY "timestamp" DESC) FILTER (WHERE volume_24h IS NOT NULL))[1],
        max("timestamp") FILTER (WHERE volume_24h IS NOT NULL),
        count(*), B'1'
    FROM ticker_data
    CROSS JOIN LATERAL (SELECT date_bin('1 minute', "timestamp", 'epoch') AS bucket) AS b
    WHERE symbol = of_symbol AND "timestamp" >= first_minute AND "timestamp" < last_minute + interval '1 minute'
    GROUP BY b.bucket;
    DELETE FROM candles
    WHERE symbol = of_symbol
      AND (width = '1h' AND bucket BETWEEN date_bin('1 hour', begins_at, 'epoch') AND last_minute
           OR width = '1d' AND bucket BETWEEN first_day AND last_day);
    INSERT INTO candles
        (width, symbol, bucket, open, open_at, high, low, close, close_at, volume, volume_at, ticks, minutes)
    SELECT w.width, of_symbol, b.bucket,
        (array_agg(m.open ORDER BY m.open_at))[1], min(m.open_at),
        max(m.high), min(m.low),
        (array_agg(m.close ORDER BY m.close_at DESC))[1], max(m.close_at),
        (array_agg(m.volume ORDER BY m.volume_at DESC) FILTER (WHERE m.volume_at IS NOT NULL))[1], max(m.volume_at),
        sum(m.ticks), bit_or(set_bit(w.blank, floor(extract(epoch FROM m.bucket - b.bucket) / 60)::int, 1))
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
COMMENT ON FUNCTION recompute_candles IS 'Make the candles of a symbol anew, of every bucket that the time from begins_at to before ends_at touches. Nobody else stores ticks until the transaction ends.';

CREATE FUNCTION hold_tick(of_symbol text, of_time timestamptz, reason text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ticker_data WHERE symbol = of_symbol AND "timestamp" = of_time) THEN
        RETURN false;
    END IF;
    INSERT INTO quarantine AS q
        (symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, why, state, held_at)
    SELECT symbol, "timestamp", price, volume_24h, market_cap, fetched_at, source, origin, markets, reason, 'held',
        clock_timestamp()
    FROM ticker_data WHERE symbol = of_symbol AND "timestamp" = of_time
    ON CONFLICT (symbol, "timestamp") DO UPDATE SET
        price = excluded.price, volume_24h = excluded.volume_24h, market_cap = excluded.market_cap,
        fetched_at = excluded.fetched_at, source = excluded.source, origin = excluded.origin,
        markets = excluded.markets, median = NULL, why = excluded.why, state = 'held', held_at = excluded.held_at,
        settled_at = NULL, settled_by = NULL
    WHERE q.state = 'released' OR q.price = excluded.price;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    LOCK TABLE candles IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM ticker_data WHERE symbol = of_symbol AND "timestamp" = of_time;
    PERFORM recompute_candles(of_symbol, of_time, of_time + interval '1 microsecond');
    RETURN true;
END $$;
COMMENT ON FUNCTION hold_tick IS 'Take a stored tick out of ticker_data and its candles, into quarantine. False where there is none of that time, NULL where another of that time is held already.';

REVOKE ALL ON FUNCTION recompute_candles(text, timestamptz, timestamptz), hold_tick(text, timestamptz, text) FROM PUBLIC;

-- The watch list and who is who ---------------------------------------------------------------------------------------

CREATE TABLE watch (
    entry      text PRIMARY KEY,
    watched    boolean NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    error      text
);
COMMENT ON TABLE watch IS 'Changes of the watch list at run time: what was added to, or taken off, what WATCH says.';
COMMENT ON COLUMN watch.entry IS 'As in WATCH: BTC, BTC-EUR@kraken, *@kraken, top:250@coingecko, WIF=dogwifcoin.';
COMMENT ON COLUMN watch.watched IS 'true: added; false: taken off, also where WATCH names it or another entry means it.';
COMMENT ON COLUMN watch.changed_at IS 'When that was said.';
COMMENT ON COLUMN watch.error IS 'Why the daemon cannot watch it; NULL where it can, or has not tried yet.';

ALTER TABLE instruments
    ADD COLUMN delisted_at  timestamptz,
    ADD COLUMN looked_up_at timestamptz;
COMMENT ON COLUMN instruments.delisted_at IS 'Since when its provider lists the coin no more, so that it is not asked for. NULL where it does.';
COMMENT ON COLUMN instruments.looked_up_at IS 'When the provider''s list was last looked through for it, as it had no price. NULL: never.';

CREATE TABLE aliases (
    symbol             text NOT NULL,
    market             text NOT NULL,
    provider_id_before text NOT NULL,
    provider_id        text NOT NULL,
    since              timestamptz NOT NULL DEFAULT now(),
    why                text NOT NULL CHECK (why IN ('renamed', 'chosen')),
    PRIMARY KEY (symbol, since),
    CHECK (provider_id_before <> provider_id)
);
COMMENT ON TABLE aliases IS 'Each time that a symbol went on under another provider id; instruments has the one of now.';
COMMENT ON COLUMN aliases.symbol IS 'Whose history goes on.';
COMMENT ON COLUMN aliases.market IS 'The provider whose id it is.';
COMMENT ON COLUMN aliases.provider_id_before IS 'The id until then.';
COMMENT ON COLUMN aliases.provider_id IS 'The id from then on.';
COMMENT ON COLUMN aliases.since IS 'When that was.';
COMMENT ON COLUMN aliases.why IS 'renamed: the provider gave the same coin another id. chosen: the watch list names another one, so ticks of before may be another coin''s.';

-- Rights: as in 0005_rules.sql, and those to the tables above ----------------------------------------------------------

CREATE OR REPLACE FUNCTION grant_rights() RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    roles text[] := ARRAY['cryptomonitor_app', 'cryptomonitor_reader'];
    role text;
    relation regclass;
    -- Since 16 one can be a member without the right to become the role: whoever makes a role is.
    may_become text := CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END;
BEGIN
    FOREACH role IN ARRAY roles LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            END IF;
            IF NOT pg_has_role(role, may_become) THEN
                EXECUTE format('GRANT %I TO CURRENT_USER', role);
            END IF;
        -- The last two: roles are the whole server's, and a migration of another database makes it at this moment.
        EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
            RAISE WARNING 'The role % could not be made, or % no member of it (%). Everything works without: '
                'with more rights than it needs. docs/roles.md says what an administrator can do.',
                role, current_user, SQLERRM;
        END;
    END LOOP;
    roles := ARRAY(SELECT rolname FROM pg_roles WHERE rolname = ANY (roles));

    IF has_schema_privilege('public', 'public', 'CREATE') AND has_schema_privilege('public', 'CREATE WITH GRANT OPTION') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;  -- a database that was made before PostgreSQL 15
    END IF;
    REVOKE ALL ON FUNCTION grant_rights(), make_partition(date), refresh_daily_ohlcv() FROM PUBLIC;
    REVOKE ALL ON FUNCTION recompute_candles(text, timestamptz, timestamptz), hold_tick(text, timestamptz, text)
        FROM PUBLIC;
    FOREACH role IN ARRAY roles LOOP
        IF NOT has_schema_privilege(role, 'public', 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        END IF;
        IF NOT has_database_privilege(role, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END IF;
    END LOOP;

    IF 'cryptomonitor_app' = ANY (roles) THEN
        -- What was stored stays as it is. Partitions are reached through their table alone, those to come too.
        GRANT SELECT, INSERT ON ticker_data, alerts TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE ON candles, instruments, alert_states, provider_calls, outbox, channels TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE ON provider_accounts TO cryptomonitor_app;
        GRANT SELECT, INSERT, DELETE ON provider_recent_calls TO cryptomonitor_app;
        GRANT SELECT, UPDATE ON leader TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE (ended_at) ON silences TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON rules TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON gaps TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON watch TO cryptomonitor_app;
        GRANT SELECT, INSERT ON aliases TO cryptomonitor_app;
        GRANT SELECT ON daily_ohlcv, schema_migrations TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE ON quarantine TO cryptomonitor_app;
        GRANT EXECUTE ON FUNCTION make_partition(date), refresh_daily_ohlcv() TO cryptomonitor_app;
        GRANT EXECUTE ON FUNCTION recompute_candles(text, timestamptz, timestamptz), hold_tick(text, timestamptz, text)
            TO cryptomonitor_app;
    END IF;
    IF 'cryptomonitor_reader' = ANY (roles) THEN
        -- Not ALL TABLES: an extension may have put some here that are not ours to grant.
        FOR relation IN
            SELECT oid::regclass FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
              AND pg_get_userbyid(relowner) = current_user
        LOOP
            EXECUTE format('GRANT SELECT ON %s TO cryptomonitor_reader', relation);
        END LOOP;
        -- Partitions and tables to come, too.
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO cryptomonitor_reader;
    END IF;
END $$;
SELECT grant_rights();
