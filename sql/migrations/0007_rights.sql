-- Rights as a table: a later migration that makes a table adds its rows, and calls grant_rights() again.

CREATE TABLE rights (
    role       text NOT NULL,
    privileges text NOT NULL,
    object     text NOT NULL,
    PRIMARY KEY (object, role, privileges)
);
COMMENT ON TABLE rights IS 'What each of our roles may do, beside reading for cryptomonitor_reader; grant_rights() gives it. docs/roles.md says more.';
COMMENT ON COLUMN rights.role IS 'Who may.';
COMMENT ON COLUMN rights.privileges IS 'What, as in GRANT.';
COMMENT ON COLUMN rights.object IS 'With what, as in GRANT: a table''s name, or FUNCTION and its name and arguments, which nobody else but the owner may call then.';

-- What was stored stays as it is. Partitions are reached through their table alone, those to come too.
INSERT INTO rights (object, role, privileges)
SELECT object, 'cryptomonitor_app', privileges
FROM (VALUES
    ('SELECT, INSERT', ARRAY['ticker_data', 'alerts', 'aliases', 'silences']),
    ('SELECT, INSERT, UPDATE', ARRAY[
        'candles', 'instruments', 'alert_states', 'provider_calls', 'provider_accounts', 'outbox', 'channels',
        'quarantine']),
    ('SELECT, INSERT, DELETE', ARRAY['provider_recent_calls']),
    ('SELECT, INSERT, UPDATE, DELETE', ARRAY['rules', 'gaps', 'watch']),
    ('SELECT, UPDATE', ARRAY['leader']),
    ('UPDATE (ended_at)', ARRAY['silences']),
    ('SELECT', ARRAY['daily_ohlcv', 'schema_migrations']),
    ('EXECUTE', ARRAY[
        'FUNCTION make_partition(date)', 'FUNCTION refresh_daily_ohlcv()',
        'FUNCTION recompute_candles(text, timestamptz, timestamptz)', 'FUNCTION hold_tick(text, timestamptz, text)'])
) AS t (privileges, objects)
CROSS JOIN unnest(objects) AS object;

CREATE OR REPLACE FUNCTION grant_rights() RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    roles text[] := ARRAY['cryptomonitor_app', 'cryptomonitor_reader'];
    role text;
    relation regclass;
    its record;
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
    REVOKE ALL ON FUNCTION grant_rights() FROM PUBLIC;
    FOR its IN SELECT DISTINCT object FROM rights WHERE object LIKE 'FUNCTION %' LOOP
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', its.object);
    END LOOP;
    FOREACH role IN ARRAY roles LOOP
        IF NOT has_schema_privilege(role, 'public', 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        END IF;
        IF NOT has_database_privilege(role, current_database(), 'CONNECT') THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END IF;
    END LOOP;

    FOR its IN SELECT * FROM rights WHERE rights.role = ANY (roles) LOOP
        EXECUTE format('GRANT %s ON %s TO %I', its.privileges, its.object, its.role);
    END LOOP;
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
