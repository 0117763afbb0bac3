"""The sockets of the API: which address may be used, and what is said where one may not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.listen import is_local, listen, url
from app.config import Settings, load
from app.errors import AlreadyRunning, ConfigurationError
from tests.ports import free_port

Listening = Callable[..., list[socket.socket]]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, port: int) -> Iterator[Listening]:
    """``listen`` with these settings; what it opened is closed in the end."""
    opened: list[socket.socket] = []

    def call(**changes: Any) -> list[socket.socket]:
        new = listen(settings(port, **changes))
        opened.extend(new)
        return new

    yield call
    for each in opened:
        each.close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds it would have waited for a port, one after the other."""
    waited: list[float] = []
    monkeypatch.setattr("retry.api.time", SimpleNamespace(sleep=waited.append))
    return waited


def settings(port: int, **changes: Any) -> Settings:
    return load(env_file=None, **{"api_host": "127.0.0.1", "api_port": port, "api_open_reads": False, **changes})


def has_ipv6() -> bool:
    with suppress(OSError), closing(socket.socket(socket.AF_INET6)) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_the_port_takes_connections_at_once(listening: Listening, port: int) -> None:
    (listener,) = listening()
    with socket.create_connection(("127.0.0.1", port), timeout=60):
        assert listener.getsockname() == ("127.0.0.1", port)


def test_a_busy_port_is_named_with_the_setting_that_changes_it(listening: Listening, port: int) -> None:
    listening()
    with pytest.raises(AlreadyRunning) as caught:
        listening()
    assert caught.value.exit_code == 75
    assert str(caught.value) == (
        f"port {port} of 127.0.0.1 is in use by another process; end that one, or set API_PORT to a free port"
    )


def test_a_port_that_its_last_holder_is_about_to_let_go_of_is_waited_for(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    (killed,) = listening()
    ends = iter([lambda: None, lambda: None, killed.close])
    monkeypatch.setattr("retry.api.time", SimpleNamespace(sleep=lambda seconds: next(ends)()))
    assert listening()
    assert next(ends, None) is None


def test_a_port_that_stays_busy_holds_the_start_up_for_less_than_a_second(
    listening: Listening, pauses: list[float]
) -> None:
    listening()
    assert pauses == []
    with pytest.raises(AlreadyRunning):
        listening()
    assert 0.5 < sum(pauses) < 1


def test_what_no_waiting_mends_is_said_at_once(listening: Listening, pauses: list[float]) -> None:
    with pytest.raises(ConfigurationError):
        listening(api_host="192.0.2.1")
    assert pauses == []


def test_a_port_that_others_bound_without_listening_is_busy_too(listening: Listening, port: int) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(AlreadyRunning):
            listening()


def test_a_port_is_free_again_right_after_it_was_used(listening: Listening, port: int) -> None:
    (listener,) = listening()
    with socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = listener.accept()
        accepted.close()
        listener.close()
        client.recv(1)
    assert listening()


def test_off_loopback_it_listens_too_and_that_can_be_told(listening: Listening, port: int) -> None:
    (listener,) = listening(api_host="0.0.0.0")
    assert url([listener]) == f"http://127.0.0.1:{port}"
    assert not is_local([listener])


def test_every_address_of_the_loopback_network_is_loopback(listening: Listening, port: int) -> None:
    listeners = listening(api_host="127.0.0.2")
    assert url(listeners) == f"http://127.0.0.2:{port}"
    assert is_local(listeners)


def test_localhost_is_loopback_by_every_address_it_has_here(listening: Listening, port: int) -> None:
    listeners = listening(api_host="localhost")
    assert {listener.getsockname()[0] for listener in listeners} <= {"127.0.0.1", "::1"}
    with socket.create_connection(("127.0.0.1", port), timeout=60):
        pass


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_stands_in_brackets(listening: Listening, port: int) -> None:
    assert url(listening(api_host="::1")) == f"http://[::1]:{port}"


def test_an_address_of_another_machine_is_named(listening: Listening) -> None:
    with pytest.raises(ConfigurationError, match=r"API_HOST=192\.0\.2\.1: this machine has no such address"):
        listening(api_host="192.0.2.1")


@pytest.mark.parametrize("host", ["a..b", "x" * 300])
def test_a_host_that_is_none_is_named(listening: Listening, host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"API_HOST={host}: is not an address or a host name"):
        listening(api_host=host)
