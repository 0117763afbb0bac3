-- Alerts that somebody has taken note of: channels are told no more of the same.

CREATE TABLE acknowledged (
    episode         text PRIMARY KEY CHECK (episode <> '' AND episode !~ '[.[:space:][:cntrl:]]'),
    acknowledged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    acknowledged_by text NOT NULL DEFAULT '',
    note            text NOT NULL DEFAULT ''
);
-- No foreign key: a rollback takes alerts away, and may bring them back.
COMMENT ON TABLE acknowledged IS 'Episodes of alerts that somebody has taken note of: no channel hears of their repeats from then on.';
COMMENT ON COLUMN acknowledged.episode IS 'alerts.id of its first line, without .2, .3.';
COMMENT ON COLUMN acknowledged.acknowledged_at IS 'Since when.';
COMMENT ON COLUMN acknowledged.acknowledged_by IS 'Who did; empty where nobody said.';
COMMENT ON COLUMN acknowledged.note IS 'What for those who wonder; may be empty.';

INSERT INTO rights (object, role, privileges) VALUES
    ('acknowledged', 'cryptomonitor_app', 'SELECT, INSERT, UPDATE, DELETE');
SELECT grant_rights();
