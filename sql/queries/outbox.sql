-- A row of outbox waits while it is neither delivered nor dead. Its channel is sent to by whoever has claimed it.

-- name: queue_alerts
-- Recorded alerts for the channels they go to, in the order given: a FIRING, unless it is silenced or its episode
-- acknowledged, to the channel that stands beside it; a RESOLVED (beside it: none) to exactly those that a FIRING of
-- its episode was queued for, before or just now. What is queued already is left alone.
WITH given AS (
    SELECT a.id, a.state, a.symbol, split_part(a.id, '.', 1) AS episode, a.silenced_by, channel, place
    FROM unnest(%(id)s::text[], %(state)s::text[], %(channel)s::text[])
        WITH ORDINALITY AS t (id, state, channel, place)
    JOIN alerts AS a ON (a.id, a.state) = (t.id, t.state)
), firing AS (
    SELECT * FROM given
    WHERE state = 'FIRING' AND silenced_by IS NULL
      AND NOT EXISTS (SELECT FROM acknowledged WHERE acknowledged.episode = given.episode)
), ends AS (
    SELECT id, state, symbol, episode, place FROM given WHERE state = 'RESOLVED'
), queued AS (
    SELECT id, state, symbol, channel, place FROM firing
    UNION
    SELECT ends.id, ends.state, ends.symbol, told.channel, ends.place
    FROM ends JOIN outbox AS told ON told.state = 'FIRING' AND split_part(told.id, '.', 1) = ends.episode
    UNION
    SELECT ends.id, ends.state, ends.symbol, told.channel, ends.place
    FROM ends JOIN firing AS told ON told.episode = ends.episode AND told.place < ends.place
)
INSERT INTO outbox (id, state, channel, symbol, vain_before)
SELECT id, state, channel, symbol, coalesce(known.vain_seconds, 0)
FROM queued LEFT JOIN channels AS known ON known.name = queued.channel
ORDER BY place, channel
ON CONFLICT (id, state, channel) DO NOTHING;

-- name: register_channels
-- Channels that there are now. (They keep what they were.)
INSERT INTO channels (name) SELECT unnest(%(names)s::text[]) ORDER BY 1 ON CONFLICT (name) DO NOTHING;

-- name: waiting_for_others
-- What waits for channels that are not of these names.
SELECT channel, count(*) FROM outbox
WHERE delivered_at IS NULL AND dead_at IS NULL AND channel <> ALL (%(names)s::text[])
GROUP BY channel ORDER BY channel;

-- name: give_up_for_others
-- What has waited so long for channels that are not of these names is dead. How many, by channel.
WITH dead AS (
    UPDATE outbox SET dead_at = clock_timestamp(), last_error = %(error)s
    WHERE delivered_at IS NULL AND dead_at IS NULL AND channel <> ALL (%(names)s::text[])
      -- It may have been replayed since.
      AND greatest(created_at, next_try_at) <= clock_timestamp() - make_interval(secs => %(seconds)s)
    RETURNING channel
)
SELECT channel, count(*) FROM dead GROUP BY channel ORDER BY channel;

-- name: known_channels
-- Those that are or were in NOTIFY_URLS.
SELECT name FROM channels ORDER BY name;

-- name: claim_channel
-- Be the one who sends to a channel, for some seconds, if it is time for it, something waits, and nobody else does.
UPDATE channels
SET claimed_by = %(worker)s, claimed_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE name = (
    SELECT name FROM channels
    WHERE name = %(channel)s AND next_try_at <= clock_timestamp()
      AND (claimed_until <= clock_timestamp() OR claimed_by = %(worker)s)
      AND EXISTS (
          SELECT FROM outbox WHERE channel = %(channel)s AND delivered_at IS NULL AND dead_at IS NULL)
    FOR UPDATE SKIP LOCKED)
RETURNING failures;

-- name: release_channel
-- Done with it, if it is still ours.
UPDATE channels SET claimed_until = '-infinity' WHERE name = %(channel)s AND claimed_by = %(worker)s;

-- name: message_in_hand
-- The message that may have arrived, and of which nobody knows whether it did.
SELECT o.message, o.number, o.tries, o.refused_since IS NOT NULL,
    a.id, a.state, a."timestamp", a.symbol, a.rule, a.terms, a.severity
FROM outbox o JOIN alerts a ON (a.id, a.state) = (o.id, o.state)
WHERE o.channel = %(channel)s AND o.delivered_at IS NULL AND o.dead_at IS NULL AND o.message IS NOT NULL
ORDER BY o.number;

-- name: outbox_due
-- The first that wait, whether each has to go alone, without symbols of which one is held back because it was refused.
SELECT o.tries > 0, o.number, o.tries, o.refused_since IS NOT NULL,
    a.id, a.state, a."timestamp", a.symbol, a.rule, a.terms, a.severity
