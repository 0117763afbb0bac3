"""Exchanges that are listened to: ccxt itself against servers on this machine that send what theirs sent."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from app.clock import SystemClock
from app.config import load
from app.errors import ConfigurationError, CryptoMonitorError, ProviderUnavailable, RateLimited
from app.limits import CallBudget, Ledger
from app.model import Batch, Instrument, Tick
from app.sources.base import Limits, Source
from app.sources.exchange import build
from app.sources.exchange_ticker import read
from app.streams import listening
from app.streams.calls import DOWN_SECONDS, GRACE_SECONDS, SETTLE_SECONDS
from app.streams.fetcher import StreamFetcher
from app.watch import Entry, Wanted
from tests.conftest import Logged
from tests.exchanges import binance, coinbase, kraken, ws_binance, ws_coinbase, ws_kraken, ws_pairs
from tests.exchanges.asking import NoCalls
from tests.exchanges.site import Site
from tests.exchanges.ws_server import FakeStream, wait_until

RECORDED = Path(__file__).parents[2].parent / "shared/data/apis"


class AheadClock(SystemClock):
    """The machine's, which a test can put ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds


class PolledExchange(Source):
    """What is asked beside the stream: ``prices`` by symbol, or an error."""

    def __init__(self, name: str, ccxt: Any, symbols: dict[str, str], clock: SystemClock) -> None:
        self.name = name  # type: ignore[misc]
        self.ccxt, self._symbols, self._clock = ccxt, symbols, clock
        self.limits, self.budget = Limits(), CallBudget(name, 0, 0, clock, cast(Ledger, NoCalls()))
        self.prices = dict.fromkeys(symbols.values(), "1")
        self.error: CryptoMonitorError | None = None
        self.calls = 0

    def pair(self, instrument: Instrument) -> str:
        return next(pair for pair, symbol in self._symbols.items() if symbol == instrument.symbol)

    def resolve(self, entries: Iterable[Entry]) -> list[Instrument]:
        return [Instrument(e.base, e.quote, self.name, e.symbol) for e in entries if isinstance(e, Wanted)]

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        return [tuple(instruments)] if instruments else []

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        self.calls += 1
        if self.error is not None:
            raise self.error
        now = self._clock.now()
        ticks = [
            Tick(i.symbol, now, Decimal(self.prices[i.symbol]), None, None, now, self.name, "polled") for i in chunk
        ]
        return Batch(self.name, now, tuple(ticks))

    def ping(self) -> str:
        return "here"


class FakeIntake:
    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.fails: Exception | None = None

    def watch(self, market: str, instruments: Sequence[Instrument]) -> None:
        pass

    def accept(self, batch: Batch) -> None:
        if self.fails:
            raise self.fails
        self.batches.append(batch)


@dataclass(repr=False)
class Kind:
    """One exchange: its server, its frames, and how it calls two pairs."""

    name: str
    server: Callable[[], FakeStream]
    ccxt: Callable[..., Any]
    pairs: tuple[str, str]
    ids: tuple[str, str]
    frame: Callable[[str, str, datetime], object]

    @property
    def symbols(self) -> dict[str, str]:
        return {pair: f"{pair.replace('/', '-').removesuffix('-USD')}@{self.name}" for pair in self.pairs}


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


KRAKEN = Kind(
    "kraken",
    ws_kraken.KrakenStream,
    ws_pairs.kraken,
    ("BTC/USD", "ETH/USD"),
    ("BTC/USD", "ETH/USD"),
    lambda id_, price, time: ws_kraken.ticker(id_, price, _iso(time)),
)
COINBASE = Kind(
    "coinbase",
    ws_coinbase.CoinbaseStream,
    ws_pairs.coinbase,
    ("BTC/USD", "ETH/USD"),
    ("BTC-USD", "ETH-USD"),
    lambda id_, price, time: ws_coinbase.ticker(id_, price, _iso(time)),
)
BINANCE = Kind(
    "binance",
    ws_binance.BinanceStream,
    ws_pairs.binance,
    ("BTC/USDT", "ETH/USDT"),
    ("BTCUSDT", "ETHUSDT"),
    lambda id_, price, time: ws_binance.ticker(id_, price, round(time.timestamp() * 1000)),
)
KINDS = [KRAKEN, COINBASE, BINANCE]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


