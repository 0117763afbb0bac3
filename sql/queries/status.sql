-- name: short_question
-- What the API asks must not change anything, nor hold a reply up. For the transaction that it opens.
SET TRANSACTION READ ONLY;
SET LOCAL statement_timeout = '2s';

-- name: answers
-- Does the database answer?
SELECT 1;

-- name: database_facts
-- The server's version and how many bytes the database takes.
SELECT current_setting('server_version'), pg_database_size(current_database());

-- name: latest_ticks
-- For each watched symbol the time of its newest tick and how many seconds ago that was; NULLs where it has none.
-- One look into an index a symbol, newest partition first: max() over all of ticker_data would read it all.
SELECT i.symbol, newest."timestamp", extract(epoch FROM clock_timestamp() - newest."timestamp")::double precision
FROM instruments AS i
LEFT JOIN LATERAL (
    SELECT "timestamp" FROM ticker_data
    WHERE ticker_data.symbol = i.symbol
    ORDER BY "timestamp" DESC LIMIT 1
) AS newest ON true
WHERE i.watched
ORDER BY i.symbol;
