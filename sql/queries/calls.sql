-- name: lock_calls
-- One at a time of those who share a provider's key: else two could each take the last call of a month.
SELECT pg_advisory_xact_lock(hashtext('cryptomonitor calls'), hashtext(%(source)s));

-- name: count_calls
-- A spender has made so many calls of a source in a month: its count, and that of all others. Twice does no harm.
WITH ours AS (
    INSERT INTO provider_calls AS p (source, month, spender, calls)
    VALUES (%(source)s, %(month)s, %(spender)s, %(calls)s)
    ON CONFLICT (source, month, spender) DO UPDATE SET calls = greatest(p.calls, excluded.calls)
    RETURNING calls
)
SELECT ours.calls, (
    SELECT coalesce(sum(p.calls), 0)::bigint FROM provider_calls AS p
    WHERE p.source = %(source)s AND p.month = %(month)s AND p.spender <> %(spender)s
) FROM ours;
