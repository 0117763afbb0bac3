"""What CoinGecko says of a paid plan is what the budget keeps to."""

from __future__ import annotations

import json
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from app import decode
from app.config import Settings, load
from app.errors import ProviderUnavailable
from app.limits import PlanFacts, account_of
from app.sources import coingecko
from app.sources.base import explain
from app.sources.coingecko import CoinGecko
from app.sources.coingecko_key import read_key
from tests.clock import FakeClock
from tests.conftest import SHARED
from tests.provider import Provider, reply, serving
from tests.unit.test_limits import Book

SAID: dict[str, Any] = {
    "plan": "Analyst",
    "rate_limit_request_per_minute": 500,
    "monthly_call_credit": 500_000,
    "current_total_monthly_calls": 104,
    "current_remaining_monthly_calls": 499_896,
}


def paid(**settings: Any) -> Settings:
    return load(None, coingecko_plan="pro", coingecko_api_key="CG-x", **settings)


def asking(provider: Provider, **settings: Any) -> CoinGecko:
    """A source of the provider's own host, led here."""
    source = coingecko.build(paid(**settings), FakeClock(), Book())
    source._http.root = provider.root
    return source


def read(said: Any, **settings: Any) -> PlanFacts:
    return read_key(decode.parse(json.dumps(said).encode()), paid(**settings))


def test_the_budget_keeps_to_the_plan_that_the_provider_tells() -> None:
    with serving(reply(SAID)) as provider, closing(asking(provider)) as source:
        assert (source.budget.per_minute, source.budget.per_month) == (250, 100_000)
        for _ in range(3):
            source.learn_plan()
        assert [call.path for call in provider.asked] == ["/key"]
        assert (source.budget.per_minute, source.budget.per_month) == (500, 500_000)
        assert source.budget.left_this_month == 499_896


@pytest.mark.parametrize("answer", [reply(SAID, status=500), reply({"plan": "?"}), reply([]), reply(SAID, status=401)])
def test_a_provider_that_does_not_say_its_plan_leaves_what_we_thought(answer: Any) -> None:
    with serving(answer) as provider, closing(asking(provider)) as source:
        source.learn_plan()
        assert len(provider.asked) == 1
        assert (source.budget.per_minute, source.budget.per_month) == (250, 100_000)


@pytest.mark.parametrize("settings", [{}, {"coingecko_plan": "demo", "coingecko_api_key": "CG-x"}])
def test_nobody_else_is_asked(settings: dict[str, Any]) -> None:
    source = coingecko.build(load(None, **settings), FakeClock(), Book())
    assert source.plan() == PlanFacts()
    assert coingecko.build(paid(coingecko_base_url="http://127.0.0.1:9"), FakeClock(), Book()).plan() == PlanFacts()


def test_what_is_set_goes_first() -> None:
    assert read(SAID) == PlanFacts(500, 500_000, 104)
    assert read(SAID, coingecko_calls_per_minute=10) == PlanFacts(None, 500_000, 104)
    assert read(SAID, coingecko_calls_per_month=0) == PlanFacts(500)


def test_a_key_may_have_less_than_its_plan() -> None:
    of_key = {
        "api_key_rate_limit_request_per_minute": 100,
        "api_key_monthly_call_credit": 50_000,
        "api_key_current_total_monthly_calls": 8,
    }
    assert read(SAID | of_key) == PlanFacts(100, 50_000, 8)
    spent = {"current_total_monthly_calls": 499_999}
    assert read(SAID | of_key | spent) == PlanFacts(100, 500_000, 499_999)


@pytest.mark.parametrize("value", [None, "500", -1, 0.5e13, True])
def test_a_number_that_makes_no_sense_is_none(value: Any) -> None:
    with pytest.raises(ProviderUnavailable):
        read(SAID | {"rate_limit_request_per_minute": value})
    assert read(SAID | {"monthly_call_credit": value}) == PlanFacts(500)


def test_the_providers_own_example_is_read() -> None:
    example = SHARED / "data" / "apis" / "coingecko" / "oas_example_key.json"
    if not example.exists():
        pytest.skip("the recorded replies are not here")
    facts = read_key(decode.parse(example.read_bytes()), paid())
    assert facts == PlanFacts(1000, 1_000_000, 32)
    assert not isinstance(facts.spent, Decimal)


def test_each_key_has_limits_of_its_own() -> None:
    source = coingecko.build(paid(), FakeClock(), book := Book())
    with source.budget.call():
        pass
    assert [account.name for account, _ in book.counted] == [account_of("CG-x")]


# What the log says at the start.


@pytest.mark.parametrize(
    ("settings", "calls", "said"),
    [
        ({}, 1, "coingecko: a tick every 60 s instead of 1 s, as it renews its prices every 60 s."),
        (
            {},
            10,
            "coingecko: a tick every 124 s instead of 1 s,"
            " as it renews its prices every 60 s, and 10 calls a round have to fit into 5 a minute.",
        ),
        (
            {"coingecko_plan": "demo", "coingecko_api_key": "CG-x"},
            1,
            "coingecko: a tick every 78 s instead of 1 s, as it renews its prices every 60 s,"
            " and the 10000 credits left of 10000 last until the month ends with a round every 78 s.",
        ),
        ({"coingecko_base_url": "http://127.0.0.1:9"}, 5, None),
    ],
)
def test_why_ticks_are_further_apart_than_asked_for_is_a_sentence(
    settings: dict[str, Any], calls: int, said: str | None
) -> None:
    source = coingecko.build(load(None, **settings), FakeClock(), Book())
    assert explain(source, 1.0, calls) == said
