"""What CoinMarketCap calls things: the ids of large coins, which never change, and the currencies it has prices in."""

from __future__ import annotations

from app.sources.coins import Coin

_FIAT = """
    USD AED ALL AMD ARS AUD AZN BAM BDT BGN BHD BMD BOB BRL BYN CAD CHF CLP CNY COP CRC CUP CZK DKK DOP DZD EGP EUR
    GBP GEL GHS GTQ HKD HNL HRK HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KRW KWD KZT LBP LKR MAD MDL MKD
    MMK MNT MUR MXN MYR NAD NGN NIO NOK NPR NZD OMR PAB PEN PHP PKR PLN QAR RON RSD RUB SAR SEK SGD SSP THB TND TRY
    TTD TWD UAH UGX UYU UZS VES VND XAG XAU XPD XPT ZAR
"""
"""What its documentation names, with the precious metals."""

# Found in recorded replies of 2019 and 2020, or alike in two public tables made apart from each other. Coins that have
# had another ticker since, such as MATIC and EOS, are left out: CoinMarketCap is asked for those.
_COINS = """
    1 BTC Bitcoin; 2 LTC Litecoin; 52 XRP XRP; 74 DOGE Dogecoin; 131 DASH Dash; 328 XMR Monero; 512 XLM Stellar;
    825 USDT Tether; 1027 ETH Ethereum; 1168 DCR Decred; 1321 ETC Ethereum Classic; 1437 ZEC Zcash;
    1697 BAT Basic Attention Token; 1831 BCH Bitcoin Cash; 1839 BNB BNB; 1958 TRX TRON; 1975 LINK Chainlink;
    2010 ADA Cardano; 2280 FIL Filecoin; 2396 WETH WETH; 2577 RVN Ravencoin; 2586 SNX Synthetix; 3077 VET VeChain;
    3408 USDC USDC; 3635 CRO Cronos; 3717 WBTC Wrapped Bitcoin; 3794 ATOM Cosmos; 4030 ALGO Algorand;
    4157 RUNE THORChain; 4642 HBAR Hedera; 4846 KAVA Kava; 4847 STX Stacks; 4943 DAI Dai; 5426 SOL Solana;
    5805 AVAX Avalanche; 5994 SHIB Shiba Inu; 6210 SAND The Sandbox; 6535 NEAR NEAR Protocol; 6538 CRV Curve DAO Token;
    6636 DOT Polkadot; 6719 GRT The Graph; 7083 UNI Uniswap; 7226 INJ Injective; 7278 AAVE Aave; 8000 LDO Lido DAO;
    8916 ICP Internet Computer; 10804 FLOKI FLOKI; 11840 OP Optimism; 11841 ARB Arbitrum; 20947 SUI Sui;
    21794 APT Aptos; 22861 TIA Celestia; 23095 BONK Bonk; 23149 SEI Sei; 24478 PEPE Pepe; 28752 WIF dogwifhat;
    29210 JUP Jupiter
"""

COINS: dict[str, Coin] = {
    ticker: Coin(id_, name) for id_, ticker, name in (each.strip().split(" ", 2) for each in _COINS.split(";"))
}
"""Ticker to coin."""

QUOTES = frozenset(_FIAT.split()) | COINS.keys()
"""The quotes: currencies, and the coins above. A text that is both is the currency, at CoinMarketCap as well."""
