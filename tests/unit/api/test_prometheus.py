"""Prometheus's text: its format, its names, and the figures of the status file and the database in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app import status
from app.api.prometheus import Scrape
from app.api.status import DatabaseStatus, LatestTick, OutboxStatus
from app.status import Reading, ViewStatus
from tests.asgi import Reply
from tests.statuses import NOW, SOURCE, a_status

Get = Callable[[str], Reply]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(reply: Reply) -> Samples:
    return samples_of(reply.body)


def samples_of(page: bytes) -> Samples:
    families = text_string_to_metric_families(page.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


@pytest.fixture
def scraped(get: Get, tmp_path: Path) -> Samples:
    status.write(tmp_path, a_status())
    return samples(get("/metrics"))


def test_the_content_type_is_that_of_the_text_format(get: Get) -> None:
    assert get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_the_figures_of_the_file_are_there(scraped: Samples) -> None:
    assert scraped["cryptomonitor_daemon_running", ()] == 1
    assert scraped["cryptomonitor_data_fresh", ()] == 1
    assert scraped["cryptomonitor_build_info", (("version", "0.1.0"),)] == 1
    assert scraped["cryptomonitor_ticks_stored_total", ()] == 300
    assert scraped["cryptomonitor_ticks_duplicate_total", ()] == 40
    assert scraped["cryptomonitor_ticks_late_total", ()] == 2
    assert scraped["cryptomonitor_ticks_refused_total", ()] == 1
    assert scraped["cryptomonitor_ticks_held_total", ()] == 3
    assert scraped["cryptomonitor_alerts_firing", ()] == 1
    assert scraped["cryptomonitor_alerts_written_total", ()] == 7
    assert scraped["cryptomonitor_last_new_tick_timestamp_seconds", ()] == NOW.timestamp() - 5
    assert scraped["cryptomonitor_view_refresh_duration_seconds", ()] == 0.25
    assert scraped["cryptomonitor_rules", ()] == 2
    assert scraped["cryptomonitor_rules_file_refused", ()] == 0
    assert scraped["cryptomonitor_set_aside_total", ()] == 4
    gaps = {state: scraped["cryptomonitor_gaps", (("state", state),)] for state in ("open", "filled", "unrecoverable")}
    assert gaps == {"open": 1, "filled": 12, "unrecoverable": 2}


def test_every_channel_has_its_own(scraped: Samples) -> None:
    ops = (("channel", "ops"),)
    found = {name: value for (name, labels), value in scraped.items() if labels == ops}
    assert found == {
        "cryptomonitor_channel_queued": 2,
        "cryptomonitor_channel_delivered_total": 5,
        "cryptomonitor_channel_dead": 1,
        "cryptomonitor_channel_failing": 1,
    }


def test_every_source_has_its_own(scraped: Samples) -> None:
    coingecko = (("source", "coingecko"),)
    assert scraped["cryptomonitor_source_calls_total", coingecko] == 120
    assert scraped["cryptomonitor_source_failures_total", coingecko] == 2
    assert scraped["cryptomonitor_source_overruns_total", coingecko] == 1
    assert scraped["cryptomonitor_source_values_lost_total", coingecko] == 4
    assert scraped["cryptomonitor_source_calls_this_month", coingecko] == 1234
    assert scraped["cryptomonitor_source_calls_per_month_limit", coingecko] == 10_000
    assert scraped["cryptomonitor_source_learned_per_minute_limit", coingecko] == 15
    assert scraped["cryptomonitor_source_credits_left", coingecko] == 8766
    assert scraped["cryptomonitor_source_credits_end_timestamp_seconds", coingecko] > 1.7e9
    states = {labels[1][1]: value for (name, labels), value in scraped.items() if name == "cryptomonitor_source_state"}
    assert states == {"ok": 1, "failing": 0, "limited": 0, "paused": 0, "starting": 0, "idle": 0}


def test_a_task_that_ended_is_seen(scraped: Samples) -> None:
    assert scraped["cryptomonitor_task_running", (("task", "fetch-coingecko"),)] == 1
    assert scraped["cryptomonitor_task_running", (("task", "upkeep"),)] == 0


def test_what_is_not_known_has_no_sample(get: Get, tmp_path: Path) -> None:
    new = replace(SOURCE, last_reply_at=None, calls_this_month=None)
    views = ViewStatus(refreshed_at=None, refresh_seconds=None)
    status.write(tmp_path, a_status(last_new_tick_at=None, sources={"coingecko": new}, views=views))
    names = {name for name, _ in samples(get("/metrics"))}
    assert "cryptomonitor_source_calls_total" in names
    assert names.isdisjoint(
        {
            "cryptomonitor_last_new_tick_timestamp_seconds",
            "cryptomonitor_source_last_reply_timestamp_seconds",
            "cryptomonitor_source_calls_this_month",
            "cryptomonitor_view_refresh_timestamp_seconds",
            "cryptomonitor_view_refresh_duration_seconds",
        }
    )


def test_without_daemon_and_database_the_scrape_says_so(get: Get) -> None:
    found = samples(get("/metrics"))
    # Beside them stands what this process counts of itself.
    theirs = {key: value for key, value in found.items() if not key[0].startswith(("process_", "cryptomonitor_api_"))}
    assert theirs == {
        ("cryptomonitor_daemon_running", ()): 0,
        ("cryptomonitor_data_fresh", ()): 0,
        ("cryptomonitor_database_up", ()): 0,
    }


def test_names_follow_the_conventions() -> None:
    latest = {"BTC": LatestTick(NOW, 5.0), "NEW": LatestTick(None, None)}
    database = DatabaseStatus(True, None, "17.0", 1, 2, latest, {"ops": OutboxStatus(1, NOW, 2)})
    page = generate_latest(Scrape(Reading(a_status(), True, ()), database)).decode()
    families = list(text_string_to_metric_families(page))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert re.fullmatch(r"(cryptomonitor|process)_[a-z_]+", family.name)
        assert family.documentation
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_the_database_has_its_figures_and_what_is_not_known_has_no_sample() -> None:
    latest = {"BTC": LatestTick(NOW, 5.0), "NEW": LatestTick(None, None)}
    outbox = {"ops": OutboxStatus(3, NOW, 2), "gone": OutboxStatus(0, None, 0)}
    database = DatabaseStatus(True, None, "17.0", 9_000_000, None, latest, outbox)
    found = samples_of(generate_latest(Scrape(Reading(None, False, ("gone",)), database)))
    ops, gone = (("channel", "ops"),), (("channel", "gone"),)
    wanted = {
        ("cryptomonitor_daemon_running", ()): 0,
        ("cryptomonitor_data_fresh", ()): 0,
        ("cryptomonitor_database_up", ()): 1,
        ("cryptomonitor_database_size_bytes", ()): 9_000_000,
        ("cryptomonitor_symbol_lag_seconds", (("symbol", "BTC"),)): 5,
        ("cryptomonitor_outbox_waiting", ops): 3,
        ("cryptomonitor_outbox_oldest_timestamp_seconds", ops): NOW.timestamp(),
        ("cryptomonitor_outbox_dead", ops): 2,
        ("cryptomonitor_outbox_waiting", gone): 0,
        ("cryptomonitor_outbox_dead", gone): 0,
    }
    assert {
        key: value for key, value in found.items() if not key[0].startswith(("process_", "cryptomonitor_api_"))
    } == wanted


def test_a_name_cannot_break_the_page() -> None:
    odd = 'a"b\\c\nd'
    database = DatabaseStatus(True, latest={odd: LatestTick(NOW, 1.0)})
    found = samples_of(generate_latest(Scrape(Reading(None, False, ()), database)))
    assert found["cryptomonitor_symbol_lag_seconds", (("symbol", odd),)] == 1
