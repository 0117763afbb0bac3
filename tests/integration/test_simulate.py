"""The simulator as a server and as a command."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from app.clock import SystemClock
from app.errors import AlreadyRunning, ConfigurationError
from app.simulate.recording import read
from app.simulate.server import Server
from app.simulate.synthetic import SyntheticMarket
from app.simulate.timeline import Timeline
from tests.clock import FakeClock
from tests.conftest import SHARED

ROOT = Path(__file__).parents[2]
CRASH = SHARED / "data/market/demo/demo_ticker_1m_btc_eth_zec_2021-04-18_crash.csv.gz"
PRICES = "/simple/price?ids=bitcoin,ethereum,zcash&vs_currencies=usd&include_24hr_vol=true&include_last_updated_at=true"
IDS = {"BTC": "bitcoin", "ETH": "ethereum", "ZEC": "zcash"}


@pytest.fixture
def simulator() -> Iterator[Server]:
    clock = SystemClock()
    with Server(SyntheticMarket(2), Timeline(clock, 60), clock) as server:
        yield server


def test_every_reply_is_labelled_dated_and_sent_over_one_kept_connection(simulator: Server) -> None:
    address = urlsplit(simulator.url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    connection.connect()
    socket_at_first = connection.sock
    for path in (address.path + PRICES, "/", "/api/v3/ping", "/api/v3/coins/nobody/market_chart", "/nowhere"):
        connection.request("GET", path)
        reply = connection.getresponse()
        assert reply.read()
        assert reply.headers["X-Market"] == "synthetic seed=2"
        assert abs(parsedate_to_datetime(reply.headers["Date"]).timestamp() - time.time()) < 60
        assert connection.sock is socket_at_first
    connection.close()


def test_a_post_with_a_body_does_not_confuse_the_connection(simulator: Server) -> None:
    with requests.Session() as session:
        control = f"{simulator.root}/simulate/throttle?seconds=60&retry_after=7"
        assert session.post(control, data=b"x" * 1_000, timeout=60).json() == {"seconds": 60.0, "retry_after": 7}
        refusal = session.get(simulator.url + "/ping", timeout=60)
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "7")
        session.post(f"{simulator.root}/simulate/throttle?seconds=0", timeout=60)
        assert session.get(simulator.url + "/ping", timeout=60).json() == {"gecko_says": "(V3) To the Moon!"}


def test_a_head_has_no_body(simulator: Server) -> None:
    connection = HTTPConnection(str(urlsplit(simulator.url).hostname), urlsplit(simulator.url).port, timeout=60)
    for method, length in (("HEAD", 0), ("GET", 34), ("HEAD", 0)):
        connection.request(method, "/api/v3/ping")
        reply = connection.getresponse()
        assert (reply.status, reply.headers["Content-Length"], len(reply.read())) == (200, "34", length)
    connection.close()


def test_a_server_that_was_stopped_answers_nobody_and_frees_its_port() -> None:
    clock = SystemClock()
    server = Server(SyntheticMarket(2), Timeline(clock, 60), clock)
    server.start()
    with requests.Session() as session:
        assert session.get(server.url + "/ping", timeout=60).ok
        server.stop()
        with pytest.raises(requests.ConnectionError):
            session.get(server.url + "/ping", timeout=60)
    assert "simulate" not in [thread.name for thread in threading.enumerate()]
    port = int(server.root.rsplit(":", 1)[1])
    with Server(SyntheticMarket(2), Timeline(clock, 60), clock, port=port) as again:
        assert again.root == server.root


def test_a_busy_port_and_an_address_of_others_are_refused(simulator: Server) -> None:
    clock = SystemClock()
    port = int(simulator.root.rsplit(":", 1)[1])
    with pytest.raises(AlreadyRunning, match=f"--port {port}"):
        Server(SyntheticMarket(2), Timeline(clock, 60), clock, port=port)
    with pytest.raises(ConfigurationError, match=r"--host 192.0.2.1"):
        Server(SyntheticMarket(2), Timeline(clock, 60), clock, host="192.0.2.1")


def test_many_clients_at_once_are_answered(simulator: Server) -> None:
    failures: list[object] = []

    def poll() -> None:
        with requests.Session() as session:
            for _ in range(20):
                reply = session.get(simulator.url + PRICES, timeout=60)
                if reply.status_code != 200 or len(reply.json()) != 3:
                    failures.append(reply.text)

    threads = [threading.Thread(target=poll) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(not CRASH.exists(), reason="the recorded market is not here")
def test_a_recorded_market_is_served_minute_by_minute_with_every_digit() -> None:
    clock = FakeClock()
    timeline = Timeline(clock, 60)
    market = read(CRASH, timeline.start)
    served: list[tuple[str, int, str, str]] = []
    with Server(market, timeline, clock) as server, requests.Session() as session:
        for _ in range(720):
            reply = session.get(server.url + PRICES + "&precision=full", timeout=60)
            assert reply.headers["X-Market"] == f"recording {CRASH.name}"
            for coin, price, volume, stamp in re.findall(
                r'"(\w+)":{"usd":([^,]+),"usd_24h_vol":([^,]+),"last_updated_at":(\d+)}', reply.text
            ):
                served.append((coin, int(stamp) - timeline.start, price, volume))
            clock.advance(1)
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(CRASH.read_bytes()).decode())))
    minutes = sorted({row["ts"] for row in rows})
    assert len(served) == len(rows) == 2_160
    assert sorted(served) == sorted(
        (IDS[row["symbol"]], minutes.index(row["ts"]) * 60, row["price"], row["volume_24h_usd"]) for row in rows
    )


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, started; and the line it prints when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "simulate", "--port", "0", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONWARNINGS"},
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0], "not ready within 60 s"
        yield process, process.stdout.readline()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_where_it_is_and_a_signal_ends_it_at_once(number: signal.Signals) -> None:
    with running() as (process, line), requests.Session() as session:
        match = re.fullmatch(
            r"simulate: SYNTHETIC market \(seed (\d+)\) on (http://127\.0\.0\.1:\d+/api/v3),"
            r" market time \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ at 60x\n",
            line,
        )
        assert match is not None, line
        reply = session.get(match[2] + PRICES, timeout=60)  # its connection stays open
        assert reply.headers["X-Market"] == f"synthetic seed={match[1]}"
        asked = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - asked < 5
        assert (process.returncode, out, err) == (0, "", "")


def test_the_command_replays_a_file_and_takes_speed(tmp_path: Path) -> None:
    path = tmp_path / "a day.csv"
    path.write_text("ts,symbol,price,volume_24h_usd\n2021-04-17T21:01:00Z,WIF,0.120,3\n", encoding="utf-8")
    with running("--data", str(path), "--speed", "2.5") as (_, line):
        assert line.startswith("simulate: recording a day.csv (WIF, 0:00:00) on http://127.0.0.1:")
        assert line.endswith("Z at 2.5x\n")
        url = line.split(" on ")[1].split(",")[0]
        reply = requests.get(f"{url}/simple/price?ids=wif&vs_currencies=usd&precision=full", timeout=60)
        assert reply.text == '{"wif":{"usd":0.120}}'
        assert reply.headers["X-Market"] == "recording a day.csv"


def test_a_seed_that_begins_calm_is_kept_and_said() -> None:
    start = int(time.time()) - 86_400
    calm = next(
        seed for seed in range(1, 99) if not any(SyntheticMarket(seed).is_lively(start + s) for s in (0, 5, 30))
    )
    with running("--seed", str(calm)) as (process, line):
        assert f"(seed {calm})" in line
        process.terminate()
        assert "begins calm" in process.communicate(timeout=60)[1]


def test_what_cannot_work_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    def ends_with(*arguments: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-m", "app", "simulate", *arguments],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.stdout == ""
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stderr

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, text = ends_with("--port", str(port))
    assert (code, text.count("\n")) == (75, 1)
    assert f"--port {port}: in use" in text
    code, text = ends_with("--data", str(tmp_path / "nothing.csv"))
    assert (code, text.count("\n")) == (78, 1)
    assert "nothing.csv: cannot be read" in text
    code, text = ends_with("--data", "x", "--seed", "1")
    assert code == 2
    assert "one of them" in text
