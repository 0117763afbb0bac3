"""CoinMarketCap: what is asked, what it costs, and what its refusals mean."""

from __future__ import annotations

import pytest

from app.config import load
from app.errors import ConfigurationError, CryptoMonitorError, ProviderRefused, ProviderUnavailable, RateLimited
from app.limits import PlanFacts
from app.sources import coinmarketcap
from app.sources.base import Limits
from tests.clock import FakeClock
from tests.provider import reply
from tests.unit.sources.coinmarketcap import KEY, Notes, asking, body, coin, coins, failure, instrument, quote

BTC, ETH, ZEC = instrument("BTC", 1), instrument("ETH", 1027), instrument("ZEC", 1437)
BTC_EUR = instrument("BTC", 1, "EUR")
LIMITED = {"coinmarketcap_credits_per_month": 10_000, "coinmarketcap_calls_per_minute": 30}
ONE_QUOTE = failure(400, 400, "Your plan is limited to 1 convert options")


def own(**settings: object) -> coinmarketcap.CoinMarketCap:
    return coinmarketcap.build(load(None, **settings), FakeClock(), Notes())


# What is asked.


def test_one_call_asks_for_all_coins_in_all_their_quotes() -> None:
    two = coin(1, quote(2), quote(3, "EUR"))
    with asking(coins(two, coin(1027, quote(4), quote(5, "EUR"))), coinmarketcap_api_key=KEY) as it:
        batch = it.source.fetch((BTC, ETH, BTC_EUR))
        (asked,) = it.provider.asked
    assert asked.path == "/v3/cryptocurrency/quotes/latest"
    assert asked.query == {"id": "1,1027", "convert": "USD,EUR", "skip_invalid": "true"}
    assert asked.headers["x-cmc_pro_api_key"] == KEY
    assert KEY not in asked.target
    assert {tick.symbol: tick.price for tick in batch.ticks} == {"BTC": 2, "ETH": 4, "BTC-EUR": 3}


def test_without_a_key_none_is_sent_and_the_own_host_is_asked_under_its_public_path() -> None:
    with asking(coins(coin(1))) as it:
        it.source.fetch([BTC])
        (asked,) = it.provider.asked
    assert not [name for name in asked.headers if "key" in name]
    assert own()._http.root == "https://pro-api.coinmarketcap.com/public-api"
    assert own(coinmarketcap_api_key=KEY)._http.root == "https://pro-api.coinmarketcap.com"
    explicit = own(coinmarketcap_base_url="https://pro-api.coinmarketcap.com/public-api/")
    assert explicit._http.root == "https://pro-api.coinmarketcap.com/public-api"


def test_limits_are_those_of_the_own_host_unless_set() -> None:
    assert own(coinmarketcap_api_key=KEY).limits == Limits(60, 30, 10_000)
    assert own().limits == Limits(60, 5, 0)
    sandbox = "https://sandbox-api.coinmarketcap.com"
    assert own(coinmarketcap_api_key=KEY, coinmarketcap_base_url=sandbox).limits == Limits(0, 0, 0)
    mine = own(coinmarketcap_api_key=KEY, coinmarketcap_calls_per_minute=60, coinmarketcap_credits_per_month=0)
    assert mine.limits == Limits(60, 60, 0)


