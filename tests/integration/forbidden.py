"""What the roles of the database are not for: each of these has to be refused for want of rights."""

from __future__ import annotations

from app.db import APP, READER

FORBIDDEN_TO_BOTH = """
UPDATE ticker_data SET price = 1
DELETE FROM ticker_data
DELETE FROM ticker_data WHERE symbol = 'BTC'
TRUNCATE ticker_data
MERGE INTO ticker_data AS t USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE
COPY ticker_data FROM '/dev/null'
BEGIN; LOCK TABLE ticker_data IN ACCESS EXCLUSIVE MODE
INSERT INTO ticker_data_2026_01 SELECT * FROM ticker_data
UPDATE ticker_data_2026_01 SET price = 1
DELETE FROM ticker_data_2026_01
TRUNCATE ticker_data_2026_01
DROP TABLE ticker_data_2026_01
ALTER TABLE ticker_data DETACH PARTITION ticker_data_2026_01
CREATE TABLE ticker_data_2027_01 PARTITION OF ticker_data FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')
DROP TABLE ticker_data
ALTER TABLE ticker_data ADD COLUMN x int
ALTER TABLE ticker_data DROP CONSTRAINT ticker_data_pkey
ALTER TABLE ticker_data OWNER TO CURRENT_USER
CREATE INDEX ON ticker_data (price)
DROP INDEX alerts_number
REINDEX TABLE alerts
COMMENT ON TABLE ticker_data IS 'mine'
CREATE TRIGGER mine BEFORE INSERT ON ticker_data EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE RULE mine AS ON INSERT TO ticker_data DO INSTEAD NOTHING
DELETE FROM candles
TRUNCATE candles
INSERT INTO candles_1d SELECT * FROM candles
UPDATE candles_1d SET close = 1
UPDATE alerts SET state = 'RESOLVED'
UPDATE batches SET number = number + 1
TRUNCATE batches
UPDATE alerts SET number = DEFAULT
DELETE FROM alerts
TRUNCATE alerts
SELECT setval('alerts_number_seq', 1)
SELECT nextval('alerts_number_seq')
DELETE FROM alert_states
TRUNCATE alert_states
DELETE FROM instruments
TRUNCATE instruments
INSERT INTO metrics (symbol, type) VALUES ('X', 'price')
UPDATE metrics SET symbol = 'X'
DELETE FROM metrics
TRUNCATE metrics
CREATE TRIGGER mine AFTER INSERT ON instruments EXECUTE FUNCTION make_metrics()
DELETE FROM provider_calls
TRUNCATE provider_calls
DELETE FROM outbox
TRUNCATE outbox
DELETE FROM channels
TRUNCATE channels
DELETE FROM quarantine
TRUNCATE quarantine
DELETE FROM silences
TRUNCATE silences
UPDATE silences SET why = 'x'
UPDATE silences SET ends_at = now()
UPDATE silences SET rule = '*', ended_at = NULL
TRUNCATE rules
TRUNCATE acknowledged
TRUNCATE gaps
DELETE FROM tokens
TRUNCATE tokens
UPDATE tokens SET digest = ''
UPDATE tokens SET scope = 'write'
UPDATE tokens SET expires_at = 'infinity'
INSERT INTO leader (epoch, holder, renewed_at) VALUES (9, 'me', now())
DELETE FROM leader
TRUNCATE leader
INSERT INTO schema_migrations VALUES (9999, 'mine')
UPDATE schema_migrations SET version = version - 1
DELETE FROM schema_migrations
REFRESH MATERIALIZED VIEW daily_ohlcv
DROP MATERIALIZED VIEW daily_ohlcv
DROP VIEW ohlcv_1m
ALTER VIEW ohlcv_1m RENAME TO mine
UPDATE ohlcv_1m SET close = 1
CREATE TABLE mine (x int)
CREATE TABLE mine AS SELECT 1 AS x
SELECT 1 AS x INTO mine
CREATE VIEW mine AS SELECT 1
CREATE SEQUENCE mine
CREATE TYPE mine AS ENUM ('x')
CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE FUNCTION mine() RETURNS int LANGUAGE c AS '/tmp/mine.so', 'mine'
CREATE OR REPLACE FUNCTION make_partition(month date) RETURNS boolean LANGUAGE sql AS 'SELECT true'
ALTER FUNCTION make_partition(date) RESET search_path
DROP FUNCTION refresh_daily_ohlcv()
SELECT grant_rights()
CREATE SCHEMA mine
DROP SCHEMA public CASCADE
ALTER DEFAULT PRIVILEGES FOR ROLE cryptomonitor GRANT ALL ON TABLES TO PUBLIC
DROP EXTENSION plpgsql
CREATE DATABASE mine
CREATE ROLE mine
ALTER ROLE cryptomonitor PASSWORD 'mine'
GRANT cryptomonitor TO cryptomonitor_app
GRANT pg_execute_server_program TO cryptomonitor_reader
ALTER SYSTEM SET fsync = off
SET session_replication_role = replica
INSERT INTO rollbacks (to_time) VALUES ('2020-01-01')
UPDATE rollbacks SET undone_at = now()
DELETE FROM rollbacks
DELETE FROM rolled_back_ticks
DELETE FROM rolled_back_alerts
DELETE FROM rolled_back_quarantine
INSERT INTO rolled_back_gaps SELECT *, 1 FROM gaps
TRUNCATE rolled_back_ticks
UPDATE rolled_back_alert_states SET lines = 0
SELECT * FROM pg_authid
SELECT pg_read_file('postgresql.conf')
SELECT lo_import('/etc/passwd')
COPY (SELECT 1) TO PROGRAM 'true'
COPY (SELECT 1) TO '/dev/null'
SELECT pg_reload_conf()
SELECT pg_switch_wal()
""".strip().splitlines()

