-- What has to reach the channels, and how each channel does.

CREATE TABLE channels (
    name          text PRIMARY KEY,
    failures      integer NOT NULL DEFAULT 0,
    vain_seconds  double precision NOT NULL DEFAULT 0,
    tried_at      timestamptz,
    next_try_at   timestamptz NOT NULL DEFAULT '-infinity',
    delivered_at  timestamptz,
    last_error    text,
    last_error_at timestamptz,
    claimed_by    text,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE channels IS 'Where alerts go beside alerts.txt: one row a channel that is or was named in NOTIFY_URLS. No address is kept here.';
COMMENT ON COLUMN channels.name IS 'Its name in NOTIFY_URLS.';
COMMENT ON COLUMN channels.failures IS 'Tries that failed since the last one that did not.';
COMMENT ON COLUMN channels.vain_seconds IS 'For how long, over all its life, it was tried and took nothing. It stands still while nobody tries.';
COMMENT ON COLUMN channels.tried_at IS 'When it was last tried.';
COMMENT ON COLUMN channels.next_try_at IS 'Not before then: back-off, or what the receiver asked for.';
COMMENT ON COLUMN channels.delivered_at IS 'When it last took a message.';
COMMENT ON COLUMN channels.last_error IS 'Why the last try that failed did so.';
COMMENT ON COLUMN channels.last_error_at IS 'When that was.';
COMMENT ON COLUMN channels.claimed_by IS 'Who sends to it now: one at a time, among all processes.';
COMMENT ON COLUMN channels.claimed_until IS 'Until when, unless done before. Whoever was killed loses the claim then.';

CREATE TABLE outbox (
    number        bigint GENERATED ALWAYS AS IDENTITY,
    id            text NOT NULL,
    state         text NOT NULL,
    channel       text NOT NULL,
    symbol        text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    vain_before   double precision NOT NULL DEFAULT 0,
    message       text,
    tries         integer NOT NULL DEFAULT 0,
    refused_since timestamptz,
    next_try_at   timestamptz NOT NULL DEFAULT '-infinity',
    delivered_at  timestamptz,
    dead_at       timestamptz,
    last_error    text,
    PRIMARY KEY (id, state, channel),
    FOREIGN KEY (id, state) REFERENCES alerts (id, state) ON DELETE CASCADE,
    CHECK (delivered_at IS NULL OR dead_at IS NULL)
);
CREATE UNIQUE INDEX outbox_number ON outbox (number);
CREATE INDEX outbox_waiting ON outbox (channel, number) WHERE delivered_at IS NULL AND dead_at IS NULL;
CREATE INDEX outbox_in_hand ON outbox (channel, number)
    WHERE delivered_at IS NULL AND dead_at IS NULL AND message IS NOT NULL;
CREATE INDEX outbox_refused ON outbox (channel, symbol)
    WHERE delivered_at IS NULL AND dead_at IS NULL AND refused_since IS NOT NULL;
CREATE INDEX outbox_dead ON outbox (channel) WHERE dead_at IS NOT NULL;
COMMENT ON TABLE outbox IS 'Every state of an alert for every channel it goes to, written with the alert. It waits until it is delivered or dead.';
COMMENT ON COLUMN outbox.number IS 'Grows in the order in which a channel gets the states of a symbol.';
COMMENT ON COLUMN outbox.id IS 'The alert''s id.';
COMMENT ON COLUMN outbox.state IS 'Its state, FIRING or RESOLVED.';
COMMENT ON COLUMN outbox.channel IS 'The channel''s name.';
COMMENT ON COLUMN outbox.symbol IS 'The alert''s symbol: its states are delivered in order.';
COMMENT ON COLUMN outbox.created_at IS 'When this row was written.';
COMMENT ON COLUMN outbox.vain_before IS 'vain_seconds of the channel then.';
COMMENT ON COLUMN outbox.message IS 'The Idempotency-Key of the message it went out in, or is about to: one that may have arrived is repeated as it was.';
COMMENT ON COLUMN outbox.tries IS 'In how many messages, that failed, it went out.';
COMMENT ON COLUMN outbox.refused_since IS 'When the receiver first said that it will not have this very message.';
COMMENT ON COLUMN outbox.next_try_at IS 'Not before then, when it was refused; later states of its symbol wait for it.';
COMMENT ON COLUMN outbox.delivered_at IS 'When the channel had taken it; NULL before.';
COMMENT ON COLUMN outbox.dead_at IS 'When it was given up, after a day of trying; NULL unless so.';
COMMENT ON COLUMN outbox.last_error IS 'Why the last try failed.';
