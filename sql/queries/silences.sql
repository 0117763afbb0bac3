-- name: lock_silences
-- Others who would add silences wait for the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('silences', 0));

-- name: count_silences
-- How many are in force or yet to come.
SELECT count(*) FROM silences WHERE least(ends_at, ended_at) > clock_timestamp();

-- name: add_silence
-- Silence what matches, from a time (NULL: now) on, until another or for so long.
INSERT INTO silences (rule, symbol, severity, starts_at, ends_at, why)
SELECT %(rule)s, %(symbol)s, %(severity)s, starts_at,
    coalesce(%(ends_at)s::timestamptz, starts_at + %(length)s::interval), %(why)s
FROM (SELECT coalesce(%(starts_at)s::timestamptz, clock_timestamp())) AS t (starts_at)
RETURNING id, rule, symbol, severity, starts_at, ends_at, ended_at, why, created_at,
    starts_at <= clock_timestamp(), ends_at <= clock_timestamp();

-- name: list_silences
-- Silences that are in force or yet to come, or all of them, by their beginning. The last two columns: whether
-- it has begun, and is over.
SELECT id, rule, symbol, severity, starts_at, ends_at, ended_at, why, created_at,
    starts_at <= clock_timestamp(), least(ends_at, ended_at) <= clock_timestamp()
FROM silences
WHERE %(all)s OR least(ends_at, ended_at) > clock_timestamp()
ORDER BY starts_at, id;

-- name: end_silence
-- It silences nothing from now on. No row: there is none of this id that is not over already.
UPDATE silences SET ended_at = clock_timestamp()
WHERE id = %(id)s AND least(ends_at, ended_at) > clock_timestamp()
RETURNING id, rule, symbol, severity, starts_at, ends_at, ended_at, why, created_at,
    starts_at <= clock_timestamp(), true;

-- name: find_silence
-- One silence, over or not.
SELECT id, rule, symbol, severity, starts_at, ends_at, ended_at, why, created_at,
    starts_at <= clock_timestamp(), least(ends_at, ended_at) <= clock_timestamp()
FROM silences WHERE id = %(id)s;

-- name: page_of_silences
-- Silences that are in force or yet to come, or all of them, the latest made first, of those made before one (NULL: all).
SELECT id, rule, symbol, severity, starts_at, ends_at, ended_at, why, created_at,
    starts_at <= clock_timestamp(), least(ends_at, ended_at) <= clock_timestamp()
FROM silences
WHERE (%(all)s OR least(ends_at, ended_at) > clock_timestamp())
  AND (%(before)s::bigint IS NULL OR id < %(before)s::bigint)
ORDER BY id DESC
LIMIT %(limit)s;
