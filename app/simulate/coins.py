"""The coins of the synthetic market: CoinGecko's ids, names and symbols, and levels in the order of the real ones."""

from __future__ import annotations

from dataclasses import dataclass

from app.simulate.market import Coin


@dataclass(frozen=True, slots=True)
class Level:
    """What a coin's synthetic price and 24-hour volume (both USD) move around.

    ``swing``: how wide it swings, 1 = as ZEC; a stablecoin hardly at all.
    """

    coin: Coin
    price: float
    volume: float
    swing: float


LEVELS = (
    Level(Coin("bitcoin", "BTC", "Bitcoin", 20_030_493.0, 21_000_000.0), 67_000, 3.2e10, 0.7),
    Level(Coin("ethereum", "ETH", "Ethereum", 120_690_000.0), 2_150, 1.9e10, 0.85),
    Level(Coin("zcash", "ZEC", "Zcash", 16_480_000.0, 21_000_000.0), 410, 6.5e8, 1.0),
    Level(Coin("tether", "USDT", "Tether", 1.85e11), 1.0, 7.1e10, 0.004),
    Level(Coin("ripple", "XRP", "XRP", 6.08e10, 1e11), 1.42, 2.4e9, 0.9),
    Level(Coin("binancecoin", "BNB", "BNB", 136_360_000.0, 200_000_000.0), 640, 1.1e9, 0.7),
    Level(Coin("usd-coin", "USDC", "USDC", 7.6e10), 1.0, 1.2e10, 0.004),
    Level(Coin("solana", "SOL", "Solana", 571_000_000.0), 86, 3.4e9, 0.95),
    Level(Coin("tron", "TRX", "TRON", 9.48e10), 0.31, 6.0e8, 0.6),
    Level(Coin("dogecoin", "DOGE", "Dogecoin", 1.69e11), 0.095, 1.1e9, 1.1),
    Level(Coin("cardano", "ADA", "Cardano", 3.61e10, 4.5e10), 0.26, 5.2e8, 1.0),
    Level(Coin("bitcoin-cash", "BCH", "Bitcoin Cash", 20_010_000.0, 21_000_000.0), 455, 3.1e8, 0.9),
    Level(Coin("chainlink", "LINK", "Chainlink", 708_000_000.0, 1e9), 8.9, 3.9e8, 1.0),
    Level(Coin("monero", "XMR", "Monero", 18_446_744.07370955), 345, 1.2e8, 0.9),
    Level(Coin("stellar", "XLM", "Stellar", 3.29e10, 50_001_786_892.0), 0.162, 1.4e8, 1.0),
    Level(Coin("litecoin", "LTC", "Litecoin", 76_900_000.0, 84_000_000.0), 55, 3.0e8, 0.85),
    Level(Coin("avalanche-2", "AVAX", "Avalanche", 432_000_000.0, 720_000_000.0), 9.3, 2.6e8, 1.05),
    Level(Coin("hedera-hashgraph", "HBAR", "Hedera", 4.29e10, 5e10), 0.091, 1.1e8, 1.0),
    Level(Coin("sui", "SUI", "Sui", 3.9e9, 1e10), 0.94, 4.8e8, 1.1),
    Level(Coin("shiba-inu", "SHIB", "Shiba Inu", 589_248_000_000_000.0), 0.0000061, 1.2e8, 1.1),
    Level(Coin("polkadot", "DOT", "Polkadot", 1.66e9), 1.31, 1.5e8, 1.0),
    Level(Coin("uniswap", "UNI", "Uniswap", 633_000_000.0, 1e9), 3.4, 1.6e8, 1.1),
    Level(Coin("near", "NEAR", "NEAR Protocol", 1.28e9), 1.2, 1.7e8, 1.1),
    Level(Coin("aave", "AAVE", "Aave", 15_180_000.0, 16_000_000.0), 98, 2.7e8, 1.1),
    Level(Coin("pepe", "PEPE", "Pepe", 420_690_000_000_000.0, 420_690_000_000_000.0), 0.0000036, 3.6e8, 1.2),
)

BY_SYMBOL = {level.coin.symbol: level.coin for level in LEVELS}
