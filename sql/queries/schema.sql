-- name: migration_lock
-- One migrator at a time; held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('cryptomonitor'), hashtext('migrations'));

-- name: make_migrations_table
-- Where applied migrations are written down.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE schema_migrations IS 'The migrations of sql/migrations that this database has.';
COMMENT ON COLUMN schema_migrations.version IS 'The number its file name starts with.';
COMMENT ON COLUMN schema_migrations.name IS 'The rest of its file name.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';

-- name: applied_migrations
-- The versions this database has.
SELECT version FROM schema_migrations ORDER BY version;

-- name: record_migration
-- Write a migration down.
INSERT INTO schema_migrations (version, name) VALUES (%(version)s, %(name)s);

-- name: has_migrations_table
-- Is there a place where applied migrations are written down? And is it ours? (Other programs have a table of that name.)
SELECT count(*) > 0,
       coalesce(array_agg(attname || ' ' || format_type(atttypid, NULL) ORDER BY attnum)
           = ARRAY['version integer', 'name text', 'applied_at timestamp with time zone'], false)
FROM pg_attribute
WHERE attrelid = to_regclass('public.schema_migrations') AND attnum > 0 AND NOT attisdropped;

-- name: may_grant_rights
-- Are we the owner, or nearly?
SELECT has_function_privilege('grant_rights()', 'EXECUTE');

-- name: grant_rights
-- Give the roles their rights anew.
SELECT grant_rights();

-- name: become
-- Take on a role, where that is allowed and it has rights here. Whether we have its rights and no others now (or there
-- is nothing here yet to have rights to), and as whom we connected. Since version 16 members of a role may be without
-- the right to become it.
WITH wanted AS MATERIALIZED (
    SELECT rolname,
        has_table_privilege(rolname, to_regclass('public.schema_migrations'), 'SELECT') AS is_granted,
        pg_has_role(rolname, 'USAGE') AS is_inherited,
        pg_has_role(rolname, CASE WHEN current_setting('server_version_num')::int < 160000
            THEN 'MEMBER' ELSE 'SET' END) AS can_be_taken
    FROM pg_roles WHERE rolname = %(role)s
), taken AS MATERIALIZED (
    SELECT set_config('role', rolname, false) FROM wanted WHERE is_granted AND can_be_taken
)
SELECT EXISTS (SELECT FROM taken)
        OR EXISTS (SELECT FROM wanted WHERE is_granted AND is_inherited AND NOT can_be_taken)
        OR to_regclass('public.schema_migrations') IS NULL,
    session_user;
