from __future__ import annotations

import json

import pytest

from app.simulate.site import Site
from app.simulate.synthetic import SyntheticMarket
from app.simulate.timeline import Timeline
from tests.clock import FakeClock


@pytest.fixture
def site(clock: FakeClock) -> Site:
    return Site(SyntheticMarket(2), Timeline(clock, 60), clock)


def test_requests_are_refused_for_as_long_as_was_asked_with_the_retry_after_that_was_asked(
    site: Site, clock: FakeClock
) -> None:
    assert site.reply("POST", "/simulate/throttle?seconds=30&retry_after=5").status == 200
    clock.advance(29.9)
    refusal = site.reply("GET", "/api/v3/simple/price?ids=bitcoin&vs_currencies=usd")
    assert (refusal.status, refusal.headers) == (429, {"Retry-After": "5"})
    assert json.loads(refusal.body)["status"]["error_code"] == 429
    clock.advance(0.2)
    assert site.reply("GET", "/api/v3/ping").status == 200


def test_without_retry_after_the_refusal_has_no_such_header_and_zero_seconds_end_it(site: Site) -> None:
    site.reply("POST", "/simulate/throttle?seconds=30")
    assert (site.reply("GET", "/api/v3/ping").status, dict(site.reply("GET", "/api/v3/ping").headers)) == (429, {})
    site.reply("POST", "/simulate/throttle?seconds=0")
    assert site.reply("GET", "/api/v3/ping").status == 200


@pytest.mark.parametrize("query", ["", "?seconds=", "?seconds=-1", "?seconds=nan", "?seconds=1&retry_after=soon"])
def test_a_throttle_that_makes_no_sense_changes_nothing_and_says_why(site: Site, query: str) -> None:
    reply = site.reply("POST", f"/simulate/throttle{query}")
    assert reply.status == 422
    assert "should be" in json.loads(reply.body)["error"]
    assert site.reply("GET", "/api/v3/ping").status == 200


def test_the_page_at_the_root_says_that_it_is_synthetic_with_which_seed_and_at_what_time(
    site: Site, clock: FakeClock
) -> None:
    site.reply("POST", "/simulate/throttle?seconds=30")  # does not concern the page
    page = site.reply("GET", "/")
    assert page.status == 200
    assert page.content_type.startswith("text/plain")
    for words in ("SYNTHETIC market (seed 2)", "2026-11-21T10:00:00Z", "waiting", "60x", "/simulate/throttle"):
        assert words in page.body
    site.reply("POST", "/simulate/throttle?seconds=0")
    site.reply("GET", "/api/v3/coins/markets?vs_currency=usd")
    clock.advance(1)
    assert "2026-11-21T10:01:00Z" in site.reply("GET", "/").body
    assert "waiting" not in site.reply("GET", "/").body


def test_a_slash_at_the_end_and_encoded_commas_change_nothing(site: Site) -> None:
    plain = site.reply("GET", "/api/v3/simple/price?ids=bitcoin,zcash&vs_currencies=usd")
    assert site.reply("GET", "/api/v3/simple/price/?ids=bitcoin%2Czcash&vs_currencies=usd") == plain
    assert len(json.loads(plain.body)) == 2


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/api/v3", 404), ("GET", "/favicon.ico", 404), ("POST", "/api/v3/ping", 404), ("GET", "//[", 404)],
)
def test_other_addresses_are_not_found(site: Site, method: str, target: str, status: int) -> None:
    assert site.reply(method, target).status == status
