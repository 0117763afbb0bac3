"""The status file: what is written is what is read, and the judgement of freshness."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app import status
from app.errors import CannotWrite
from app.status import LeaseStatus, SpoolStatus, ViewStatus
from tests.statuses import NOW, SOURCE, a_status


def reasons(tmp_path: Path, **changes: object) -> tuple[str, ...]:
    status.write(tmp_path, a_status(**changes))
    return status.read(tmp_path, NOW).reasons


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = a_status()
    status.write(tmp_path, written)
    assert status.read(tmp_path, NOW) == status.Reading(written, running=True, reasons=())


def test_what_is_not_known_yet_is_read_as_none(tmp_path: Path) -> None:
    new = replace(SOURCE, last_reply_at=None, next_call_at=None, calls_this_month=None)
    written = a_status(sources={"coingecko": new}, views=ViewStatus(refreshed_at=None, refresh_seconds=None))
    status.write(tmp_path, written)
    assert status.read(tmp_path, NOW).status == written


def test_times_stand_in_the_file_in_utc_as_iso_8601(tmp_path: Path) -> None:
    status.write(tmp_path, a_status())
    file = json.loads((tmp_path / "status.json").read_text())
    assert file["written_at"] == "2026-11-22T10:15:03.123000Z"
    assert file["sources"]["coingecko"]["next_call_at"] == "2026-11-22T10:15:58.123000Z"


def test_a_task_may_have_any_name(tmp_path: Path) -> None:
    written = a_status(tasks={"looked_at": "running"})
    status.write(tmp_path, written)
    assert status.read(tmp_path, NOW).status == written


def test_writing_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    for _ in range(3):
        status.write(tmp_path, a_status())
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_reader_finds_a_whole_file_while_it_is_replaced(tmp_path: Path) -> None:
    status.write(tmp_path, a_status())
    with (tmp_path / "status.json").open("rb") as of_before:
        status.write(tmp_path, a_status(version="0.2.0"))
        assert json.load(of_before)["version"] == "0.1.0"
    after = status.read(tmp_path, NOW).status
    assert after is not None
    assert after.version == "0.2.0"


def test_a_folder_that_is_gone_cannot_be_written_and_the_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match=r"gone/status\.json: cannot be written \(No such file or directory\)"):
        status.write(tmp_path / "gone", a_status())


def test_without_a_file_the_daemon_does_not_run(tmp_path: Path) -> None:
    reading = status.read(tmp_path, NOW)
    assert (reading.status, reading.running) == (None, False)
    assert reading.reasons == ("the daemon does not run: there is no status.json in DATA_DIR",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"sources": 1}',
        b'{"sources": {"x": null}}',
    ],
)
def test_a_file_that_is_not_ours_is_a_reason_and_no_crash(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "status.json").write_bytes(content)
    reading = status.read(tmp_path, NOW)
    assert (reading.status, reading.running) == (None, False)
    assert reading.reasons == ("status.json in DATA_DIR is not what this version of the program writes",)


def test_a_file_that_cannot_be_opened_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()
    assert status.read(tmp_path, NOW).reasons == ("status.json in DATA_DIR cannot be read (Is a directory)",)


def test_a_key_that_a_newer_version_added_does_not_matter(tmp_path: Path) -> None:
    status.write(tmp_path, a_status())
    path = tmp_path / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))
    assert status.read(tmp_path, NOW).status == a_status()


def test_a_key_that_is_missing_makes_it_another_version_s(tmp_path: Path) -> None:
    status.write(tmp_path, a_status())
    path = tmp_path / "status.json"
    content = json.loads(path.read_text())
    del content["ticks"]["late"]
    path.write_text(json.dumps(content))
    assert not status.read(tmp_path, NOW).running


def test_a_file_of_ten_seconds_is_fresh_and_one_a_little_older_is_stale(tmp_path: Path) -> None:
    assert reasons(tmp_path, written_at=NOW - timedelta(seconds=10)) == ()
    assert reasons(tmp_path, written_at=NOW - timedelta(seconds=11)) == (
        "the daemon does not run, or hangs: status.json in DATA_DIR was written 11 s ago",
    )


def test_of_a_daemon_that_hangs_the_last_words_are_still_read(tmp_path: Path) -> None:
    status.write(tmp_path, a_status(written_at=NOW - timedelta(hours=1)))
    reading = status.read(tmp_path, NOW)
    assert not reading.running
    assert reading.status is not None
    assert reading.status.ticks.stored == 300


def test_a_file_from_the_future_is_as_stale_as_an_old_one(tmp_path: Path) -> None:
    (reason,) = reasons(tmp_path, written_at=NOW + timedelta(hours=1))
    assert reason.endswith("was written 3600 s ahead of this clock")


@pytest.mark.parametrize("state", ["starting", "waiting for the database", "stopping"])
def test_a_daemon_in_another_state_than_running_is_not_fresh(tmp_path: Path, state: str) -> None:
    assert reasons(tmp_path, state=state) == (f"the daemon is {state}",)


def test_three_minutes_without_a_new_tick_are_allowed_at_any_fast_cadence(tmp_path: Path) -> None:
    assert reasons(tmp_path, interval_seconds=1.0, last_new_tick_at=NOW - timedelta(seconds=180)) == ()
    assert reasons(tmp_path, interval_seconds=1.0, last_new_tick_at=NOW - timedelta(seconds=181)) == (
        "the last new tick arrived 181 s ago; 180 s are allowed",
    )


def test_three_intervals_without_a_new_tick_are_allowed_at_a_slow_cadence(tmp_path: Path) -> None:
    assert reasons(tmp_path, interval_seconds=300.0, last_new_tick_at=NOW - timedelta(seconds=900)) == ()
    assert reasons(tmp_path, interval_seconds=300.0, last_new_tick_at=NOW - timedelta(seconds=901)) != ()


def test_a_daemon_that_has_got_no_tick_yet_is_not_fresh(tmp_path: Path) -> None:
    assert reasons(tmp_path, last_new_tick_at=None) == ("no new tick has arrived yet; the daemon started 3600 s ago",)


def test_without_ticks_every_source_in_trouble_says_why(tmp_path: Path) -> None:
    sources = {
        "kraken": replace(SOURCE, state="starting"),
        "coinbase": SOURCE,
        "coingecko": replace(SOURCE, state="paused", reason="the key is wrong"),
    }
    assert reasons(tmp_path, last_new_tick_at=None, sources=sources)[1:] == (
        "coingecko is paused: the key is wrong",
        "kraken is starting",
    )


def test_a_source_in_trouble_is_no_reason_while_ticks_arrive(tmp_path: Path) -> None:
    assert reasons(tmp_path, sources={"coingecko": replace(SOURCE, state="failing", reason="503")}) == ()


def test_a_daemon_that_stands_by_is_well_without_a_tick(tmp_path: Path) -> None:
    lease = LeaseStatus(epoch=None, leader="other:/data (5e6f7a8b)")
    assert reasons(tmp_path, state="standing by", last_new_tick_at=None, lease=lease) == ()


def test_that_polling_has_stopped_is_among_the_reasons(tmp_path: Path) -> None:
    spool = SpoolStatus(batches=9, bytes=10**9, oldest_at=NOW, damaged=0, polling_stopped="the spool is full")
    found = reasons(tmp_path, last_new_tick_at=NOW - timedelta(hours=1), spool=spool)
    assert "the spool is full" in found
