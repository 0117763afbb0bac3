"""What the coins of an aggregator have in common: tickers that several share, and a list of the largest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import ClassVar, NamedTuple, TypeGuard

from app import log
from app.errors import ConfigurationError
from app.model import Instrument, Known, parse_symbol, symbol_of
from app.watch import Entry, EveryPair, Top, Wanted

_CANDIDATES = 8  # of a shared ticker, as many as one wants to read

_log = log.get(__name__)


class Coin(NamedTuple):
    """A coin's provider id, its name, and its rank by market cap where that is known."""

    id: str
    name: str
    rank: int | None = None


class Listed(NamedTuple):
    """A coin as its provider lists it: its ticker in upper case, empty where it has none that could be one."""

    id: str
    ticker: str
    name: str


class Coins(ABC):
    """Finds the coins that the entries of a watch list mean.

    A symbol that was watched before means the coin that it meant then, whoever else has its ticker now.
    """

    provider: ClassVar[str]
    """As people write it."""
    quotes: ClassVar[AbstractSet[str]]
    """What it has prices in."""
    table: ClassVar[Mapping[str, Coin]]
    """The coins that need not be asked for, by ticker."""
    id_hint: ClassVar[str]
    """Where a person finds a coin's id, as an end of a sentence."""

    def __init__(self, default_market: str) -> None:
        self._default_market = default_market
        self._known: Mapping[str, Known] = {}
        self._called: dict[tuple[str | None, str], str] = {}  # by id and quote: the base under which it is watched
        self._said: set[str] = set()
        self._left_out: dict[Top, list[str]] = {}  # what was said last

    def know(self, known: Mapping[str, Known]) -> None:
        """These symbols are or were watched."""
        self._known = known
        watched = (known.instrument for known in known.values() if known.watched)
        self._called = {(its.provider_id, its.quote): its.base for its in watched}

    def is_settled(self, entry: Entry) -> bool:
        """Whether it can be said without a call what the entry means."""
        if not isinstance(entry, Wanted):
            return not isinstance(entry, Top)
        return bool(entry.provider_id) or entry.symbol in self._known or entry.base in self.table

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        """One instrument for each symbol: those named first, then those of ``top``, largest first.

        Raises ConfigurationError, naming the entry, for one that means no coin, several, or no possible quote.
        """
        entries = list(entries)
        for entry in entries:
            self._refuse_impossible(entry)
        named = [entry for entry in entries if isinstance(entry, Wanted)]
        found: dict[str, Instrument] = {}
        for entry, coin in zip(named, self.find([self._as_known(entry) for entry in named]), strict=True):
            name = coin.name or self._name_of(entry, coin)
            instrument = Instrument(entry.base, entry.quote, entry.market, entry.symbol, coin.id, name)
            other = found.setdefault(entry.symbol, instrument)
            if other != instrument:
                raise ConfigurationError(
                    f"WATCH: {entry.symbol!r}: stands for both {other.provider_id} and {instrument.provider_id};"
                    " write one of them under another symbol"
                )
        for entry in entries:
            if isinstance(entry, Top):
                self._add_largest(entry, found)
        return list(found.values())

    @abstractmethod
    def find(self, wanted: Sequence[Wanted]) -> list[Coin]:
        """The coin of each entry. Raises ConfigurationError, see ``none`` and ``several``."""

    @abstractmethod
    def largest(self, top: Top) -> list[tuple[str, Coin]]:
        """Tickers, in upper case, and coins, largest first."""

    @abstractmethod
    def listed(self) -> list[Listed]:
        """Every coin that the provider lists now; it is asked for that."""

    def listed_once(self) -> list[Listed]:
        """Those that it lists no more; nothing where it does not say."""
        return []

    @abstractmethod
    def forget(self) -> None:
        """Whose a ticker is, is to be asked anew: there are other coins by now."""

    def none(self, entry: Wanted) -> ConfigurationError:
        """No coin has this ticker."""
        return ConfigurationError(
            f"WATCH: {entry.symbol!r}: {self.provider} knows no coin with the ticker {entry.base}; a coin with another"
            f" ticker there is written with its id, {self.id_hint}: {entry.symbol}=<id>"
        )

    def several(self, entry: Wanted, candidates: Sequence[Coin]) -> ConfigurationError:
        """More than one has; the best known come first."""
        shown = [f"  {entry.symbol}={coin.id}  ({_described(coin)})" for coin in candidates[:_CANDIDATES]]
        more = len(candidates) - len(shown)
        return ConfigurationError(
            "\n".join(
                [
                    f"WATCH: {entry.symbol!r}: {len(candidates)} coins at {self.provider} have the ticker {entry.base}."
                    " Anybody may give a coin any ticker, so write which one you mean:",
                    *shown,
                    *([f"  and {more} more; a coin's id is {self.id_hint}"] if more else []),
                ]
            )
        )

    def _refuse_impossible(self, entry: Entry) -> None:
        if isinstance(entry, EveryPair):
            raise ConfigurationError(
                f"WATCH: '*@{entry.market}': an aggregator has no list of pairs; top:250 watches its 250 largest coins"
            )
        if isinstance(entry, Wanted | Top) and entry.quote not in self.quotes:
            name = entry.symbol if isinstance(entry, Wanted) else f"top:{entry.count}"
            raise ConfigurationError(
                f"WATCH: {name!r}: {self.provider} has no prices in {entry.quote} (it stands there, or in QUOTE);"
                f" possible are {', '.join(sorted(self.quotes))}"
            )

    def _as_known(self, entry: Wanted) -> Wanted:
        known = self._known.get(entry.symbol)
        if known is None or entry.provider_id not in (None, *known.former_ids):
            return entry
        return replace(entry, provider_id=known.instrument.provider_id)

    def _name_of(self, entry: Wanted, coin: Coin) -> str | None:
        known = self._known.get(entry.symbol)
        return known.instrument.name if known is not None and known.instrument.provider_id == coin.id else None

    def _base_of(self, ticker: str, coin: Coin, top: Top, found: Mapping[str, Instrument]) -> str:
        """The base by which a coin of the ranking goes: its ticker, unless it is watched under another one."""
        base = self._called.get((coin.id, top.quote), ticker)
        known = self._known.get(self._symbol(ticker, top))
        has_it = known is not None and known.instrument.provider_id == coin.id
        if base == ticker or has_it or self._symbol(base, top) in found:
            return ticker
        self._say(f"{self.provider} calls {coin.id} {ticker} now; its history goes on as {base}.", "ticker_changed")
        return base

    def _symbol(self, base: str, top: Top) -> str:
        return symbol_of(base, top.quote, top.market, self._default_market)

    def _say(self, sentence: str, action: str) -> None:
        """Once, however often the list is read."""
        if sentence not in self._said:
            self._said.add(sentence)
            _log.info(sentence, action=action)

    def _add_largest(self, top: Top, found: dict[str, Instrument]) -> None:
        there = {(instrument.provider_id, instrument.quote) for instrument in found.values()}
        left_out: list[str] = []
        for ticker, coin in self.largest(top):
            if (coin.id, top.quote) in there:
                continue
            base = self._base_of(ticker, coin, top, found)
            symbol = self._symbol(base, top)
            known = self._known.get(symbol)
            if not _is_asset(base):
                left_out.append(f"{coin.id}: {base} cannot be a symbol")
            elif symbol in found:
                left_out.append(f"{coin.id}: {symbol} is {found[symbol].provider_id}")
            elif known is not None and known.instrument.provider_id != coin.id:
                left_out.append(f"{coin.id}: {symbol} has been {known.instrument.provider_id}")
            else:
                found[symbol] = Instrument(base, top.quote, top.market, symbol, coin.id, coin.name or None)
        if left_out != self._left_out.get(top, []):
            self._left_out[top] = left_out
            _log.warning(
                f"{len(left_out)} of the {top.count} largest coins are left out: their ticker belongs to a larger one,"
                " to one that WATCH names, or to one that was watched before (an entry such as WIF=dogwifcoin says who"
                " is to have it), or it cannot be a symbol.",
                action="coins_left_out",
                coins=left_out,
            )


def is_clean(text: object) -> TypeGuard[str]:
    """A text without control characters and halves of surrogate pairs: neither a log nor a database takes those."""
    return isinstance(text, str) and bool(text) and text.isprintable()


def _is_asset(ticker: str) -> bool:
    """BSC-USD, for one, is a ticker, but as a symbol it would be BSC in USD."""
    parts = parse_symbol(ticker, default_market="")
    return parts is not None and parts[0] == ticker


def _described(coin: Coin) -> str:
    return coin.name if coin.rank is None else f"{coin.name}, rank {coin.rank}"