@pytest.mark.parametrize("key", ["ключ", "a\x7fb"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        own(coinmarketcap_api_key=key)
    assert key not in str(caught.value)


def test_chunks_hold_a_hundred_coins_with_all_their_quotes_and_leave_nothing_out() -> None:
    watched = [instrument(f"C{n}", 1000 + n) for n in range(250)]
    watched += [instrument(f"C{n}", 1000 + n, "EUR") for n in range(0, 250, 50)]
    with asking(coins()) as it:
        chunks = it.source.chunks(watched)
        for chunk in chunks:
            it.source.fetch(chunk)
        assert all(len(it.provider.root + asked.target) < 4000 for asked in it.provider.asked)
        assert [len(asked["id"].split(",")) for asked in it.asked] == [100, 100, 50]
        assert [asked["convert"] for asked in it.asked] == ["USD", "USD", "USD,EUR"]
    assert sorted(i.symbol for chunk in chunks for i in chunk) == sorted(i.symbol for i in watched)


def test_many_quotes_make_a_chunk_smaller_so_that_its_reply_can_be_read() -> None:
    quotes = [f"Q{n}" for n in range(40)]
    watched = [instrument(f"C{n}", n + 1, currency) for n in range(60) for currency in quotes]
    chunks = own().chunks(watched)
    assert [len(chunk) for chunk in chunks] == [2000, 400]
    assert own().chunks([]) == []


# What it costs.


def test_a_call_costs_one_credit_a_hundred_coins_and_one_a_further_quote() -> None:
    hundred = [instrument(f"C{n}", n + 1) for n in range(100)]
    with asking(coins(), coins(credits=3), coins(), coins(credits=2), **LIMITED) as it:
        it.source.fetch([BTC])
        it.source.fetch([BTC, BTC_EUR, instrument("BTC", 1, "GBP")])
        it.source.fetch(hundred)
        it.source.fetch([*hundred, instrument("C100", 101)])
    assert it.notes.spent == [1, 3, 1, 2]


def test_credits_that_a_reply_says_it_cost_beyond_that_are_spent_too() -> None:
    with asking(coins(coin(1), credits=5), coins(coin(1)), **LIMITED) as it:
        it.source.fetch([BTC])
        it.source.fetch([BTC])
    assert sum(it.notes.spent) == 5 + 1


def test_credits_that_a_reply_says_it_did_not_cost_are_given_back() -> None:
    says_nothing = reply({"status": {"error_code": 0}, "data": [coin(1)]})
    with asking(coins(coin(1), credits=1), says_nothing, **LIMITED) as it:
        it.source.fetch([BTC, BTC_EUR, instrument("BTC", 1, "GBP")])
        assert it.source.budget.left_this_month == 10_000 - 3  # known with the next call
        it.source.budget.look()
        assert it.source.budget.left_this_month == 10_000 - 1
        it.source.fetch([BTC, BTC_EUR])
        it.source.budget.look()
    assert it.source.budget.left_this_month == 10_000 - 1 - 2
    assert min(it.notes.spent) >= 0


def test_the_limits_are_those_of_the_key_and_no_ledger_learns_it() -> None:
    with asking(coins(coin(1)), coinmarketcap_api_key=KEY, **LIMITED) as it:
        it.source.fetch([BTC])
    (account,) = it.notes.accounts
    assert account.source == "coinmarketcap"
    assert KEY not in account.name


def test_a_round_that_costs_more_credits_comes_less_often() -> None:
    with asking(coins(), **LIMITED) as it:
        cheap = it.source.chunks([BTC])
        once = it.source.interval(1, len(cheap))
        dear = it.source.chunks([BTC, BTC_EUR])
        assert it.source.interval(1, len(dear)) == pytest.approx(2 * once)
    assert once == pytest.approx(8.5833 * 86400 / (10_000 * 0.95), rel=0.01)


def test_a_plan_with_one_currency_a_call_gets_a_call_for_each_and_no_tick_is_missing() -> None:
    answers = [ONE_QUOTE, coins(coin(1, quote(2))), coins(coin(1, quote(3, "EUR")))]
    with asking(*answers, **LIMITED) as it:
        chunk = it.source.chunks([BTC, BTC_EUR])[0]
        batch = it.source.fetch(chunk)
        it.source.fetch(chunk)
        assert [asked["convert"] for asked in it.asked] == ["USD,EUR", "USD", "EUR", "USD", "EUR"]
    assert {tick.symbol: tick.price for tick in batch.ticks} == {"BTC": 2, "BTC-EUR": 3}
    assert set(batch.facts) == {"BTC", "BTC-EUR"}


def test_the_calls_that_each_quote_needs_by_itself_are_planned_for() -> None:
    with asking(ONE_QUOTE, coins(coin(1)), coinmarketcap_calls_per_minute=30) as it:
        chunk = it.source.chunks([BTC, BTC_EUR])[0]
        once = it.source.interval(0.05, 1)
        it.source.fetch(chunk)
        assert it.source.interval(0.05, 1) == 2 * once > 4


def test_the_ticks_that_came_before_the_call_for_another_quote_failed_are_kept() -> None:
    with asking(ONE_QUOTE, coins(coin(1)), failure(500, 500)) as it:
        batch = it.source.fetch([BTC, BTC_EUR])
        assert [tick.symbol for tick in batch.ticks] == ["BTC"]
        assert [(lost.symbol, lost.field) for lost in batch.lost if lost.field == "price"] == [("BTC-EUR", "price")]
        with pytest.raises(ProviderUnavailable):
            it.source.fetch([BTC, BTC_EUR])


# What refusals mean.


@pytest.mark.parametrize(("with_200", "string"), [(False, False), (True, True)])
@pytest.mark.parametrize(
    ("status", "code", "error", "says"),
    [
        (401, 1001, ProviderRefused, "check COINMARKETCAP_API_KEY"),
        (401, 1002, ProviderRefused, "set COINMARKETCAP_API_KEY"),
        (402, 1003, ProviderRefused, "activated"),
        (402, 1004, ProviderRefused, "renew"),
        (403, 1005, ProviderRefused, "free key"),
        (403, 1006, ProviderRefused, "change the plan"),
        (403, 1007, ProviderRefused, "support"),
        (429, 1008, RateLimited, "this minute"),
        (429, 1009, RateLimited, "day are spent"),
        (429, 1010, RateLimited, "month are spent"),
        (429, 1011, RateLimited, "this address"),
        (400, 400, ProviderUnavailable, "something"),
        (500, 500, ProviderUnavailable, "something"),
        (500, 4711, ProviderUnavailable, "something"),
    ],
)
def test_each_error_says_what_to_do_also_with_http_200_and_never_the_key(
    status: int, code: int, error: type[CryptoMonitorError], says: str, with_200: bool, string: bool
) -> None:
    answer = failure(200 if with_200 else status, str(code) if string else code, f"something about {KEY}")
    with asking(answer, coinmarketcap_api_key=KEY) as it, pytest.raises(CryptoMonitorError, match=says) as caught:
        it.source.fetch([BTC])
    text = str(caught.value)
    assert KEY not in text
    assert "********" in text
    assert isinstance(caught.value, error)
    assert isinstance(caught.value, RateLimited) == (error is RateLimited)


@pytest.mark.parametrize("code", [0, "0", None])
def test_no_error_comes_as_zero_as_a_string_and_as_null(code: object) -> None:
    with asking(reply(body([coin(1)], code))) as it:
        assert [tick.symbol for tick in it.source.fetch([BTC]).ticks] == ["BTC"]


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (1008, {}, 60),
        (1008, {"Retry-After": "17"}, 17),
        (1011, {}, 60),
        (1009, {}, 14 * 3600),
        (1009, {"Retry-After": "60"}, 14 * 3600),
        (1009, {"Retry-After": "90000"}, 90_000),
        (1010, {}, (8 * 24 + 14) * 3600),
    ],
)
def test_a_limit_says_when_it_is_over(code: int, headers: dict[str, str], seconds: float) -> None:
    with asking(failure(429, code, headers=headers)) as it, pytest.raises(RateLimited) as caught:
        it.source.fetch([BTC])
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_without_a_body_that_can_be_read_says_what_to_look_at(status: int) -> None:
    with (
        asking(reply(b"<html>no</html>", status)) as it,
        pytest.raises(ProviderRefused, match=r"CoinMarketCap account|COINMARKETCAP_API_KEY"),
    ):
        it.source.fetch([BTC])