class Listening:
    """A StreamFetcher at work, in its thread, and everything around it."""

    def __init__(self, kind: Kind, server: FakeStream, address: str | None = None, source: Any = None) -> None:
        self.kind, self.server = kind, server
        listening.can_listen(kind.ccxt(*kind.pairs))  # loads ccxt, for which no wait below is meant
        self.clock, self.stop, self.intake = AheadClock(), threading.Event(), FakeIntake()
        self.source = source or PolledExchange(kind.name, kind.ccxt(*kind.pairs), kind.symbols, self.clock)
        self.entries: tuple[Entry, ...] = tuple(
            Wanted(*pair.split("/"), kind.name, symbol) for pair, symbol in kind.symbols.items()
        )
        self.fetcher = StreamFetcher(
            self.source,
            lambda: self.entries,
            self.intake,  # type: ignore[arg-type]
            self.clock,
            self.stop,
            0.05,
            address=address or server.url,
        )
        self.health = self.fetcher.health
        self.first, self.second = kind.symbols.values()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.fetcher.run()
        except Exception as error:  # noqa: BLE001  what it ends by is looked at
            self.error = error

    def ticks(self, symbol: str, origin: str = "live") -> list[Tick]:
        """Of a symbol; ``polled`` are those that a call brought."""
        return [t for batch in [*self.intake.batches] for t in batch.ticks if (t.symbol, t.origin) == (symbol, origin)]

    def send(self, *prices: str, which: int = 0) -> None:
        """Updates of a pair, one after another, with the time of now."""
        for price in prices:
            self.server.send(self.kind.frame(self.kind.ids[which], price, self.clock.now()))

    def sends(self, price: str, which: int = 0) -> Tick:
        """One update, when it has become a tick."""
        self.send(price, which=which)
        symbol = (self.first, self.second)[which]
        wait_until(lambda: bool(self.ticks(symbol)) and self.ticks(symbol)[-1].price == Decimal(price))
        return self.ticks(symbol)[-1]

    def is_subscribed(self, times: int = 1) -> bool:
        return len(self.server.subscribed) >= 2 * times

    def comes_back(self, times: int) -> None:
        """Until there is a new connection, without the wait before it."""
        wait_until(lambda: self.health.failures >= times - 1)
        self.clock.advance(2.0**times)
        wait_until(lambda: self.is_subscribed(times))

    def settle(self, times: int = 1) -> None:
        """Until both pairs are subscribed to, and what happened before is filled."""
        wait_until(lambda: self.is_subscribed(times) and self.health.state == "ok" and self.health.answers)
        calls = self.source.calls
        self.clock.advance(SETTLE_SECONDS)
        wait_until(lambda: self.source.calls > calls)


@contextmanager
def listen(kind: Kind, server: FakeStream, address: str | None = None, source: Any = None) -> Iterator[Listening]:
    """Listening to a server until the end of the block."""
    work = Listening(kind, server, address, source)
    work.thread.start()
    try:
        yield work
    finally:
        work.stop.set()
        work.thread.join(20)
        assert not work.thread.is_alive()


@each_kind
def test_a_tick_has_the_digits_and_the_time_that_were_sent(kind: Kind) -> None:
    with kind.server() as server, listen(kind, server) as work:
        work.settle()
        for price in ("62702.90", "77120.0", "58033", "0.000000012340"):
            sent_after = work.clock.now()
            tick = work.sends(price)
            assert str(tick.price) == str(Decimal(price))
            assert sent_after - timedelta(milliseconds=1) <= tick.timestamp <= tick.fetched_at
            assert (tick.source, tick.market_cap) == (kind.name, None)
        volumes = {
            "kraken": Decimal("1947.83637005") * Decimal("63392.2"),
            "coinbase": Decimal("6736.34239815") * tick.price,
            "binance": Decimal("26334.24227973"),
        }
        assert tick.volume_24h == volumes[kind.name]
        assert work.health.state == "ok"