FROM outbox o JOIN alerts a ON (a.id, a.state) = (o.id, o.state)
WHERE o.channel = %(channel)s AND o.delivered_at IS NULL AND o.dead_at IS NULL
  AND o.symbol NOT IN (
      SELECT symbol FROM outbox
      WHERE channel = %(channel)s AND delivered_at IS NULL AND dead_at IS NULL
        AND refused_since IS NOT NULL AND next_try_at > clock_timestamp())
ORDER BY o.number
LIMIT %(limit)s;

-- name: set_message
-- These are one message from now on; before it is sent.
UPDATE outbox SET message = %(message)s WHERE number = ANY (%(numbers)s::bigint[]);

-- name: message_delivered
-- The receiver has taken it, whoever else was of another mind.
UPDATE outbox SET delivered_at = clock_timestamp(), dead_at = NULL, last_error = NULL
WHERE number = ANY (%(numbers)s::bigint[]) AND delivered_at IS NULL;

-- name: channel_delivered
-- It works; the next may send at once.
UPDATE channels
SET failures = 0, tried_at = clock_timestamp(), next_try_at = '-infinity', delivered_at = clock_timestamp(),
    claimed_until = '-infinity'
WHERE name = %(channel)s AND claimed_by = %(worker)s;

-- name: message_failed
-- It may have arrived or not: the same again, when it is time.
UPDATE outbox SET tries = tries + 1, last_error = %(error)s
WHERE number = ANY (%(numbers)s::bigint[]) AND delivered_at IS NULL;

-- name: divide_message
-- Not as one message again: each goes alone, having been tried.
UPDATE outbox SET tries = tries + 1, last_error = %(error)s, message = NULL
WHERE number = ANY (%(numbers)s::bigint[]) AND delivered_at IS NULL;

-- name: message_refused
-- This one, which was alone, is held back for the pause.
UPDATE outbox
SET tries = tries + 1, last_error = %(error)s, message = NULL,
    refused_since = coalesce(refused_since, clock_timestamp()),
    next_try_at = clock_timestamp() + make_interval(secs => %(pause)s)
WHERE number = ANY (%(numbers)s::bigint[]) AND delivered_at IS NULL;

-- name: channel_failed
-- Nobody sends to it for the pause. The time since the last failed try was in vain, unless nobody was trying in it, or
-- what failed was one alert that the receiver refused.
UPDATE channels
SET failures = failures + 1,
    vain_seconds = vain_seconds + CASE WHEN failures > 0 AND NOT %(refused)s
        THEN greatest(0, least(extract(epoch FROM clock_timestamp() - tried_at), %(longest)s)) ELSE 0 END,
    tried_at = clock_timestamp(), next_try_at = clock_timestamp() + make_interval(secs => %(pause)s),
    last_error = %(error)s, last_error_at = clock_timestamp(), claimed_until = '-infinity'
WHERE name = %(channel)s AND claimed_by = %(worker)s;

-- name: give_up
-- What was waited with for too long is dead: for a channel that took nothing, or refused this alone.
UPDATE outbox o SET dead_at = clock_timestamp()
FROM channels c
WHERE o.channel = %(channel)s AND c.name = o.channel AND o.delivered_at IS NULL AND o.dead_at IS NULL
  AND (o.vain_before + %(seconds)s <= c.vain_seconds
       OR o.refused_since <= clock_timestamp() - make_interval(secs => %(seconds)s))
RETURNING o.number;

-- name: open_message
-- What is left of a message of which some are dead is no message any more.
UPDATE outbox SET message = NULL
WHERE channel = %(channel)s AND delivered_at IS NULL AND dead_at IS NULL AND message IS NOT NULL;

-- name: channel_counts
-- How a channel does: what waits, what is dead, failed tries in a row, the last one's reason, the last delivery.
SELECT
    (SELECT count(*) FROM outbox WHERE channel = c.name AND delivered_at IS NULL AND dead_at IS NULL),
    (SELECT count(*) FROM outbox WHERE channel = c.name AND dead_at IS NOT NULL),
    c.failures, c.last_error, c.delivered_at
FROM channels c WHERE c.name = %(channel)s;

-- name: replay_dead
-- What was given up waits again, as if it had just been queued: of a channel (NULL: of all). How many, by channel.
WITH again AS (
    UPDATE outbox AS o
    SET dead_at = NULL, refused_since = NULL, next_try_at = clock_timestamp(), tries = 0, message = NULL,
        vain_before = coalesce((SELECT vain_seconds FROM channels WHERE name = o.channel), 0)
    WHERE o.dead_at IS NOT NULL AND (%(channel)s::text IS NULL OR o.channel = %(channel)s)
    RETURNING o.channel
), at_once AS (
    UPDATE channels SET next_try_at = '-infinity' WHERE name IN (SELECT channel FROM again)
)
SELECT channel, count(*) FROM again GROUP BY channel ORDER BY channel;
