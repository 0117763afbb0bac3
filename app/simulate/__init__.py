"""The replay server of ``python -m app simulate``: answers like CoinGecko, from a recording or a synthetic market."""
