-- Who may do what: the owner (whoever migrates) everything, cryptomonitor_app what the daemon does, cryptomonitor_reader
-- read. docs/roles.md tells more. A later migration that makes a table replaces this function, and calls it again.

CREATE FUNCTION grant_rights() RETURNS void
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
COMMENT ON FUNCTION grant_rights IS 'Make the roles cryptomonitor_app and cryptomonitor_reader where that is allowed, and give them their rights. For the owner; doing it twice does no harm.';

SELECT grant_rights();
