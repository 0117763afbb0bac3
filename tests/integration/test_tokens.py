"""Tokens: made and revoked by a command, kept as digests, and what the API answers to those that carry one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from app.api.edge import Edge
from app.api.routes import ROUTES, Route
from app.cli import token as cli
from app.db import Database
from app.tokens import Token, Tokens
from tests.api import an_api
from tests.asgi import Reply, request
from tests.clock import FakeClock

pytestmark = pytest.mark.one_server

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ELSEWHERE = ("192.0.2.7", 50000)
TEXT = re.compile(r"cm_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")


def change() -> dict[str, str]:
    """Changes something."""
    return {"changed": "yes"}


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime.now(UTC))  # the database has a clock of its own


@pytest.fixture
def api(tmp_path: Path, dsn: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Edge:
    """With a route that writes."""
    monkeypatch.setattr("app.api.app.ROUTES", (*ROUTES, Route("POST", "/api/v1/change", change, writes=True)))
    return an_api(tmp_path, dsn, clock)


Ask = Callable[..., Reply]


@pytest.fixture
def ask(api: Edge) -> Ask:
    """A request from elsewhere, with a token."""

    def send(text: str, path: str = "/", method: str = "GET", host: str = "prices.example.org") -> Reply:
        headers = {"authorization": f"Bearer {text}", "host": host}
        return request(api, path, method, headers=headers, client=ELSEWHERE)

    return send


@pytest.fixture
def made(tokens: Tokens) -> Callable[..., str]:
    def make(scope: str = "read", length: timedelta = timedelta(days=90)) -> str:
        return tokens.create(scope, length, "of a test")[1]  # type: ignore[arg-type]

    return make


def test_what_is_kept_does_not_tell_the_token(tokens: Tokens, database: Database) -> None:
    token, text = tokens.create("read", timedelta(days=1), "grafana")
    assert TEXT.fullmatch(text)
    ((row,),) = database.run(lambda c: c.execute("SELECT tokens::text FROM tokens") or c.fetchall())
    assert text.split("_", 2)[2] not in row
    assert tokens.find(text) == token
    assert tokens.find(text[:-1] + ("A" if text[-1] != "A" else "B")) is None
    assert tokens.find(f"cm_{'0' * 12}_{text[16:]}") is None
    assert tokens.find("") is None


def test_a_token_to_read_reads_from_elsewhere_under_any_name_and_writes_nothing(
    ask: Ask, made: Callable[..., str]
) -> None:
    text = made("read")
    assert ask(text, "/docs").status == 200
    refused = ask(text, "/api/v1/change", "POST")
    assert (refused.status, refused.headers["content-type"]) == (403, "application/problem+json")
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


def test_a_token_to_write_writes_and_reads(ask: Ask, made: Callable[..., str]) -> None:
    text = made("write")
    assert ask(text, "/api/v1/change", "POST").json == {"changed": "yes"}
    assert ask(text, "/openapi.json").status == 200


def test_writing_needs_a_token_from_this_machine_too(api: Edge) -> None:
    refused = request(api, "/api/v1/change", "POST")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer realm="CryptoMonitor"')


def test_what_is_no_good_token_is_refused_also_where_none_is_needed(api: Edge) -> None:
    for header in ("Bearer", "Basic abc", "Bearer a b", f"Bearer cm_{'0' * 12}_{'x' * 43}", "Bearer \xe9"):
        for path in ("/", "/none"):
            refused = request(api, path, headers={"authorization": header})
            assert refused.status == 401
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]
            assert refused.json["detail"].startswith("The token is unknown, revoked or expired.")


def test_health_is_told_whatever_token_there_is(api: Edge) -> None:
    assert request(api, "/healthz", headers={"authorization": "Bearer nonsense"}, client=ELSEWHERE).status == 200


def test_a_token_in_the_address_is_none(api: Edge, made: Callable[..., str]) -> None:
    text = made("write")
    for name in ("token", "access_token"):
        assert request(api, f"/docs?{name}={text}", client=ELSEWHERE).status == 401
        assert request(api, f"/docs?{name}={text}").status == 422


def test_an_expired_token_is_refused_from_that_moment_on(ask: Ask, made: Callable[..., str], clock: FakeClock) -> None:
    text = made("read", timedelta(hours=1))
    assert ask(text).status == 200
    clock.advance(3000)
    assert ask(text).status == 200
    clock.advance(1200)
    assert ask(text).status == 401


def test_a_revoked_token_is_refused_five_seconds_later_at_most(ask: Ask, tokens: Tokens, clock: FakeClock) -> None:
    token, text = tokens.create("read", timedelta(days=1), "")
    assert ask(text).status == 200
    assert tokens.revoke(token.id) is not None
    assert tokens.revoke(token.id) is None
    clock.advance(5)
    assert ask(text).status == 401


def test_the_hour_of_its_last_use_is_written_down(ask: Ask, tokens: Tokens, made: Callable[..., str]) -> None:
    text = made()
    assert [token.last_used_at for token in tokens.read()] == [None]
    ask(text)
    (token,) = tokens.read()
    assert token.last_used_at is not None
    assert token.last_used_at.minute == token.last_used_at.second == 0


def test_who_was_known_is_answered_also_while_the_database_is_away(
    tmp_path: Path, dsn: str, clock: FakeClock, made: Callable[..., str]
) -> None:
    away = False
    api = an_api(tmp_path, lambda: None if away else dsn, clock)
    known, unknown = made(), made()
    assert request(api, "/", headers={"authorization": f"Bearer {known}"}, client=ELSEWHERE).status == 200
    away = True
    clock.advance(60)
    assert request(api, "/", headers={"authorization": f"Bearer {known}"}, client=ELSEWHERE).status == 200
    stranger = request(api, "/", headers={"authorization": f"Bearer {unknown}"}, client=ELSEWHERE)
    assert (stranger.status, stranger.headers["retry-after"]) == (503, "5")


def test_each_token_has_a_rate_of_its_own_and_made_up_ones_share_their_addresss(
    tmp_path: Path, dsn: str, clock: FakeClock, made: Callable[..., str]
) -> None:
    api = an_api(tmp_path, dsn, clock, api_requests_per_second=2)

    def ask(text: str) -> int:
        return request(api, "/", headers={"authorization": f"Bearer {text}"}, client=ELSEWHERE).status

    texts = [made(), made()]
    assert [ask(text) for text in texts] == [200, 200]  # until it is known, it counts as its address's
    assert [ask(f"cm_{n:012x}_{'x' * 43}") for n in range(4)] == [401, 401, 429, 429]
    assert [[ask(text) for _ in range(5)] for text in texts] == [[200, 200, 200, 200, 429]] * 2


def test_the_log_names_the_token_by_its_id_alone(ask: Ask, tokens: Tokens) -> None:
    token, text = tokens.create("write", timedelta(days=1), "")
    with capture_logs() as lines:
        ask(text, "/api/v1/change", "POST")
    assert [(line["token"], line["log_level"], line["status"]) for line in lines] == [(token.id, "info", 200)]
    assert text.split("_", 2)[2] not in str(lines)


# The command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", dsn)
    yield lambda *words: CliRunner().invoke(cli.command, words)


def test_a_token_is_made_shown_once_listed_and_revoked(call: Callable[..., Result], tokens: Tokens) -> None:
    created = call("create", "--scope", "write", "--expires", "90d", "--name", "bot")
    text = created.stdout.strip()
    assert TEXT.fullmatch(text)
    found = tokens.find(text)
    assert found is not None
    assert (found.scope, found.name, found.expires_at - found.created_at) == ("write", "bot", timedelta(days=90))
    listed = call("list").stdout.splitlines()
    assert listed[1].split() == [found.id, "write", *listed[1].split()[2:4], "good", "never", "bot"]
    assert call("revoke", text).stdout == f"token {found.id} is revoked\n"
    assert "revoked" in call("list").stdout
    assert TEXT.search(call("list").output) is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--scope", "read", "--expires", "0d"], "--expires=0d: should be a length of time"),
        (["--scope", "read", "--expires", "9999d"], "--expires=9999d: should be 3660d at most"),
        (["--scope", "read", "--expires", "1d", "--name", "a\nb"], "--name='a\\nb': should be a text of one line"),
        (["--scope", "admin", "--expires", "1d"], "'admin' is not one of 'read', 'write'"),
        (["--scope", "read"], "Missing option '--expires'"),
    ],
)
def test_what_cannot_be_made_is_named(call: Callable[..., Result], words: list[str], reason: str) -> None:
    result = call("create", *words)
    assert result.exit_code
    assert reason in f"{result.output} {result.exception}"


def test_a_token_that_there_is_not_is_not_repeated_on_the_screen(call: Callable[..., Result]) -> None:
    result = call("revoke", f"cm_{'0' * 12}_{'x' * 43}")
    assert result.exit_code
    assert str(result.exception) == "there is no such token that is not revoked; `token list` shows those there are"


def test_a_token_is_good_until_it_expires_or_is_revoked() -> None:
    token = Token("0" * 12, "", "read", NOON, NOON + timedelta(hours=1), None, None)
    assert token.is_good(NOON)
    assert not token.is_good(NOON + timedelta(hours=1))
    assert not replace(token, revoked_at=NOON).is_good(NOON)
