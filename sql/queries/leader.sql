-- name: leading
-- Does this epoch lead? The answer stays true until the transaction ends: a successor has to wait for it.
SELECT epoch FROM leader WHERE epoch = %(epoch)s FOR KEY SHARE;

-- name: show_leader
-- Who leads, since which epoch, and whether the lease is free: left, not renewed for too long, or our own of before.
SELECT epoch, holder,
    renewed_at < clock_timestamp() - make_interval(secs => %(stale)s) OR holder = %(holder)s AS free
FROM leader;

-- name: lock_leader
-- Nobody who writes under the old epoch can commit from here on.
SELECT one FROM leader FOR UPDATE;

-- name: take_lease
-- A new epoch, led by us.
UPDATE leader SET epoch = epoch + 1, holder = %(holder)s, renewed_at = clock_timestamp() RETURNING epoch;

-- name: renew_lease
-- Still there. No row: another leads.
UPDATE leader SET renewed_at = clock_timestamp() WHERE epoch = %(epoch)s RETURNING epoch;

-- name: leave_lease
-- Whoever stands by may take it at once.
UPDATE leader SET renewed_at = '-infinity' WHERE epoch = %(epoch)s;
