-- Rules that people write: states that recover, silences, and the rules themselves where people and the API can read them.

-- Alert states ------------------------------------------------------------------------------------------------------

ALTER TABLE alert_states
    ADD COLUMN digest text NOT NULL DEFAULT '',
    ADD COLUMN recovering_since timestamptz,
    DROP CONSTRAINT alert_states_state_check,
    ADD CONSTRAINT alert_states_state_check CHECK (state IN ('INACTIVE', 'PENDING', 'FIRING', 'RECOVERING')),
    ADD CONSTRAINT alert_states_recovering_check CHECK ((state = 'RECOVERING') = (recovering_since IS NOT NULL));
COMMENT ON COLUMN alert_states.state IS 'INACTIVE, PENDING (true, but not yet for long enough), FIRING or RECOVERING (not true any more, but not yet for long enough).';
COMMENT ON COLUMN alert_states.digest IS 'What the rule said that brought it here, as rules.digest; empty where an older version wrote this row.';
COMMENT ON COLUMN alert_states.recovering_since IS 'The time of the tick since which it has not been true; NULL unless RECOVERING.';

-- Silences ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION matches(value text, pattern text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN value LIKE replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%');
COMMENT ON FUNCTION matches IS 'Whether a text is what the pattern says: * stands for any text, everything else for itself.';

CREATE FUNCTION selects(pattern text, symbol text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN pattern = '*' OR matches(split_part(symbol, '@', 1), split_part(pattern, '@', 1)) AND (
        matches(split_part(symbol, '@', 2), split_part(pattern, '@', 2))
        -- The default market has no name in symbols but in that of its source.
        OR symbol LIKE '*@%' AND pattern LIKE '%@' AND EXISTS (
            SELECT FROM instruments AS i WHERE i.market = split_part(selects.symbol, '@', 2) AND i.symbol NOT LIKE '%@%'));
COMMENT ON FUNCTION selects IS 'Whether a pattern of symbols, PAIR[@MARKET], selects a symbol, as in rules: without a market one of the default market, *@ all of these and their source, * alone everything.';

CREATE TABLE silences (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule       text NOT NULL DEFAULT '*' CHECK (rule <> ''),
    symbol     text NOT NULL DEFAULT '*' CHECK (symbol <> ''),
    severity   text NOT NULL DEFAULT '*' CHECK (severity <> ''),
    starts_at  timestamptz NOT NULL DEFAULT now() CHECK (isfinite(starts_at)),
    ends_at    timestamptz NOT NULL CHECK (isfinite(ends_at)),
    ended_at   timestamptz CHECK (isfinite(ended_at)),
    why        text NOT NULL CHECK (btrim(why) <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at)
);
CREATE INDEX silences_ends_at ON silences (ends_at);
COMMENT ON TABLE silences IS 'Alerts that the channels are not to hear of: those whose rule, symbol and severity all match, by the time of their tick. alerts.txt has them all the same. In the three, * stands for any text.';
COMMENT ON COLUMN silences.id IS 'What alerts.silenced_by names.';
COMMENT ON COLUMN silences.rule IS 'Which rules: a name, * in it for any text.';
COMMENT ON COLUMN silences.symbol IS 'Which symbols: patterns as in rules, written as symbols are: BTC is that one of the default market, *@ all of these, *@kraken all of that market.';
COMMENT ON COLUMN silences.severity IS 'Which severities, likewise.';
COMMENT ON COLUMN silences.starts_at IS 'From when on, this very moment included.';
COMMENT ON COLUMN silences.ends_at IS 'Until when, this very moment excluded.';
COMMENT ON COLUMN silences.ended_at IS 'When somebody ended it before its time; it silences nothing from then on. NULL unless so.';
COMMENT ON COLUMN silences.why IS 'Why, for those who wonder.';
COMMENT ON COLUMN silences.created_at IS 'When this row was written.';

-- Alerts ------------------------------------------------------------------------------------------------------------

-- For lists of a rule's or a symbol's alerts.
CREATE INDEX alerts_of ON alerts (rule, symbol, number);
ALTER TABLE alerts
    ADD COLUMN severity text NOT NULL DEFAULT '',
    ADD COLUMN silenced_by bigint REFERENCES silences (id),
    ADD CONSTRAINT alerts_silenced_by_check CHECK (silenced_by IS NULL OR state = 'FIRING');
COMMENT ON COLUMN alerts.severity IS 'The severity of the rule; empty where an older version wrote this row.';
COMMENT ON COLUMN alerts.silenced_by IS 'The silence because of which no channel hears of it; NULL unless so.';

-- A RESOLVED goes where a FIRING of its episode went: their ids are the episode's, or that and .2, .3.
CREATE INDEX outbox_episode ON outbox (split_part(id, '.', 1)) WHERE state = 'FIRING';

-- Arrival -----------------------------------------------------------------------------------------------------------

-- For backtests, which read ticks in the order in which they arrived. A few pages, as ticks arrive in that order.
CREATE INDEX ticker_data_arrival ON ticker_data USING brin (fetched_at) WITH (autosummarize = on);

-- Rules -------------------------------------------------------------------------------------------------------------

CREATE TABLE rules (
    name       text NOT NULL CHECK (name <> '' AND name !~ '[[:space:][:cntrl:]]'),
    origin     text NOT NULL CHECK (origin IN ('file', 'api')),
    definition jsonb NOT NULL CHECK (jsonb_typeof(definition) = 'object'),
    digest     text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now(),
    error      text CHECK (error <> ''),
    PRIMARY KEY (name, origin),
    CHECK (definition -> 'name' IS NULL OR definition -> 'name' = to_jsonb(name))
);
COMMENT ON TABLE rules IS 'The rules: those of RULES_FILE as the leading daemon has read them (changed in that file, not here), and those that the API made.';
COMMENT ON COLUMN rules.name IS 'Its name. Where both have one of this name, that of the file counts.';
COMMENT ON COLUMN rules.origin IS 'file or api: where it is from, and can be changed.';
COMMENT ON COLUMN rules.definition IS 'The rule as it is written, key by key.';
COMMENT ON COLUMN rules.digest IS 'Changes when the rule''s meaning does: states that were found by another do not count. Empty while nobody has told.';
COMMENT ON COLUMN rules.updated_at IS 'When it last changed.';
COMMENT ON COLUMN rules.error IS 'Why the daemon does not use it; NULL where it does.';

-- Rights: as in 0004_roles.sql, and those to silences and rules ----------------------------------------------------

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
        GRANT SELECT, UPDATE ON leader TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE (ended_at) ON silences TO cryptomonitor_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON rules TO cryptomonitor_app;
        GRANT SELECT ON daily_ohlcv, schema_migrations TO cryptomonitor_app;
        GRANT EXECUTE ON FUNCTION make_partition(date), refresh_daily_ohlcv() TO cryptomonitor_app;
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