FORBIDDEN = {
    APP: [
        *FORBIDDEN_TO_BOTH,
        "SELECT * FROM ticker_data_2026_01",
        "SELECT * FROM candles_1m",
        "SELECT * FROM ohlcv_1d",
        "BEGIN; LOCK TABLE ticker_data IN SHARE MODE",
    ],
    READER: [
        *FORBIDDEN_TO_BOTH,
        "INSERT INTO ticker_data SELECT * FROM ticker_data",
        "INSERT INTO alerts (id, state) VALUES ('x', 'FIRING')",
        "INSERT INTO candles SELECT * FROM candles",
        "UPDATE candles SET close = 1",
        "UPDATE instruments SET watched = false",
        "INSERT INTO instruments (symbol, base, quote, market) VALUES ('X', 'X', 'USD', 'coingecko')",
        "UPDATE alert_states SET lines = 0",
        "INSERT INTO alert_states SELECT * FROM alert_states",
        "UPDATE provider_calls SET calls = 0",
        "UPDATE outbox SET delivered_at = now()",
        "INSERT INTO channels (name) VALUES ('x')",
        "INSERT INTO silences (ends_at, why) VALUES ('2100-01-01', 'x')",
        "UPDATE silences SET ended_at = now()",
        "SELECT * FROM silences FOR UPDATE",
        "INSERT INTO rules (name, origin, definition) VALUES ('x', 'api', '{}')",
        "UPDATE rules SET error = NULL",
        "DELETE FROM rules",
        "DELETE FROM gaps",
        "INSERT INTO tokens SELECT * FROM tokens",
        "UPDATE tokens SET revoked_at = NULL",
        "UPDATE gaps SET state = 'open', settled_at = NULL",
        "UPDATE leader SET epoch = epoch + 1",
        "SELECT * FROM leader FOR KEY SHARE",
        "SELECT * FROM ticker_data FOR UPDATE",
        "BEGIN; LOCK TABLE ticker_data IN ROW EXCLUSIVE MODE",
        "INSERT INTO batches SELECT * FROM batches",
        "DELETE FROM batches",
        "SELECT next_batch()",
        "SELECT make_partition('2026-01-01')",
        "SELECT refresh_daily_ohlcv()",
    ],
}
