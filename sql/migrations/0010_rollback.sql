-- Rollback: the market's history as it was known at a time; what is removed for it is kept, and can be put back.

CREATE TABLE rollbacks (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    to_time   timestamptz NOT NULL CHECK (isfinite(to_time)),
    done_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    undone_at timestamptz,
    ticks     bigint NOT NULL DEFAULT 0,
    alerts    bigint NOT NULL DEFAULT 0,
    gaps      bigint NOT NULL DEFAULT 0,
    held      bigint NOT NULL DEFAULT 0,
    CHECK (to_time < done_at),
    CHECK (done_at <= undone_at)
);
COMMENT ON TABLE rollbacks IS 'Each time that ticks, candles, alerts and gaps were set back to what was known at a time: python -m app rollback.';
COMMENT ON COLUMN rollbacks.id IS 'What the column rollback of rolled_back_ticks and its like names. The latest that is not undone is undone first.';
COMMENT ON COLUMN rollbacks.to_time IS 'What came later than this was removed.';
COMMENT ON COLUMN rollbacks.done_at IS 'When that was.';
COMMENT ON COLUMN rollbacks.undone_at IS 'When all of it was put back. NULL unless so.';
COMMENT ON COLUMN rollbacks.ticks IS 'How many ticks were removed.';
COMMENT ON COLUMN rollbacks.alerts IS 'How many alerts were removed: lines of alerts.txt, which itself is left.';
COMMENT ON COLUMN rollbacks.gaps IS 'How many holes were removed, or are open again.';
COMMENT ON COLUMN rollbacks.held IS 'How many rows of quarantine were removed, or are held again.';

-- Without foreign keys: they would be looked at row by row, for years of ticks.
CREATE TABLE rolled_back_ticks (
    LIKE ticker_data INCLUDING COMMENTS,
    rollback bigint NOT NULL,
    PRIMARY KEY (symbol, "timestamp", rollback)
);
CREATE TABLE rolled_back_alerts (
    LIKE alerts INCLUDING COMMENTS,
    rollback bigint NOT NULL,
    PRIMARY KEY (id, state, rollback)
);
CREATE TABLE rolled_back_outbox (
    LIKE outbox INCLUDING COMMENTS,
    rollback bigint NOT NULL,
    PRIMARY KEY (id, state, channel, rollback)
);
CREATE TABLE rolled_back_alert_states (
    LIKE alert_states INCLUDING COMMENTS,
    rollback bigint NOT NULL,
    PRIMARY KEY (rule, symbol, rollback)
);
CREATE TABLE rolled_back_gaps (
    LIKE gaps INCLUDING COMMENTS,
    rollback bigint NOT NULL,
    PRIMARY KEY (symbol, begins_at, rollback)
);
CREATE TABLE rolled_back_quarantine (
    LIKE quarantine INCLUDING COMMENTS,
    rollback bigint NOT NULL,
    PRIMARY KEY (symbol, "timestamp", rollback)
);
COMMENT ON TABLE rolled_back_ticks IS 'Rows that a rollback removed from ticker_data, until it is undone.';
COMMENT ON TABLE rolled_back_alerts IS 'Rows that a rollback removed from alerts, until it is undone.';
COMMENT ON TABLE rolled_back_outbox IS 'Rows that a rollback removed from outbox, with their alerts, until it is undone.';
COMMENT ON TABLE rolled_back_alert_states IS 'Rows of alert_states as they were before a rollback removed or changed them, until it is undone.';
COMMENT ON TABLE rolled_back_gaps IS 'Rows of gaps as they were before a rollback removed or opened them, until it is undone.';
COMMENT ON TABLE rolled_back_quarantine IS 'Rows of quarantine as they were before a rollback removed or changed them, until it is undone.';
COMMENT ON COLUMN rolled_back_ticks.rollback IS 'Which of rollbacks it was.';
COMMENT ON COLUMN rolled_back_alerts.rollback IS 'Which of rollbacks it was.';
COMMENT ON COLUMN rolled_back_outbox.rollback IS 'Which of rollbacks it was.';
COMMENT ON COLUMN rolled_back_alert_states.rollback IS 'Which of rollbacks it was.';
COMMENT ON COLUMN rolled_back_gaps.rollback IS 'Which of rollbacks it was.';
COMMENT ON COLUMN rolled_back_quarantine.rollback IS 'Which of rollbacks it was.';

