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
