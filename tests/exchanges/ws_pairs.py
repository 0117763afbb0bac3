"""ccxt's object for an exchange that knows a few pairs, as a source has it after its first call; nobody is asked.

Pairs are like ``BTC/USD``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.exchanges import binance as of_binance
from tests.exchanges import coinbase as of_coinbase
from tests.exchanges import kraken as of_kraken

ccxt = pytest.importorskip("ccxt", reason="what requirements-exchanges.txt lists is not installed")


def kraken(*pairs: str) -> Any:
    rest = ccxt.kraken()
    entries = [of_kraken.pair(base, quote) for base, quote in _split(pairs)]
    rest.publicGetAssetPairs = lambda _=None: {"result": {of_kraken.id_of(entry): entry for entry in entries}}
    return _loaded(rest)


def coinbase(*pairs: str) -> Any:
    rest = ccxt.coinbaseexchange()
    rest.publicGetProducts = lambda _=None: [of_coinbase.product(base, quote) for base, quote in _split(pairs)]
    return _loaded(rest)


def binance(*pairs: str) -> Any:
    rest = ccxt.binance({"options": {"fetchMarkets": {"types": ["spot"]}}})
    rest.publicGetExchangeInfo = lambda _=None: {
        "symbols": [of_binance.symbol(base, quote) for base, quote in _split(pairs)]
    }
    return _loaded(rest)


def _loaded(rest: Any) -> Any:
    rest.has["fetchCurrencies"] = False
    rest.publicGetAssets = lambda _=None: {"result": {}}
    rest.load_markets()
    return rest


def _split(pairs: Iterable[str]) -> list[list[str]]:
    return [pair.split("/") for pair in pairs]
