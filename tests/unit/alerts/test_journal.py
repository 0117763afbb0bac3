"""What the journal knows, what happens without it, and from when on the database has to be asked."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.alerts.file import AlertsFile
from app.alerts.journal import Intent, Journal, line_of
from app.errors import SchemaTooNew
from tests.alert_files import (
    FIRST,
    Desk,
    FaultyOs,
    actions,
    alert,
    alerts,
    full,
    lines,
    written,
)


@pytest.mark.parametrize("renamed", ["alerts.txt", "alerts.txt.1", "alerts.txt-20261121.gz", "alerts-20261121.txt"])
def test_a_lost_journal_doubles_nothing_and_says_where_it_goes_on(desk: Desk, file: AlertsFile, renamed: str) -> None:
    file.write(alerts(0, 1, 2))
    file.close()
    desk.journal.unlink()
    desk.path.rename(desk.path.with_name(renamed))
    again = desk.open()
    with capture_logs() as logs:
        assert again.catch_up(alerts(0, 1, 2, 3)) == 0
    assert actions(logs) == ["alerts_file_skipped"]
    assert "taken as written" in logs[0]["event"]
    again.write(alerts(4))
    again.close()
    desk.open().catch_up(alerts(0, 1, 2, 3, 4, 5))
    after = [line for rest in sorted(desk.path.parent.iterdir()) for line in rest.read_text().splitlines()]
    assert sorted(after) == sorted(lines(0, 1, 2, 4, 5))
    assert desk.path.read_text().splitlines()[-2:] == lines(4, 5)


def test_a_kill_before_the_start_is_through_does_not_forget_that_the_journal_was_lost(
    desk: Desk, file: AlertsFile
) -> None:
    file.write(alerts(0, 1, 2))
    file.close()
    desk.journal.unlink()
    desk.kill(desk.open())
    assert desk.open().catch_up(alerts(0, 1, 2)) == 0
    assert written(desk.path) == lines(0, 1, 2)


def test_the_log_is_emptied_after_a_mark_and_never_while_a_line_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.open(beside_lines=False)
    lines = tuple(replace(line_of(it, 1), text="x" * 5000) for it in alerts(*range(1100)))  # SQLite's own limit is 1000
    seen = []
    for most in (0, 10_000):
        monkeypatch.setattr("app.alerts.journal._CHANGES_IN_LOG", most)
        before = journal.path.read_bytes()
        journal.intend(Intent(1, 0, 0, lines))
        intended = journal.path.read_bytes()
        journal.mark(lines)
        seen.append((intended != before, journal.path.read_bytes() != intended))
    journal.close()
    assert seen == [(False, True), (False, False)]


def test_an_empty_file_that_somebody_made_is_not_taken_for_a_history(desk: Desk) -> None:
    desk.path.parent.mkdir()
    desk.path.touch()
    assert desk.open().catch_up(alerts(0, 1)) == 2


def test_a_damaged_journal_is_set_aside_and_doubles_nothing(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0, 1))
    file.close()
    desk.journal.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with capture_logs() as logs:
        again = desk.open()
        assert again.catch_up(alerts(0, 1)) == 0
    assert actions(logs) == ["journal_damaged", "alerts_file_skipped"]
    assert desk.journal.with_name("alerts.sqlite.damaged").exists()
    again.write(alerts(2))
    assert written(desk.path) == lines(0, 1, 2)


def test_a_flipped_page_in_the_journal_is_found_at_the_start(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(*range(300)))
    file.close()
    data = bytearray(desk.journal.read_bytes())
    data[2 * 4096 : 2 * 4096 + 64] = os.urandom(64)
    desk.journal.write_bytes(data)
    with capture_logs() as logs:
        assert desk.open().catch_up(alerts(*range(300))) == 0
    assert "journal_damaged" in actions(logs)
    assert written(desk.path) == lines(*range(300))


def test_a_journal_of_a_newer_program_is_refused(desk: Desk, file: AlertsFile) -> None:
    file.close()
    with sqlite3.connect(desk.journal) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SchemaTooNew, match="newer version"):
        desk.open()


def test_marks_are_pruned_and_what_was_pruned_stays_written(
    desk: Desk, file: AlertsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.alerts.journal._MARKS_KEPT", 10)
    history = [replace(alert(number), symbol=("BTC", "ETH", "ZEC")[number % 3]) for number in range(100)]
    for event in history:
        file.write([event])
    file.close()
    with sqlite3.connect(desk.journal) as db:
        assert db.execute("SELECT count(*) FROM mark").fetchone() == (10,)
        assert db.execute("SELECT count(*) FROM floor").fetchone() == (3,)
    db.close()
    late = replace(alert(100), symbol="NEW", timestamp=FIRST - timedelta(days=90))
    assert desk.open().catch_up([*history, late, alert(101)]) == 2
    assert written(desk.path) == [event.line for event in [*history, late, alert(101)]]


def test_before_the_first_alert_all_of_the_database_is_asked_for(file: AlertsFile) -> None:
    assert file.since is None


def test_afterwards_only_what_is_newer_than_the_last_line_with_a_day_to_spare(desk: Desk, file: AlertsFile) -> None:
    file.write(alerts(0))
    at = desk.clock.now()
    desk.clock.advance(86400 * 60)
    file.close()
    assert desk.open().since == at - timedelta(days=1)


def test_lines_that_wait_do_not_move_that_time(desk: Desk, file: AlertsFile, faults: FaultyOs) -> None:
    file.write(alerts(0))
    at = desk.clock.now()
    faults.arm(full(), only="write", again=True)
    desk.clock.advance(86400 * 60)
    file.write(alerts(1))
    desk.kill(file)
    faults.disarm()
    again = desk.open()
    assert again.since == at - timedelta(days=1)
    assert again.catch_up(alerts(1)) == 1
    assert again.since == at - timedelta(days=1), "another kill now must not hide what the database still holds"


def test_a_clock_that_was_years_ahead_does_not_hide_alerts(desk: Desk, file: AlertsFile) -> None:
    desk.clock.jump(86400 * 3650)
    file.write(alerts(0))
    desk.clock.jump(-86400 * 3650)
    assert file.since == desk.clock.now() - timedelta(days=1)