def test_the_last_update_in_a_turn_is_the_tick_and_each_event_is_one_once() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        time = work.clock.now()
        frames = [KRAKEN.frame("BTC/USD", f"{n}.50", time + timedelta(microseconds=n)) for n in range(1, 2001)]
        server.send(*frames)
        wait_until(lambda: work.ticks(work.first) and work.ticks(work.first)[-1].price == Decimal("2000.50"))
        prices = [tick.price for tick in work.ticks(work.first)]
        assert prices == sorted(prices)
        assert len(prices) < 1000
        server.send(frames[-1])
        work.sends("3.0", which=1)
        assert [tick.price for tick in work.ticks(work.first)] == prices


@pytest.mark.parametrize(("kind", "how"), [(KRAKEN, "close"), (COINBASE, "cut"), (BINANCE, "close")])
def test_after_a_lost_connection_a_call_fills_what_was_missed(kind: Kind, how: str) -> None:
    with kind.server() as server, listen(kind, server) as work:
        work.settle()
        work.sends("100.5")
        work.source.prices[work.first] = "101.25"
        getattr(server, how)()
        work.comes_back(2)
        work.settle(2)
        wait_until(lambda: work.ticks(work.first, "polled")[-1].price == Decimal("101.25"))
        work.sends("102.5")
        assert work.health.failures == 1
        assert work.health.consecutive_failures == 1
        work.clock.advance(60)
        work.sends("103.5")
        wait_until(lambda: work.health.consecutive_failures == 0)


def test_a_server_that_falls_silent_is_left(logged: Logged) -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        for n in range(14):
            work.sends(f"{n + 1}.5")
        work.clock.advance(16)
        work.comes_back(2)
        assert "The stream of kraken is down: nothing has come for" in logged.getvalue()
        work.sends("99.5")


def test_a_stream_that_is_alive_and_dead_is_found_out_by_a_call(logged: Logged) -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        work.source.prices |= {work.first: "100.5", work.second: "7"}
        work.sends("100.5")
        work.sends("7", which=1)
        work.source.prices[work.second] = "8"
        calls = work.source.calls
        work.clock.advance(61)
        wait_until(lambda: work.source.calls > calls)
        work.clock.advance(GRACE_SECONDS + 1)
        work.comes_back(2)
        assert "is down: it is silent about ETH@kraken, whose price has changed" in logged.getvalue()


def test_a_pair_that_kraken_refuses_costs_itself_alone(logged: Logged) -> None:
    with KRAKEN.server() as server:
        server.unknown = {"ETH/USD"}
        with listen(KRAKEN, server) as work:
            wait_until(lambda: "stream_refused" in logged.getvalue())
            work.sends("100.5")
            server.close()
            wait_until(lambda: work.health.failures == 1)
            work.clock.advance(1)
            wait_until(lambda: len(server.subscribed) == 2)
            work.sends("101.5")
        assert logged.getvalue().count("action=stream_refused") == 1
        assert "kraken does not stream ETH@kraken" in logged.getvalue()
        assert "Currency pair not supported" in logged.getvalue()
        assert server.subscribed == ["BTC/USD", "BTC/USD"]


def test_a_product_that_coinbase_refuses_is_left_out_of_a_new_subscription(logged: Logged) -> None:
    with COINBASE.server() as server:
        server.unknown = {"BTC-USD"}
        with listen(COINBASE, server) as work:
            wait_until(lambda: server.subscribed == ["ETH-USD"])
            work.sends("7.5", which=1)
            calls = work.source.calls
            work.clock.advance(61)  # it is asked for instead
            wait_until(lambda: work.source.calls > calls)
        assert logged.getvalue().count("action=stream_refused") == 1
        assert "coinbase does not stream BTC@coinbase" in logged.getvalue()
        assert "stream_down" not in logged.getvalue()
        assert server.opened == 2


