-- One leader among the daemons of a database; states that an older write cannot bring back; calls counted a spender.

-- Leader ------------------------------------------------------------------------------------------------------------

CREATE TABLE leader (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch      bigint NOT NULL,
    holder     text NOT NULL,
    renewed_at timestamptz NOT NULL
);
INSERT INTO leader (epoch, holder, renewed_at) VALUES (0, 'nobody', '-infinity');
COMMENT ON TABLE leader IS 'Which daemon polls and writes: one row, a lease.';
COMMENT ON COLUMN leader.one IS 'Always true: there is one row.';
COMMENT ON COLUMN leader.epoch IS 'Grows with every change of leader; a transaction of an older epoch is refused.';
COMMENT ON COLUMN leader.holder IS 'The DATA_DIR that leads, by host and file.';
COMMENT ON COLUMN leader.renewed_at IS 'When the leader last said that it is there, by this server''s clock; -infinity where it has left.';

-- Alert states ------------------------------------------------------------------------------------------------------

-- A state may be written late (out of a spool) or twice: then a newer one has to stand, also the newer "inactive".
ALTER TABLE alert_states
    ADD COLUMN as_of timestamptz,
    DROP CONSTRAINT alert_states_state_check,
    ADD CONSTRAINT alert_states_state_check CHECK (state IN ('INACTIVE', 'PENDING', 'FIRING'));
UPDATE alert_states SET as_of = coalesce(last_line_at, since);
ALTER TABLE alert_states ALTER COLUMN as_of SET NOT NULL;
COMMENT ON TABLE alert_states IS 'Where a rule stands for a symbol; no row: it never was true. Written with the ticks that caused it.';
COMMENT ON COLUMN alert_states.state IS 'INACTIVE, PENDING (true, but not yet for long enough) or FIRING.';
COMMENT ON COLUMN alert_states.id IS 'The id of the episode, of the last one while inactive.';
COMMENT ON COLUMN alert_states.as_of IS 'The time of the tick that brought it here. An older one never replaces a newer.';

-- Calls -------------------------------------------------------------------------------------------------------------

ALTER TABLE provider_calls
    ADD COLUMN spender text NOT NULL DEFAULT '',
    DROP CONSTRAINT provider_calls_pkey,
    ADD PRIMARY KEY (source, month, spender);
ALTER TABLE provider_calls ALTER COLUMN spender DROP DEFAULT;
COMMENT ON TABLE provider_calls IS 'Calls spent against a provider''s monthly limit, by each who shares it, counted before they are made.';
COMMENT ON COLUMN provider_calls.spender IS 'The DATA_DIR that made them; empty for calls counted before there were several.';
COMMENT ON COLUMN provider_calls.calls IS 'Calls it has spent in the month so far.';
