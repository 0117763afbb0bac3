"""``make bench``: all measurements, one after another."""

from bench import api, backtest, latency, rules, steady_state, stream, transfers

if __name__ == "__main__":
    steady_state.main()
    rules.main()
    backtest.main()
    latency.main()
    transfers.main()
    stream.main()
    api.main()