def test_without_a_server_it_is_asked_at_its_turns_and_then_listened_to_again(logged: Logged) -> None:
    with KRAKEN.server() as server:
        server.turns_away = True
        with listen(KRAKEN, server) as work:
            wait_until(lambda: work.health.failures > 0)
            assert work.source.calls == 1
            work.clock.advance(DOWN_SECONDS)
            wait_until(lambda: work.source.calls > 10)
            wait_until(lambda: "its stream is down" in work.health.reason)
            assert (work.health.state, work.health.answers) == ("ok", True)
            assert work.health.consecutive_failures > 0
            server.turns_away = False
            work.clock.advance(60)
            work.settle()
            work.sends("100.5")
            wait_until(lambda: work.health.reason == "")
            calls = work.source.calls
            work.sends("101.5")
            assert work.source.calls == calls
        assert logged.getvalue().count("action=stream_back") == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [(RateLimited("too many", 500.0), "limited"), (ProviderUnavailable("away"), "failing")],
    ids=["limited", "away"],
)
def test_calls_that_fail_hold_no_stream_up(error: CryptoMonitorError, state: str) -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        work.source.error = error
        server.close()
        work.comes_back(2)
        work.clock.advance(SETTLE_SECONDS)
        wait_until(lambda: work.health.state == state)
        work.sends("100.5")
        assert work.health.answers
        if state == "limited":
            calls = work.source.calls
            work.sends("101.5")
            assert work.source.calls == calls
            work.source.error = None
            work.clock.advance(500)
        else:
            work.source.error = None
        wait_until(lambda: work.health.state == "ok")


def test_a_frame_that_cannot_be_read_costs_itself_alone() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        server.send('{"channel":"ticker","data":[{"symbol":', '{"channel":"ticker","data":7}', "[]", "null", "pong")
        server.send(ws_kraken.ticker("DOGE/USD", "1.5"), ws_kraken.ticker("BTC/USD", "NaN"))
        work.sends("100.5")
        assert server.opened == 1


def test_a_quiet_market_that_is_listened_to_is_not_down() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        work.source.error = ProviderUnavailable("away")
        work.clock.advance(1000)
        assert work.fetcher.silent_seconds == 0
        server.turns_away = True
        server.close()
        wait_until(lambda: work.fetcher.silent_seconds > 0)
        assert work.fetcher.silent_seconds < 500
        work.clock.advance(500)
        assert work.fetcher.silent_seconds > 500
        wait_until(lambda: not work.health.answers)


def test_dead_and_zero_pairs_are_no_ticks() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        now = _iso(work.clock.now())
        server.send(ws_kraken.ticker("ETH/USD", "0.0", now), ws_kraken.ticker("ETH/USD", "5", now, "0.00000000"))
        work.sends("100.5")
        assert work.ticks(work.second) == []
        assert work.health.values_lost == 0


def test_other_pairs_are_listened_to_within_a_moment() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        both, work.entries = work.entries, work.entries[:1]
        wait_until(lambda: server.subscribed[2:] == ["BTC/USD"])
        work.entries = both
        wait_until(lambda: server.subscribed[3:] == ["BTC/USD", "ETH/USD"])
        work.sends("7.5", which=1)
        assert work.health.failures == 0
        work.entries = ()
        wait_until(lambda: work.health.symbols == 0)


@pytest.mark.parametrize("silent", [False, True], ids=["well", "hanging"])
def test_it_ends_at_once_and_leaves_no_thread(silent: bool) -> None:
    before = set(threading.enumerate())
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        server.falls_silent = silent
        work.stop.set()
        work.thread.join(10)
        assert not work.thread.is_alive()
        server.wait(lambda: not [t for t in threading.enumerate() if "kraken" in t.name])
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_what_came_last_is_handed_on_when_it_ends() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        first = work.sends("1.0")
        # From now on nothing is handed on until it ends.
        work.fetcher._tick_seconds = 3600
        work.sends("2.0")
        work.send("3.0")
        wait_until(lambda: work.fetcher._board.seen(work.first) > 0 and _waiting(work) == Decimal("3.0"))
        work.stop.set()
        work.thread.join(20)
    assert [tick.price for tick in work.ticks(work.first)][-2:] == [Decimal("2.0"), Decimal("3.0")]
    assert first in work.ticks(work.first)


