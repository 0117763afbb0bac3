"""``/coingecko/api/v3``: what CoinGecko's clients ask CoinGecko for, answered from our own history."""