def test_a_429_without_a_body_that_can_be_read_is_a_limit_of_unknown_length() -> None:
    with asking(reply(b"<html>slow down</html>", 429)) as it, pytest.raises(RateLimited) as caught:
        it.source.fetch([BTC])
    assert caught.value.retry_after is None


@pytest.mark.parametrize(("code", "hours"), [(1009, 14), (1010, 8 * 24 + 14)])
def test_spent_credits_are_not_asked_for_again_before_new_ones_come(code: int, hours: int) -> None:
    with asking(failure(429, code), coins(coin(1))) as it:
        for _ in range(3):
            with pytest.raises(RateLimited) as caught:
                it.source.fetch([BTC])
        assert caught.value.retry_after == pytest.approx(hours * 3600)
        it.clock.advance(hours * 3600 - 1)
        with pytest.raises(RateLimited):
            it.source.fetch([BTC])
        assert len(it.provider.asked) == 1
        it.clock.advance(1)
        assert it.source.fetch([BTC]).fetched_at
        assert len(it.provider.asked) == 2


def test_a_paid_month_ends_when_the_plan_says_not_with_the_calendars() -> None:
    info = key_info(ends="2026-11-24T10:00:00.000Z")
    with asking(failure(429, 1010), reply(info), coins(coin(1)), coinmarketcap_api_key=KEY) as it:
        with pytest.raises(RateLimited):
            it.source.fetch([BTC])
        with pytest.raises(RateLimited) as caught:
            it.source.fetch([BTC])
        assert caught.value.retry_after == 48 * 3600
        it.clock.advance(48 * 3600)
        it.source.fetch([BTC])