def _waiting(work: Listening) -> Decimal | None:
    """The price that is on the board and not yet handed on."""
    update = work.fetcher._board._by_symbol[work.first].update
    return Decimal(update.ticker["last"]) if update else None


class AskedOneByOne(PolledExchange):
    """An exchange that takes a call for each pair."""

    asked: list[str]

    def chunks(self, instruments: Sequence[Instrument]) -> list[tuple[Instrument, ...]]:
        return [(instrument,) for instrument in instruments]

    def fetch(self, chunk: Sequence[Instrument]) -> Batch:
        self.asked = [*getattr(self, "asked", []), chunk[0].symbol]
        return super().fetch(chunk)


def test_of_many_pairs_only_the_silent_one_is_asked_for() -> None:
    clock = SystemClock()
    source = AskedOneByOne("coinbase", COINBASE.ccxt(*COINBASE.pairs), COINBASE.symbols, clock)
    with COINBASE.server() as server, listen(COINBASE, server, source=source) as work:
        work.settle()
        wait_until(lambda: len(source.asked) >= 4)  # all of them at the start, and when the connection is new
        assert set(source.asked) == {work.first, work.second}
        before = len(source.asked)
        for n in range(9):  # a minute without a word of the second one is too long
            work.sends(f"{n + 1}.5")
            work.clock.advance(8)
        wait_until(lambda: len(source.asked) > before)
        assert set(source.asked[before:]) == {work.second}
        work.sends("5000.5")


class StubbornProxy:
    """Wants to know who asks, whoever it is told."""

    def __enter__(self) -> StubbornProxy:
        self.told: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                asking = self._socket.accept()[0]
                with asking:
                    self.told.append(asking.recv(65536).decode())
                    asking.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("scheme", ["wss", "ws"])
def test_a_proxy_is_told_who_we_are_and_nobody_else_is(
    monkeypatch: pytest.MonkeyPatch, logged: Logged, scheme: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with StubbornProxy() as proxy, KRAKEN.server() as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://someuser:TOPSECRET@127.0.0.1:{proxy.port}")
        with listen(KRAKEN, server, f"{scheme}://exchange.invalid/v2") as work:
            wait_until(lambda: work.health.failures > 0 and "asked, as its stream is down" in work.health.reason)
            texts = [work.health.reason, work.fetcher._stream.reason]
            wait_until(lambda: "is down" in logged.getvalue())
            texts.append(logged.getvalue())
    known = f"Proxy-Authorization: Basic {b64encode(b'someuser:TOPSECRET').decode()}"
    assert known in proxy.told[0]
    assert all("407" in text for text in texts)
    assert not [text for text in texts for word in ("TOPSECRET", "someuser", known[-12:]) if word in text]


def test_what_the_intake_dies_of_ends_the_whole() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server) as work:
        work.settle()
        work.intake.fails = ConfigurationError("a fault that nobody foresaw here")
        work.send("100.5")
        wait_until(lambda: not work.thread.is_alive())
        assert work.error is work.intake.fails


def test_an_address_that_has_no_host_is_no_end() -> None:
    with KRAKEN.server() as server, listen(KRAKEN, server, "ws://nowhere.invalid/v2") as work:
        wait_until(lambda: work.health.failures > 0)
        assert work.health.state == "ok"


# With the source that it stands beside.


def _site(kind: Kind) -> AbstractContextManager[Site]:
    """What is asked: both pairs, at 2.5."""
    pairs = [pair.split("/") for pair in kind.pairs]
    now = datetime.now(UTC)
    if kind is KRAKEN:
        entries = {kraken.id_of(entry): entry for entry in (kraken.pair(*pair) for pair in pairs)}
        return kraken.kraken(entries, dict.fromkeys(entries, kraken.ticker("2.50000")))
    if kind is COINBASE:
        tickers = dict.fromkeys(kind.ids, coinbase.ticker("2.50", _iso(now)))
        return coinbase.coinbase([coinbase.product(*pair) for pair in pairs], tickers)
    closed = round(now.timestamp() * 1000)
    tickers = [binance.ticker(id_, "2.50000000", closed) for id_ in kind.ids]
    return binance.binance([binance.symbol(*pair) for pair in pairs], tickers)