-- What was known at a time --------------------------------------------------------------------------------------------

-- A tick is known from when it came, but not while it is held in quarantine, and until a rollback removes it.
CREATE FUNCTION known_ticks(of_symbol text, since timestamptz, until timestamptz, as_of timestamptz)
    RETURNS TABLE ("timestamp" timestamptz, price numeric, volume_24h numeric, market_cap numeric,
        fetched_at timestamptz, source text, origin text)
    LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    WITH held AS (  -- ever
        SELECT q."timestamp", q.price, q.volume_24h, q.market_cap, q.fetched_at, q.source, q.origin,
            q.state = 'held' AND q.median IS NULL AS was_stored, q.held_at, coalesce(q.settled_at, 'infinity') AS over_at,
            NULL::bigint AS rollback
        FROM public.quarantine AS q
        WHERE q.symbol = of_symbol AND q."timestamp" >= since AND q."timestamp" < until
        UNION ALL
        SELECT q."timestamp", q.price, q.volume_24h, q.market_cap, q.fetched_at, q.source, q.origin,
            q.state = 'held' AND q.median IS NULL, q.held_at, coalesce(q.settled_at, b.done_at), q.rollback
        FROM public.rolled_back_quarantine AS q
        JOIN public.rollbacks AS b ON b.id = q.rollback
        WHERE q.symbol = of_symbol AND q."timestamp" >= since AND q."timestamp" < until
    ), gone AS (  -- known then, and perhaps not any more; of two of one time the first
        SELECT DISTINCT ON (g."timestamp") g.*
        FROM (
            SELECT r."timestamp", r.price, r.volume_24h, r.market_cap, r.fetched_at, r.source, r.origin, r.rollback
            FROM public.rolled_back_ticks AS r
            JOIN public.rollbacks AS b ON b.id = r.rollback
            WHERE r.symbol = of_symbol AND r."timestamp" >= since AND r."timestamp" < until
              AND r.fetched_at <= as_of AND b.done_at > as_of
              AND NOT EXISTS (
                  SELECT FROM held AS h
                  WHERE h."timestamp" = r."timestamp" AND h.price = r.price AND h.held_at <= as_of AND h.over_at > as_of
                    AND h.rollback <= r.rollback)
            UNION ALL
            SELECT h."timestamp", h.price, h.volume_24h, h.market_cap, h.fetched_at, h.source, h.origin, 0
            FROM held AS h
            WHERE h.was_stored AND h.fetched_at <= as_of AND h.held_at > as_of
        ) AS g
        ORDER BY g."timestamp", g.rollback
    )
    SELECT t."timestamp", t.price, t.volume_24h, t.market_cap, t.fetched_at, t.source, t.origin
    FROM public.ticker_data AS t
    WHERE t.symbol = of_symbol AND t."timestamp" >= since AND t."timestamp" < until AND t.fetched_at <= as_of
      AND NOT EXISTS (
          SELECT FROM held AS h
          WHERE h."timestamp" = t."timestamp" AND h.price = t.price AND h.held_at <= as_of AND h.over_at > as_of)
      AND NOT EXISTS (SELECT FROM gone AS g WHERE g."timestamp" = t."timestamp")
    UNION ALL
    SELECT g."timestamp", g.price, g.volume_24h, g.market_cap, g.fetched_at, g.source, g.origin FROM gone AS g
$$;
COMMENT ON FUNCTION known_ticks IS 'The ticks of a symbol from since to before until, as far as they were known at as_of: with those that were held or rolled back later, without those that came or were released later.';

-- The rollback itself is for the owner: nobody else can take ticks away. The daemon's role reads what known_ticks() does.
INSERT INTO rights (object, role, privileges) VALUES
    ('rollbacks', 'cryptomonitor_app', 'SELECT'),
    ('rolled_back_ticks', 'cryptomonitor_app', 'SELECT'),
    ('rolled_back_quarantine', 'cryptomonitor_app', 'SELECT');
SELECT grant_rights();
