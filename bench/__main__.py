"""``make bench``: all measurements, one after another."""

from bench import steady_state

if __name__ == "__main__":
    steady_state.main()
