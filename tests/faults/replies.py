"""Replies that are cut, damaged or meant to harm, and values that are none: each costs itself, not its neighbours."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from tests.faults.provider import Market, Row
from tests.faults.scene import Fault, Run
from tests.faults.stand import Stand, stand

_COINS = 12

# What may stand in the place of a price, as JSON text. None of it is a price.
_WORDS = [
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "-Infinity",
    "[]",
    "{}",
    '"-"',
    "0",
    "-0.0",
    "0e5",
    "1e999",
    "-1e999",
]
ODD = st.one_of(
    st.sampled_from(_WORDS),
    st.integers(max_value=0).map(str),
    st.floats(max_value=0).map(json.dumps),
    st.integers(min_value=37, max_value=5000).map(lambda n: f"1e{n}"),
    st.integers(min_value=37, max_value=5000).map(lambda n: f"1e-{n}"),
    st.integers(min_value=101, max_value=1000).map(lambda n: "1." + "123456789"[n % 9] * n),
    st.text(max_size=40).map(json.dumps),
    st.lists(st.integers(), max_size=3).map(json.dumps),
    st.dictionaries(st.text("abc", max_size=5), st.integers(), max_size=3).map(json.dumps),
)
_ODD_TIME = st.one_of(
    st.sampled_from(
        ['"2024-02-29T22:30:00Z"', "true", "-1", "0", "1230940799", "1e30", "9999999999999", "1.5", "NaN", "[]"]
    ),
    st.integers(max_value=1230940799).map(str),
    st.integers(min_value=4102444800).map(str),
)


class OddMarket(Market):
    """Some of its coins are served with a value that none is; those are not in its rows."""

    def __init__(self, seed: int, coins: int, odd: list[tuple[str, str]]) -> None:
        super().__init__(seed, coins)
        self._odd, self.served = odd, 0
        self._spoilt: dict[int, list[Row]] = {}

    def rows(self, number: int) -> tuple[Row, ...]:
        dice = Random(f"{self._seed}/{number}")
        spoilt = dice.sample(range(len(self.coins)), dice.randint(1, 6)) if self.served < len(self._odd) else []
        whole = super().rows(number)
        self._spoilt[int(whole[0].time.timestamp())] = [whole[place] for place in spoilt]
        return tuple(row for place, row in enumerate(whole) if place not in spoilt)

    def body(self, rows: tuple[Row, ...]) -> bytes:
        good = super().body(rows)
        time = int(rows[0].time.timestamp())
        parts = [good.decode()[1:-1]]
        for row in self._spoilt.pop(time):
            field, value = self._odd[self.served % len(self._odd)]
            self.served += 1
            parts.append(self._spoil(super().body((row,)).decode()[1:-1], field, value))
        return ("{" + ",".join(parts) + "}").encode("utf-8", "surrogatepass")

    def _spoil(self, coin: str, field: str, value: str) -> str:
        if field == "coin":
            return re.sub(r":\{.*\}", lambda _: f":{value}", coin, count=1)
        return re.sub(rf'"{field}":[^,}}]*', lambda _: f'"{field}":{value}', coin, count=1)


def odd_values(run: Run, times: int) -> None:
    """A price, a time or a whole coin that is none: the others of its reply are kept, and it is said what was lost."""
    odd = _sampled(run, times)
    made: list[OddMarket] = []

    def market(seed: int, coins: int) -> Market:
        made.append(OddMarket(seed, coins, odd))
        return made[0]

    with stand(run, coins=_COINS, market=market) as scene:
        scene.start()
        scene.warm.wait_for(lambda: made[0].served >= times, "all odd values are served")
        scene.polls(20)
        if "cannot be used" not in scene.said():
            run.problem("odd values were served, and nobody said so")


def _sampled(run: Run, times: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    @hypothesis_seed(run.dice.randrange(2**32))
    @settings(
        max_examples=2 * times, database=None, phases=[Phase.generate], deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        st.one_of(st.tuples(st.sampled_from(["usd", "coin"]), ODD), st.tuples(st.just("last_updated_at"), _ODD_TIME))
    )
    def collect(one: tuple[str, str]) -> None:
        # A coin that is {} has no price and no time; what lies in an object of any other kind is no price of ours.
        found.append(one)

    collect()
    return run.dice.sample(found, min(times, len(found)))


Hostile = Callable[[bytes, Random], bytes]


def _head(body: bytes, *more: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *more]
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != -1 else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def _damaged_byte(body: bytes, dice: Random) -> bytes:
    # Outside of strings and numbers: a digit that is another digit is a price.
    place = dice.choice([m.start() for m in re.finditer(rb'[{}:]|"(?=[:a-z])', body)])
    return body[:place] + b"\0" + body[place + 1 :]


_HOSTILE: tuple[Hostile, ...] = (
    lambda body, dice: _head(body[: dice.randrange(len(body))]),
    lambda body, dice: _head(body[: dice.randrange(len(body))]),
    lambda body, dice: _head(body[: dice.randrange(len(body))]),
    lambda body, dice: _head(_damaged_byte(body, dice)),
    lambda body, dice: _head(b"\xff\xfe" + body),
    lambda body, dice: _head(body[:20] + b"\xc3\x28" + body[20:]),
    lambda body, dice: _head(body + body),
    lambda body, dice: _head(b"[" * dice.choice([10, 1000, 100_000])),
    lambda body, dice: _head(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    lambda body, dice: _head(b""),
    lambda body, dice: _head(b"null"),
    lambda body, dice: _head(b"<html><body>Attention Required! | Cloudflare</body></html>"),
    lambda body, dice: _head(body, status=dice.choice(["500 Oops", "502 Bad Gateway", "503 Busy", "404 Not Found"])),
    lambda body, dice: _head(gzip.compress(body)[: dice.randrange(10, 60)], "Content-Encoding: gzip"),
    lambda body, dice: _head(body, "Content-Encoding: gzip"),
    lambda body, dice: _head(gzip.compress(b" " * 30_000_000), "Content-Encoding: gzip"),
    lambda body, dice: _head(b"5\r\n{\"bit\r\nzzz\r\n", "Transfer-Encoding: chunked", length=-1),
    lambda body, dice: _head(b"", "Location: http://127.0.0.1:1/elsewhere", status="302 Found"),
    lambda body, dice: b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n" + body,
    lambda body, dice: b"\x16\x03\x01\x02\x00" + dice.randbytes(200),
)  # fmt: skip


def hostile_bodies(run: Run, times: int) -> None:
    """Every other reply is none: refused, with its reason, in bounded memory, and the next good one is taken."""
    dice = Random(run.dice.random())
    template = Market(1).body(Market(1).rows(1))
    sent = 0

    def bad(number: int) -> bytes | None:
        nonlocal sent
        if number % 2 or sent >= times:
            return None
        sent += 1
        return _HOSTILE[sent % len(_HOSTILE)](template, dice)

    with stand(run, bad=bad) as scene:
        scene.start()
        scene.warm.wait_for(lambda: sent >= times, "all bodies are sent", 60 + times)
        scene.polls(20)
        sources = scene.status().get("sources")
        failures = sources["coingecko"]["failures"] if isinstance(sources, dict) else -1
        if failures < times:
            run.problem(f"{times} hostile bodies were sent, and {failures} were refused")
        if (peak := _peak_mb(scene.pid)) > 250:
            run.problem(f"hostile bodies took {peak} MB")
        run.note(f"at most {_peak_mb(scene.pid)} MB of memory")


def the_same_again(run: Run, times: int) -> None:
    """Every other reply is one that was there before, the last or an older: nothing is stored or said twice."""
    dice = Random(run.dice.random())
    served: list[Stand] = []
    repeated = 0

    def bad(number: int) -> bytes | None:
        nonlocal repeated
        if number % 2 or not served or not served[0].provider.replies:
            return None
        repeated += 1
        provider = served[0].provider
        again = max(0, len(provider.replies) - 1 - dice.choice([0, 0, 0, 1, 5]))
        return _head(provider.market.body(provider.market.rows(again)))

    with stand(run, bad=bad) as scene:
        served.append(scene)
        scene.start()
        scene.warm.wait_for(lambda: repeated >= times, "all of them are sent", 60 + times)
        scene.polls(5)


def _peak_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


FAULTS = (
    Fault("truncated or hostile bodies", hostile_bodies, (20, 200, 2000), in_a_scene=100),
    Fault("the same again", the_same_again, (20, 200, 2000), in_a_scene=200),
    Fault("odd values", odd_values, (60, 500, 20_000), in_a_scene=500),
)
