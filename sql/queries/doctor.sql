-- name: look_at_server
-- What `doctor` tells of the server: its version, the database's size, its clock.
SELECT current_setting('server_version'), pg_size_pretty(pg_database_size(current_database())), clock_timestamp();
