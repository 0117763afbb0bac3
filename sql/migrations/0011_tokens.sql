-- Tokens for the API.

CREATE TABLE tokens (
    id           text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{12}$'),
    digest       bytea NOT NULL CHECK (length(digest) = 32),
    name         text NOT NULL,
    scope        text NOT NULL CHECK (scope IN ('read', 'write')),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CHECK (expires_at > created_at)
);
COMMENT ON TABLE tokens IS 'Who may ask the API from elsewhere, or write: what python -m app token has made. The tokens themselves are nowhere.';
COMMENT ON COLUMN tokens.id IS 'Its second part: cm_<id>_<secret>.';
COMMENT ON COLUMN tokens.digest IS 'SHA-256 of the whole token. Its secret is 256 random bits, which nobody guesses: it needs no salt and no slow hash.';
COMMENT ON COLUMN tokens.name IS 'Whose it is, for people.';
COMMENT ON COLUMN tokens.scope IS 'read, or write, which includes read.';
COMMENT ON COLUMN tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN tokens.expires_at IS 'From then on it is good for nothing.';
COMMENT ON COLUMN tokens.revoked_at IS 'When somebody revoked it, if so.';
COMMENT ON COLUMN tokens.last_used_at IS 'The hour in which it was last used.';

INSERT INTO rights (object, role, privileges) VALUES
    ('tokens', 'cryptomonitor_app', 'SELECT, INSERT'),
    ('tokens', 'cryptomonitor_app', 'UPDATE (revoked_at, last_used_at)');
SELECT grant_rights();
