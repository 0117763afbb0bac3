"""``make bench``: all measurements, one after another."""

from bench import backtest, latency, rules, steady_state

if __name__ == "__main__":
    steady_state.main()
    rules.main()
    backtest.main()
    latency.main()