def test_a_quote_that_cannot_be_converted_to_names_the_setting() -> None:
    refused = failure(400, 400, 'Invalid value for "convert": "XYZ"')
    with asking(refused) as it, pytest.raises(ProviderRefused, match="QUOTE"):
        it.source.fetch([instrument("BTC", 1, "XYZ")])


def test_refused_calls_cost_nothing() -> None:
    with asking(failure(401, 1001), coins(coin(1)), **LIMITED) as it:
        with pytest.raises(ProviderRefused):
            it.source.fetch([BTC])
        it.source.fetch([BTC])
    assert sum(it.notes.spent) == 1


# Whether it is there, and what the plan is.


def key_info(ends: str = "2026-12-01T00:00:00.000Z", **plan: object) -> dict[str, object]:
    limits = {"credit_limit_monthly": 120_000, "credit_limit_monthly_reset_timestamp": ends, "rate_limit_minute": 60}
    usage = {"current_minute": {"requests_made": 1}, "current_month": {"credits_used": 77, "credits_left": 119_923}}
    return body({"plan": {**limits, **plan}, "usage": usage}, credits=0)


def test_ping_says_where_it_answers_and_what_the_plan_has_left_at_no_cost() -> None:
    with asking(reply(key_info()), coinmarketcap_api_key=KEY, **LIMITED) as it:
        said = it.source.ping()
        assert it.provider.asked[0].path == "/v1/key/info"
    assert said.startswith(f"coinmarketcap answers at {it.provider.root}")
    assert "120000 credits a month, of which 77 are spent" in said
    assert it.notes.spent == [0]


def test_ping_without_a_key_asks_for_the_first_coin_of_the_map() -> None:
    with asking(coins({"id": 1, "symbol": "BTC"}, credits=0)) as it:
        assert it.source.ping() == f"coinmarketcap answers at {it.provider.root}"
        assert (it.provider.asked[0].path, it.asked[0]["limit"]) == ("/v1/cryptocurrency/map", "1")


@pytest.mark.parametrize("answer", [{}, [], "hello", {"data": []}, {"data": [{"id": "1"}]}, {"data": {"plan": {}}}])
@pytest.mark.parametrize("key", ["", KEY])
def test_ping_is_not_content_with_just_any_answer(answer: object, key: str) -> None:
    with asking(reply(answer), coinmarketcap_api_key=key) as it, pytest.raises(ProviderUnavailable):
        it.source.ping()


def test_the_plan_is_what_the_provider_says_but_for_what_is_set() -> None:
    with asking(reply(key_info()), coinmarketcap_api_key=KEY) as it:
        assert it.on_its_own_host().plan() == PlanFacts(60, 120_000, 77)
    with asking(reply(key_info()), coinmarketcap_api_key=KEY, **LIMITED) as it:
        assert it.on_its_own_host().plan() == PlanFacts(None, None, 77)


def test_what_is_spent_of_a_month_that_is_not_the_calendars_says_nothing_about_the_calendars() -> None:
    with asking(reply(key_info(ends="2026-12-07T00:00:00.000Z")), coinmarketcap_api_key=KEY) as it:
        assert it.on_its_own_host().plan() == PlanFacts(60, 120_000, None)


def test_there_is_no_plan_to_ask_for_without_a_key_and_under_another_address() -> None:
    with asking(coins()) as it:
        assert (it.on_its_own_host().plan(), it.provider.asked) == (PlanFacts(), [])
    with asking(reply(key_info()), coinmarketcap_api_key=KEY) as it:
        assert (it.source.plan(), it.provider.asked) == (PlanFacts(), [])
