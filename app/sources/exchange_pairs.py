"""Which pairs of an exchange the entries of a watch list mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import ConfigurationError
from app.model import USD, Instrument, parse_symbol, symbol_of
from app.watch import Composite, Entry, EveryPair, Top, Wanted, Without

_USUAL = (USD, "USDT", "USDC", "EUR", "BTC")  # the quotes that are suggested first
_SHOWN = 4


class Pairs:
    """The pairs of one market, from ccxt's object for it, once that has loaded them."""

    def __init__(self, market: str, default_market: str, ccxt: Any) -> None:
        self._market, self._default_market, self._ccxt = market, default_market, ccxt
        self.all: list[Instrument] = []
        """Those that can be symbols, sorted by symbol; ``provider_id`` is the exchange's own id of the pair."""
        self._by_pair: dict[tuple[str, str], Instrument] = {}
        self._by_id: dict[str, str] = {}

    def read(self) -> None:
        """Take over what ccxt knows now."""
        markets: Mapping[str, Mapping[str, Any]] = self._ccxt.markets or {}
        self._by_id = {str(market["id"]): name for name, market in markets.items()}
        found: dict[str, Instrument] = {}
        for market in markets.values():
            instrument = self._instrument(str(market["base"]), str(market["quote"]), str(market["id"]))
            if instrument is not None:
                found.setdefault(instrument.symbol, instrument)
        self.all = sorted(found.values(), key=lambda instrument: instrument.symbol)
        self._by_pair = {(instrument.base, instrument.quote): instrument for instrument in self.all}

    def ccxt_name(self, instrument: Instrument) -> str | None:
        """What ccxt calls the pair (``BTC/USD``), None where it is there no more."""
        return self._by_id.get(instrument.provider_id or "")

    def resolve(self, entries: Iterable[Entry]) -> tuple[list[Instrument], set[str]]:
        """The instruments, those named first, and the symbols of these.

        Raises ConfigurationError, naming the entry, for one that means no pair of this market.
        """
        found: dict[str, Instrument] = {}
        every, without = False, set()
        for entry in entries:
            if isinstance(entry, EveryPair):
                every = True
            elif isinstance(entry, Without):
                without.add(entry.symbol)
            else:
                instrument = self._named(entry)
                other = found.setdefault(instrument.symbol, instrument)
                if other != instrument:
                    raise ConfigurationError(
                        f"WATCH: {instrument.symbol!r}: stands for both {other.provider_id} and"
                        f" {instrument.provider_id}; write one of them under another symbol"
                    )
        named = set(found)
        if every:
            if not self.all:
                raise ConfigurationError(f"WATCH: '*@{self._market}': it has no spot pairs")
            for instrument in self.all:
                found.setdefault(instrument.symbol, instrument)
        return [instrument for symbol, instrument in found.items() if symbol not in without], named

    def _instrument(self, base: str, quote: str, id_: str) -> Instrument | None:
        """None where the names cannot stand in a symbol; ``BSC-USD`` would be BSC in USD."""
        symbol = symbol_of(base, quote, self._market, self._default_market)
        if parse_symbol(symbol, default_market=self._default_market) != (base, quote, self._market):
            return None
        return Instrument(base, quote, self._market, symbol, id_)

    def _named(self, entry: Wanted | Top | Composite) -> Instrument:
        if not isinstance(entry, Wanted):
            what = f"top:{entry.count}@{self._market}" if isinstance(entry, Top) else entry.symbol
            raise ConfigurationError(
                f"WATCH: {what!r}: an exchange ranks nothing by market cap; *@{self._market} watches all its pairs"
            )
        if entry.provider_id:
            if entry.provider_id not in self._by_id:
                raise ConfigurationError(
                    f"WATCH: {entry.symbol!r}: {self._market} has no active pair with the id {entry.provider_id}"
                    + _nearest(entry.provider_id, self._by_id)
                )
            return Instrument(entry.base, entry.quote, self._market, entry.symbol, entry.provider_id)
        common = tuple(map(self._common, (entry.base, entry.quote)))
        found = self._by_pair.get((entry.base, entry.quote)) or self._by_pair.get((common[0], common[1]))
        if found is None:
            raise ConfigurationError(self._unknown(entry, common[0]))
        return found

    def _common(self, asset: str) -> str:
        """BTC for XBT."""
        return str(self._ccxt.common_currency_code(asset))

    def _unknown(self, entry: Wanted, base: str) -> str:
        said = f"WATCH: {entry.symbol!r}: {self._market} has no active pair {entry.base}/{entry.quote}"
        quotes = {quote for other, quote in self._by_pair if other == base}
        if not quotes:
            return said + _nearest(entry.base, {other for other, _ in self._by_pair})
        usual = [quote for quote in _USUAL if quote in quotes]
        names = usual + sorted(quotes - set(usual))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        symbol = symbol_of(base, names[0], self._market, self._default_market)
        return f"{said}; it trades {base} in {', '.join(names[:_SHOWN])}{more}: write {symbol}"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), _SHOWN, 0.5)
    return f"; the nearest are {', '.join(near)}" if near else ""
