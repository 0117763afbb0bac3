-- name: add_token
-- A new one, good for so long.
INSERT INTO tokens (id, digest, name, scope, expires_at)
VALUES (%(id)s, %(digest)s, %(name)s, %(scope)s, clock_timestamp() + %(length)s::interval)
RETURNING id, name, scope, created_at, expires_at, revoked_at, last_used_at;

-- name: list_tokens
-- All there are, by their making.
SELECT id, name, scope, created_at, expires_at, revoked_at, last_used_at FROM tokens ORDER BY created_at, id;

-- name: find_token
-- The one of this id, and what a token has to hash to, to be it.
SELECT id, name, scope, created_at, expires_at, revoked_at, last_used_at, digest FROM tokens WHERE id = %(id)s;

-- name: revoke_token
-- It is good for nothing from now on. No row: there is none of this id that is not revoked already.
UPDATE tokens SET revoked_at = clock_timestamp() WHERE id = %(id)s AND revoked_at IS NULL
RETURNING id, name, scope, created_at, expires_at, revoked_at, last_used_at;

-- name: token_was_used
-- Write down the hour, if it is another one.
UPDATE tokens SET last_used_at = date_trunc('hour', clock_timestamp())
WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < date_trunc('hour', clock_timestamp()));
