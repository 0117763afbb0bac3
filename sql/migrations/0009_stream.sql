-- What /api/v1/stream tells: each batch of new live ticks and alerts under a number, in the order of their commits.

CREATE TABLE batches (
    number      bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    ticks       integer NOT NULL,
    symbols     text[] NOT NULL,
    timestamps  timestamptz[] NOT NULL,
    alerts      bigint[] NOT NULL,
    CHECK (cardinality(symbols) = ticks AND cardinality(timestamps) = ticks)
);
COMMENT ON TABLE batches IS 'The batches of the last 15 minutes, and at least the last one: what /api/v1/stream can tell a client that comes back. A notice on the channel cryptomonitor, with the number alone, goes out with each.';
COMMENT ON COLUMN batches.number IS 'Grows in the order of the commits. About the milliseconds since 1970, so that another database has other numbers, and so has this one after a backup was restored.';
COMMENT ON COLUMN batches.recorded_at IS 'When this row was written.';
COMMENT ON COLUMN batches.ticks IS 'How many ticks.';
COMMENT ON COLUMN batches.symbols IS 'The symbols of its ticks: those that are live and were new.';
COMMENT ON COLUMN batches.timestamps IS 'The timestamps of these ticks, in the same order.';
COMMENT ON COLUMN batches.alerts IS 'Its alerts, by alerts.number.';

CREATE FUNCTION next_batch() RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    its_number bigint;
BEGIN
    -- Held until the commit: who can see a number can see all that lie below it. Nothing else may be waited for in a
    -- transaction after this, or two of them could wait for each other.
    PERFORM pg_advisory_xact_lock(hashtext('cryptomonitor'), hashtext('batches'));
    SELECT greatest(max(number) + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    INTO STRICT its_number FROM public.batches;
    PERFORM pg_notify('cryptomonitor', its_number::text);
    RETURN its_number;
END $$;
COMMENT ON FUNCTION next_batch IS 'The number of the batch that this transaction is about to record; those who listen will be told of it.';

-- From where on a client can be told everything.
INSERT INTO batches (number, ticks, symbols, timestamps, alerts) VALUES (next_batch(), 0, '{}', '{}', '{}');

INSERT INTO rights (object, role, privileges) VALUES
    ('batches', 'cryptomonitor_app', 'SELECT, INSERT, DELETE'),
    ('FUNCTION next_batch()', 'cryptomonitor_app', 'EXECUTE');
SELECT grant_rights();
