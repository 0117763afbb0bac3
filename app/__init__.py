"""CryptoMonitor: watches crypto markets, keeps every tick, rolls up candles, alerts on what moves."""

__version__ = "0.1.0"
