"""No data: rules that look at age, for a symbol and for a whole source."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from app.alerts.checker import Checker
from app.alerts.rules import RuleSet
from app.alerts.states import Outcome
from app.model import Batch, State, Tick
from tests.rules import rule

T0 = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SILENT = rule("age > 2m", "no-data")


class Market:
    """A checker, and a clock for it."""

    def __init__(self, rules: RuleSet = SILENT, symbols: Collection[str] = ("BTC", "ETH")) -> None:
        self.rules, self.now = rules, T0
        self.checker = Checker(rules, market="coingecko")
        self.checker.watch(symbols)
        self.lines: list[str] = []
        self.tell()

    def tell(self, *down: str) -> None:
        """The clock, and the markets that do not answer."""
        self.hear(self.checker.check_ages(self.now, down))

    def hear(self, outcome: Outcome) -> None:
        for alert in outcome.alerts:
            second = (alert.timestamp - T0).total_seconds()
            self.lines.append(f"{second:g} {alert.state} {alert.symbol} {dict(alert.terms).get('age', '')}".strip())

    def tick(self, *symbols: str, price: str = "100", old: float = 0) -> None:
        time = self.now - timedelta(seconds=old)
        ticks = tuple(Tick(s, time, Decimal(price), None, None, self.now, "x") for s in symbols)
        self.hear(self.checker.check(Batch("x", self.now, ticks)))

    def wait(self, seconds: int, *ticking: str, down: Collection[str] = ()) -> None:
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            self.tell(*down)
            if ticking:
                self.tick(*ticking)


def test_a_symbol_that_is_silent_for_too_long_fires_and_its_next_tick_resolves_it() -> None:
    market = Market()
    market.tick("BTC", "ETH")
    market.wait(125, "ETH")
    market.tick("BTC")
    market.wait(2, "ETH")
    assert market.lines == ["121 FIRING BTC 121", "126 RESOLVED BTC 1"]


def test_age_is_that_of_the_arrival_however_old_the_tick_is() -> None:
    market = Market()
    market.tick("BTC", "ETH", old=300)
    market.wait(119)
    assert market.lines == []


def test_ticks_that_are_late_or_known_are_no_news() -> None:
    market = Market()
    market.tick("BTC", "ETH")
    for _ in range(121):
        market.wait(1, "ETH")
        market.hear(market.checker.check(Batch("x", market.now, (tick_at(T0),))))
        market.hear(market.checker.check(Batch("x", market.now, (tick_at(T0 - timedelta(seconds=5)),))))
    assert market.lines == ["121 FIRING BTC 121"]


def tick_at(time: datetime) -> Tick:
    return Tick("BTC", time, Decimal(1), None, None, time, "x")


def test_a_whole_source_that_is_silent_is_one_alert() -> None:
    market = Market(symbols=("BTC", "ETH", "BTC@kraken", "ETH@kraken"))
    market.tick("BTC", "ETH", "BTC@kraken", "ETH@kraken")
    market.wait(200, "BTC@kraken", "ETH@kraken")
    market.tick("BTC", "ETH")
    market.wait(10, "BTC", "ETH", "BTC@kraken", "ETH@kraken")
    assert market.lines == ["121 FIRING *@coingecko 121", "201 RESOLVED *@coingecko 1"]


def test_while_a_source_does_not_answer_its_symbols_say_nothing_by_themselves() -> None:
    market = Market()
    market.tick("BTC", "ETH")
    market.wait(100, "ETH")
    market.wait(150, down=["coingecko"])  # BTC would have fired at 121, ETH at 221
    assert market.lines == ["221 FIRING *@coingecko 121"]
    market.tick("BTC")
    market.wait(130, "BTC")
    # ETH has its two minutes again, from when the source is back; what is said is how old it really is.
    assert market.lines[1:] == ["251 RESOLVED *@coingecko 1", "372 FIRING ETH 272"]


def test_a_source_that_comes_back_symbol_by_symbol_makes_no_flood() -> None:
    symbols = [f"C{n}" for n in range(100)]
    market = Market(symbols=symbols)
    market.tick(*symbols)
    market.wait(150)
    for symbol in symbols:
        market.tick(symbol)
        market.wait(1, symbols[0])
    assert market.lines == ["121 FIRING *@coingecko 121", "151 RESOLVED *@coingecko 1"]


def test_symbols_of_a_rule_that_are_silent_fire_while_others_of_their_market_tick() -> None:
    market = Market(rule("age > 2m", "no-data", symbols=["BTC", "ETH"]), symbols=("BTC", "ETH", "SOL"))
    market.tick("BTC", "ETH", "SOL")
    market.wait(130, "SOL")
    assert market.lines == ["121 FIRING BTC 121", "121 FIRING ETH 121"]


def test_a_source_is_judged_by_its_symbols_where_a_rule_looks_at_more_than_age() -> None:
    market = Market(rule("age > 2m and price > 50", "no-data"))
    market.tick("BTC", "ETH")
    market.wait(130, down=["coingecko"])
    assert market.lines == ["121 FIRING *@coingecko 121"]


def test_a_source_that_never_answered_is_silent_since_it_is_asked() -> None:
    market = Market()
    market.checker = Checker(SILENT, market="coingecko", markets=["coingecko"])
    market.wait(130, down=["coingecko"])
    assert market.lines == ["122 FIRING *@coingecko 121"]


def test_other_rules_know_when_ticks_arrived() -> None:
    market = Market()
    market.tick("BTC", "ETH")
    market.wait(60, "ETH")
    before, market.checker = market.checker, Checker(SILENT, market="coingecko")
    market.checker.watch(["BTC", "ETH"])
    assert market.checker.take_over(before, market.now) == Outcome()
    market.wait(70, "ETH")
    assert market.lines == ["121 FIRING BTC 121"]


def test_a_clock_that_is_set_back_changes_neither_what_is_pending_nor_the_order_of_states() -> None:
    market = Market(rule("age > 10s", "no-data", hold="30s"), symbols=["BTC"])
    market.tick("BTC")
    market.wait(20)
    [before] = market.checker.episodes().values()
    market.now -= timedelta(hours=1)
    market.checker.clock_was_set(-timedelta(hours=1))
    market.wait(30)
    assert [line.split()[1:] for line in market.lines] == [["FIRING", "BTC", "41"]]
    [after] = market.checker.episodes().values()
    assert after.as_of > before.as_of


def test_a_source_that_watches_one_symbol_and_answers_is_not_down_with_it() -> None:
    market = Market(symbols=("BTC",))
    market.tick("BTC")
    market.wait(121)
    assert market.lines == ["121 FIRING BTC 121"]


def test_what_never_ticks_is_silent_since_it_is_watched() -> None:
    market = Market()
    market.wait(121, "ETH")
    assert market.lines == ["121 FIRING BTC 121"]


def test_a_restart_neither_resolves_what_is_still_silent_nor_fires_at_once() -> None:
    market = Market()
    market.tick("BTC", "ETH")
    market.wait(130, "ETH")
    assert market.lines == ["121 FIRING BTC 121"]
    again = Market()
    again.checker = Checker(SILENT, market="coingecko")
    assert again.checker.resume(market.checker.episodes(), T0) == Outcome()
    again.checker.watch(["BTC", "ETH"])
    again.checker.warm(
        [
            ("BTC", T0, Decimal(1), None, None, T0, "coingecko"),
            ("ETH", T0, Decimal(1), None, None, T0 + timedelta(seconds=130), "coingecko"),
        ]
    )
    again.now = T0 + timedelta(seconds=400)
    again.wait(60)
    assert again.lines == []
    again.tick("BTC", "ETH")
    again.wait(1)
    assert again.lines == ["461 RESOLVED BTC 1"]


def test_a_clock_that_is_set_makes_nothing_old() -> None:
    market = Market()
    market.tick("BTC", "ETH")
    market.wait(60, "ETH")
    market.now += timedelta(hours=5)
    market.checker.clock_was_set(timedelta(hours=5))
    market.wait(60, "ETH")
    assert market.lines == []
    market.wait(1, "ETH")
    assert market.lines == [f"{5 * 3600 + 121} FIRING BTC 121"]


def test_age_may_stand_beside_what_the_last_tick_said() -> None:
    market = Market(rule("age > 30s and price > 50", "stuck-high"), symbols=("BTC", "ETH"))
    market.tick("BTC", price="100")
    market.tick("ETH", price="10")
    market.wait(31)
    assert market.lines == ["31 FIRING BTC 31"]


def test_only_selected_symbols_count() -> None:
    market = Market(rule("age > 2m", "no-data", symbols=["BTC"]))
    market.tick("BTC", "ETH")
    market.wait(121, "BTC")
    assert market.lines == []


def test_the_line_has_the_published_digits_of_the_last_tick() -> None:
    market = Market(rule("age > 30s and price > 50", "stuck-high"))
    market.tick("BTC", price="100.50")
    market.now += timedelta(seconds=31)
    [alert] = market.checker.check_ages(market.now).alerts
    assert alert.terms == (("age", "31"), ("price", "100.50"))
    assert alert.state is State.FIRING


def watch_only(market: Market, *symbols: str, of: str = "coingecko") -> None:
    market.hear(market.checker.watch_only(of, symbols, market.now))
    market.checker.let_go()


def test_what_is_watched_no_more_is_not_missed() -> None:
    market = Market(symbols=("BTC", "ETH", "SOL"))
    watch_only(market, "BTC", "ETH", "SOL")
    market.tick("BTC", "ETH", "SOL")
    market.wait(60, "ETH", "SOL")
    watch_only(market, "ETH", "SOL")
    market.wait(300, "ETH", "SOL")
    assert market.lines == []


def test_a_source_is_silent_when_all_that_is_still_watched_of_it_is() -> None:
    market = Market(symbols=("BTC", "ETH", "SOL"))
    watch_only(market, "BTC", "ETH", "SOL")
    market.tick("BTC", "ETH", "SOL")
    market.hear(market.checker.watch_only("coingecko", ["ETH", "SOL"], market.now))
    market.wait(130, "BTC")  # that its last reply was on the way is no sign of life of what is watched
    assert market.lines == ["121 FIRING *@coingecko 121"]


def test_a_market_of_which_nothing_is_watched_any_more_is_not_missed_either() -> None:
    market = Market()
    market.checker = Checker(SILENT, market="coingecko", markets=["coingecko", "kraken"])
    watch_only(market, "BTC", "ETH")
    watch_only(market, "BTC@kraken", "ETH@kraken", of="kraken")
    market.tick("BTC", "ETH", "BTC@kraken", "ETH@kraken")
    market.wait(10, "BTC", "ETH")
    watch_only(market, of="kraken")
    market.wait(130, "BTC", "ETH", down=["kraken"])
    assert market.lines == []


def test_an_alert_of_a_market_ends_when_nothing_of_it_is_watched_any_more() -> None:
    market = Market(symbols=("BTC@kraken", "ETH@kraken"))
    watch_only(market, "BTC@kraken", "ETH@kraken", of="kraken")
    market.wait(130)
    watch_only(market, of="kraken")
    market.wait(10, down=["kraken"])
    assert market.lines == ["121 FIRING *@kraken 121", "130 RESOLVED *@kraken"]


def test_what_is_watched_again_begins_as_if_it_were_new() -> None:
    for forgotten in (False, True):
        market = Market()
        watch_only(market, "BTC", "ETH")
        market.tick("BTC", "ETH")
        market.hear(market.checker.watch_only("coingecko", ["ETH"], market.now))
        if forgotten:
            market.checker.let_go()
        market.wait(300, "ETH")
        market.hear(market.checker.watch_only("coingecko", ["BTC", "ETH"], market.now))
        market.wait(121, "ETH")
        assert market.lines == []
        market.wait(1, "ETH")
        assert market.lines == [f"422 FIRING BTC {121 if forgotten else 422}"]


def test_other_rules_miss_only_what_is_watched() -> None:
    for rules in (SILENT, rule("age > 2m and avg(price, 5m) > 0", "no-data")):
        market = Market()
        watch_only(market, "BTC", "ETH", "SOL")
        market.tick("BTC", "ETH", "SOL")
        market.hear(market.checker.watch_only("coingecko", ["ETH", "SOL"], market.now))
        shared = rules is SILENT
        before, market.checker = (
            market.checker,
            Checker(rules, market="coingecko", before=market.checker if shared else None),
        )
        market.checker.watch(["BTC", "ETH", "SOL"])
        assert market.checker.take_over(before, market.now) == Outcome(episodes={}, alerts=[]), (
            "nothing stood for anything"
        )
        market.wait(300, "ETH", "SOL")
        assert market.lines == []


def test_a_row_that_another_symbol_gets_knows_nothing_of_the_one_before() -> None:
    market = Market(rule("age > 30s and price > 50", "stuck-high"))
    watch_only(market, "BTC", "ETH")
    market.tick("BTC", "ETH", price="100")
    watch_only(market, "ETH")
    watch_only(market, "ETH", "SOL")
    market.wait(40, "ETH")
    assert market.lines == []
    market.tick("SOL", price="60")
    market.wait(31, "ETH")
    assert market.lines == ["71 FIRING SOL 31"]