@each_kind
def test_an_exchange_is_asked_and_listened_to_where_the_settings_say(kind: Kind) -> None:
    with _site(kind) as site, kind.server() as server:
        market = kind.name.upper()
        settings = load(None, addresses={f"{market}_BASE_URL": site.root, f"{market}_WS_URL": server.url})
        source = build(kind.name, settings, SystemClock(), cast(Ledger, NoCalls()))
        with closing(source), listen(kind, server, settings.ws_url(kind.name), source) as work:
            wait_until(lambda: [tick.price for tick in work.ticks(work.first)][:1] == [Decimal("2.5")])
            wait_until(work.is_subscribed)
            assert work.sends("62702.90").source == kind.name
            work.sends("7.50", which=1)
            asked = len(site.asked)
            server.cut()
            work.comes_back(2)
            work.clock.advance(SETTLE_SECONDS)
            wait_until(lambda: len(site.asked) > asked)
            work.sends("62703.10")
        assert (work.health.state, work.health.values_lost) == ("ok", 0)
        assert not {path.rpartition("/")[2] for path in site.paths()[asked:]} & {
            "AssetPairs",
            "products",
            "exchangeInfo",
        }


# Against what was recorded.


def _frames(kind: Kind) -> list[str]:
    folder = RECORDED / kind.name
    if not folder.is_dir():
        pytest.skip("the recorded frames are not here")
    if kind is KRAKEN:
        return [json.loads(line)["raw"] for line in (folder / "ws_v2_frames.jsonl").read_text().splitlines()]
    if kind is COINBASE:
        lines = (folder / "ws_ticker_matches_2021-04-17.raw.txt").read_text().splitlines()
        return [line.partition(": ")[2] for line in lines if line[:1].isdigit()]
    return (folder / "ws_handle_frames_gct.jsonl").read_text().splitlines()


class Collector:
    """A Listener."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, Any]] = []

    def opened(self) -> None:
        pass

    def updated(self, pair: str, ticker: Any) -> None:
        self.updates.append((pair, ticker))

    def refused(self, text: str, *, whole: bool) -> None:
        raise AssertionError(text)

    def broke(self, reason: str) -> None:
        raise AssertionError(reason)


def _published(kind: Kind, frame: dict[str, Any]) -> tuple[str, str] | None:
    """The price and the time of a recorded frame, if it is a ticker, read without ccxt."""
    if kind is KRAKEN and frame.get("channel") == "ticker":
        return frame["data"][0]["last"], frame["data"][0]["timestamp"]
    if kind is COINBASE and frame.get("type") == "ticker":
        return frame["price"], frame["time"]
    if kind is BINANCE and frame.get("data", {}).get("e") == "24hrTicker":
        time = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(frame["data"]["C"]))
        return frame["data"]["c"], time.isoformat()
    return None


@each_kind
def test_every_recorded_ticker_keeps_its_digits_and_its_time(kind: Kind) -> None:
    frames = _frames(kind)
    expected = [found for frame in frames if (found := _published(kind, json.loads(frame, parse_float=str)))]
    assert expected

    async def feed() -> list[tuple[str, Any]]:
        collector = Collector()
        pairs = ["BTC/USD", "BNB/BTC", "BTC/USDT", "BAND/GBP"]
        exchange = listening.listen(kind.ccxt(*pairs), "ws://127.0.0.1:1/stream/v2", collector)
        client = exchange.client("ws://127.0.0.1:1/stream/v2")
        for frame in frames:
            client.handle_text_or_binary_message(frame)
        await exchange.close()
        return collector.updates

    updates = asyncio.run(feed())
    assert len(updates) == len(expected)
    for (pair, ticker), (price, time) in zip(updates, expected, strict=True):
        at = datetime.fromisoformat(time)
        tick, lost = read(pair, ticker, at + timedelta(seconds=1), kind.name)
        assert tick is not None
        assert (str(tick.price), tick.timestamp, lost) == (price, at, [])
