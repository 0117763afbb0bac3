-- name: lock_calls
-- One at a time of those who share a provider's limits: else two could each take the last call.
SELECT pg_advisory_xact_lock(hashtext('cryptomonitor calls'), hashtext(%(source)s || ' ' || %(account)s));

-- name: calls_standing
-- Where an account stands in a month, for one who shares it (of a command every run is another caller): credits of its own and of all others, and of both what
-- backfill had; how many others polled within 20 minutes; others' calls of the last minutes (seconds since; whether for
-- backfill); what was learned of the calls a minute, and seconds since. A count of before there were accounts counts
-- for each, but is part of what the same spender has counted since.
WITH counts AS (
    SELECT
        p.spender = %(spender)s AS mine, max(p.calls) AS calls, max(p.backfill) AS backfill,
        max(p.polled_at) > statement_timestamp() - interval '20 minutes' AS polls
    FROM provider_calls AS p
    WHERE p.source = %(source)s AND p.account IN (%(account)s, '') AND p.month = %(month)s
    GROUP BY p.spender
), recent AS (
    SELECT extract(epoch FROM statement_timestamp() - r.called_at)::double precision AS age, r.backfill
    FROM provider_recent_calls AS r
    WHERE r.source = %(source)s AND r.account = %(account)s AND r.spender <> %(caller)s
      -- Not those of the future: the server's clock was set back, perhaps by much.
      AND r.called_at BETWEEN statement_timestamp() - interval '75 seconds'
                          AND statement_timestamp() + interval '2 seconds'
)
SELECT
    coalesce(sum(c.calls) FILTER (WHERE c.mine), 0)::bigint,
    coalesce(sum(c.calls) FILTER (WHERE NOT c.mine), 0)::bigint,
    coalesce(sum(c.backfill) FILTER (WHERE c.mine), 0)::bigint,
    coalesce(sum(c.backfill) FILTER (WHERE NOT c.mine), 0)::bigint,
    count(*) FILTER (WHERE NOT c.mine AND c.polls),
    (SELECT coalesce(array_agg(recent.age), '{}') FROM recent WHERE NOT recent.backfill),
    (SELECT coalesce(array_agg(recent.age), '{}') FROM recent WHERE recent.backfill),
    (SELECT a.per_minute FROM provider_accounts AS a WHERE a.source = %(source)s AND a.account = %(account)s),
    (
        SELECT extract(epoch FROM statement_timestamp() - a.limited_at)::double precision
        FROM provider_accounts AS a WHERE a.source = %(source)s AND a.account = %(account)s
    )
FROM counts AS c;

-- name: spend_calls
-- A spender makes a call now; with it, it has spent so many credits in the month. Twice does no harm to the count.
WITH past AS (
    DELETE FROM provider_recent_calls
    WHERE source = %(source)s AND account = %(account)s
      AND (called_at < statement_timestamp() - interval '5 minutes'
           OR called_at > statement_timestamp() + interval '5 minutes')
), made AS (
    INSERT INTO provider_recent_calls (source, account, spender, called_at, backfill)
    VALUES (%(source)s, %(account)s, %(caller)s, statement_timestamp(), %(is_backfill)s)
)
INSERT INTO provider_calls AS p (source, account, month, spender, calls, backfill, polled_at)
VALUES (
    %(source)s, %(account)s, %(month)s, %(spender)s, %(calls)s, %(backfill)s,
    CASE WHEN %(polls)s THEN statement_timestamp() END
)
ON CONFLICT (source, account, month, spender) DO UPDATE SET
    calls = greatest(p.calls, excluded.calls),
    backfill = greatest(p.backfill, excluded.backfill),
    polled_at = coalesce(excluded.polled_at, p.polled_at);

-- name: calls_elsewhere
-- The provider says how many credits are gone: what none of us spent was spent elsewhere. The newest word stands: its
-- month may begin on another day than ours, and with it its count.
INSERT INTO provider_calls (source, account, month, spender, calls)
SELECT %(source)s, %(account)s, %(month)s, 'elsewhere', greatest(0, %(spent)s - coalesce(sum(counts.calls), 0))
FROM (
    SELECT max(c.calls) AS calls FROM provider_calls AS c
    WHERE c.source = %(source)s AND c.account IN (%(account)s, '') AND c.month = %(month)s AND c.spender <> 'elsewhere'
    GROUP BY c.spender
) AS counts
ON CONFLICT (source, account, month, spender) DO UPDATE SET calls = excluded.calls;

-- name: learn_calls_a_minute
-- A 429 came just now.
INSERT INTO provider_accounts AS a (source, account, per_minute, limited_at)
VALUES (%(source)s, %(account)s, %(per_minute)s, statement_timestamp())
ON CONFLICT (source, account) DO UPDATE SET per_minute = excluded.per_minute, limited_at = excluded.limited_at;

-- name: warn_of_month
-- Somebody is about to say that a month's credits will not last; a row comes back for the first one.
INSERT INTO provider_accounts AS a (source, account, warned_of) VALUES (%(source)s, %(account)s, %(month)s)
ON CONFLICT (source, account) DO UPDATE SET warned_of = excluded.warned_of
WHERE a.warned_of IS DISTINCT FROM excluded.warned_of
RETURNING true;
