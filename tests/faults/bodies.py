"""Replies that no provider should give, and what has to come of each: a table by hand, and dice to combine it.

Nothing here knows the product's decoder. ``odd`` makes a whole reply with odd values in it, and says which values have
to survive, digit for digit; ``hostile`` makes a reply of which nothing may survive.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

from tests.provider import Answer, raw, reply

COINS = ("bitcoin", "ethereum", "zcash")

# What may stand where a price, a volume or a market cap belongs, as the provider writes it.
GOOD_AMOUNTS = (
    "1e-30", "5.6366E-11", "0.00001261", "1.0", "60997", "1e36", "1E+3", "0.1234567890123456789012345678901234567890",
    "123456789012345678901234567890.1234567890", "76975.000", "9007199254740993", "1e-36",
)  # fmt: skip
BAD_AMOUNTS = (
    "NaN", "Infinity", "-Infinity", "-1e999", "1e999", "1e308", "-1", "-0.5", "0", "0.0", "-0.0", "-0", "0e10", "null",
    '"123"', '"1,2"', '"NaN"', '""', "true", "false", "[]", "[1]", "{}", '{"usd": 1}', "1e-37", "1e37",
    "1e99999999999999999999", "-1e-99999999999999999999", f"1.{'1' * 120}", "9" * 5000,
)  # fmt: skip

# What may stand where a coin belongs, instead of an object.
BAD_COINS = ("null", "[]", '[{"usd": 1}]', "1", '"bitcoin"', "true", "NaN", "{}", '{"eur": 5}', '{"usd": null}')


def good_times(now: int) -> dict[str, int | None]:
    """Texts of a ``last_updated_at`` that is to be taken, and the time it means; None: that of the fetch."""
    return {
        str(now): now,
        str(now + 60): now + 60,
        f"{now}.0": now,
        "1.578961668e9": 1578961668,
        str(now - 7 * 86400): now - 7 * 86400,  # stale, but a time
        "1230940800": 1230940800,  # the very first
        "1483228800": 1483228800,  # the second after a leap second, which UNIX time does not have
        "null": None,
    }


def bad_times(now: int) -> tuple[str, ...]:
    """Texts of a ``last_updated_at`` with which a coin has to go."""
    return (
        str(now + 61), str(now + 86400), str(now * 1000), str(now * 1000_000), "2147483648", "4102444800", "1e300",
        f'"{now}"', '"2026-11-22T10:00:00Z"', '"2016-12-31T23:59:60Z"', f"{now}.5", f"-{now}", "0", "-1", "1230940799",
        "true", "[]", "{}", "NaN", "Infinity", "-1e999",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """What has to become a tick: UNIX time (None: that of the fetch) and values as published, None where lost."""

    time: int | None
    price: str
    volume: str | None
    cap: str | None


@dataclass(frozen=True, slots=True)
class Odd:
    """A reply with odd values, what is odd about it, and the ticks by coin that have to come of it."""

    what: str
    body: bytes
    kept: Mapping[str, Kept]


@dataclass(frozen=True, slots=True)
class Hostile:
    """A reply of which nothing may survive. ``pauses``: it asks the client to stay away, or for a person."""

    what: str
    answer: Answer
    pauses: bool = False


def odd(dice: Random, now: int) -> Odd:
    """One, by the dice; ``now`` is what the provider's clock says when it is served, in UNIX seconds."""
    coins: dict[str, str] = {}
    kept: dict[str, Kept] = {}
    said = []
    for coin in dice.sample(COINS, len(COINS)):
        what, text, tick = _coin(dice, coin, now) if dice.random() < 0.6 else _plain(dice, now)
        if what:
            said.append(f"{coin}: {what}")
        if text is not None:
            coins[coin] = text
        if tick is not None:
            kept[coin] = tick
    texts = [f'"{coin}":{text}' for coin, text in coins.items()]
    if dice.random() < 0.2:
        said.append("an extra coin")
        texts.insert(dice.randrange(len(texts) + 1), f'"dogecoin":{dice.choice([*BAD_COINS, _object(usd="1")])}')
    if coins and dice.random() < 0.1:
        twice = dice.choice(list(coins))
        said.append(f"{twice} is there twice")
        texts.append(f'"{twice}":{coins[twice]}')
        kept.pop(twice, None)
    space = dice.choice(["", " ", "\r\n\t"])
    return Odd("; ".join(said) or "nothing", f"{{{space}{f',{space}'.join(texts)}{space}}}".encode(), kept)


def _plain(dice: Random, now: int) -> tuple[str, str, Kept]:
    price, volume, cap = (str(dice.randrange(1, 10**12)) + f".{dice.randrange(10**6)}" for _ in range(3))
    return "", _object(usd=price, volume=volume, cap=cap, time=str(now)), Kept(now, price, volume, cap)


def _coin(dice: Random, coin: str, now: int) -> tuple[str, str | None, Kept | None]:
    """(what is odd, its text if it is there at all, what has to come of it)"""
    _, _, plain = _plain(dice, now)
    if dice.random() < 0.1:
        return "is missing", None, None
    if dice.random() < 0.15:
        text = dice.choice(BAD_COINS)
        return f"is {text}", text, None
    values = {"usd": plain.price, "volume": plain.volume, "cap": plain.cap, "time": str(now)}
    expected: dict[str, str | None] = {place: values[place] for place in ("usd", "volume", "cap")}
    time, has_time = plain.time, True
    said = []
    for place in dice.sample(("usd", "volume", "cap", "time"), dice.randrange(1, 4)):
        good = dice.random() < 0.5
        missing = dice.random() < 0.15
        if place == "time":
            times = good_times(now)
            text = None if missing else dice.choice(list(times) if good else bad_times(now))
            has_time = text is None or text in times
            time = times.get(text) if text is not None else None
        else:
            text = None if missing else dice.choice(GOOD_AMOUNTS if good else BAD_AMOUNTS)
            expected[place] = text if good else None
        values[place] = text
        said.append(f"{place} {'is missing' if text is None else text[:50]}")
    body = _object(**values)
    if dice.random() < 0.1:
        said.append("another currency too")
        body = f'{{"eur":{dice.choice(BAD_AMOUNTS)},{body[1:]}'
    price = expected["usd"]
    tick = Kept(time, price, expected["volume"], expected["cap"]) if price is not None and has_time else None
    return ", ".join(said), body, tick


def _object(usd: str | None = None, volume: str | None = None, cap: str | None = None, time: str | None = None) -> str:
    names = {"usd": usd, "usd_24h_vol": volume, "usd_market_cap": cap, "last_updated_at": time}
    return "{" + ",".join(f'"{name}":{text}' for name, text in names.items() if text is not None) + "}"


# Replies of which nothing may survive.

HTML = b"<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title><body>Error 1020</body></html>"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_GZIP = {"Content-Encoding": "gzip"}


_BLOCK = 64 * 2**20


@cache
def bomb(size: int) -> bytes:
    """So many zero bytes (a multiple of 64 MiB) in one gzip stream, made without ever being whole."""
    pack, zeros = zlib.compressobj(9, wbits=-15), bytes(_BLOCK)
    block = pack.compress(zeros) + pack.flush(zlib.Z_FULL_FLUSH)  # which stands for itself, so it can be repeated
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return head + block * (size // _BLOCK) + b"\x03\x00" + bytes(8)  # nobody gets as far as the checksum


def truncated(whole: bytes) -> Iterator[Hostile]:
    """The body cut at every byte, and said to be whole."""
    for end in range(len(whole)):
        yield Hostile(f"cut after {end} bytes", reply(whole[:end]))


def hostile(whole: bytes) -> list[Hostile]:
    """Each kind once; ``whole`` is the body of a good reply."""
    text = whole.decode()
    bodies = {
        "empty": b"",
        "spaces": b" " * 1000,
        "zero bytes": bytes(1000),
        "HTML": HTML,
        "text": b"Throttled",
        "a list": b"[" + whole + b"]",
        "a number": b"5",
        "null": b"null",
        "a string": json.dumps(text).encode(),
        "NaN": b"NaN",
        "not UTF-8": whole[:-1] + b',"\xff\xfe":1}',
        "UTF-16": text.encode("utf-16"),
        "Latin-1": whole[:-1] + b',"caf\xe9":1}',
        "two of them": whole + whole,
        "rubbish behind it": whole + b"</html>",
        "a comma too many": whole[:-1] + b",}",
        "no quotes": text.replace('"', "").encode(),
        "single quotes": text.replace('"', "'").encode(),
        "a comment": b"/* prices */" + whole,
        "a callback": b"callback(" + whole + b")",
        "nested lists": b"[" * 100_000,
        "nested objects": b'{"a":' * 100_000,
        "nested and closed": b"[" * 100_000 + b"]" * 100_000,
        "nested in a coin": b'{"bitcoin":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "a control character": whole[:-1] + b',"\x01":1}',
        "far too many values": b"[" + b"1," * 1_000_000 + b"1]",
        "far too large": b'"' + b" " * (20 * 2**20) + b'"',
    }
    statuses = {
        204: False, 206: False, 302: False, 304: False, 307: False, 404: False, 408: False, 500: False, 502: False,
        503: False, 504: False, 520: False, 301: True, 308: True, 401: True, 403: True, 418: True, 429: True, 451: True,
    }  # fmt: skip
    length = {"Content-Length": str(len(whole) + 1)}
    raws = {
        "nothing at all": b"",
        "no HTTP": whole,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "a length that is too large": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + whole,
        "a length that is too small": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" + whole,
        "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + whole[:-1],
        "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + whole[:-1],
        "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n" + whole[:-1],
        "no last chunk": _CHUNKED + b"%x\r\n%s\r\n" % (len(whole), whole),
        "half a chunk": _CHUNKED + b"ffff\r\n" + whole,
        "no size of a chunk": _CHUNKED + b"zz\r\n" + whole,
        "a negative chunk": _CHUNKED + b"-5\r\n" + whole,
        "a chunk of minus one": _CHUNKED + b"-1\r\n" + whole,
        "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "a bad status": b"HTTP/1.1 abc OK\r\n\r\n" + whole,
        "many headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 999 + b"\r\n" + whole,
        "a long header": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_999 + b"\r\n\r\n" + whole,
    }
    packed = {
        "not packed": whole,
        "half packed": gzip.compress(whole)[:-20],
        "a flipped bit": bytes(byte ^ (16 * (at == 12)) for at, byte in enumerate(gzip.compress(whole))),
        "a bomb": bomb(_BLOCK),
        "rubbish packed": gzip.compress(HTML),
    }
    return [
        *(Hostile(what, reply(body)) for what, body in bodies.items()),
        *(Hostile(f"{what}, packed", reply(body, headers=_GZIP)) for what, body in packed.items()),
        Hostile("two bombs in one", reply(gzip.compress(bomb(_BLOCK)), headers={"Content-Encoding": "gzip, gzip"})),
        *(Hostile(what, raw(content, then_close=True)) for what, content in raws.items()),
        *(
            Hostile(f"status {status}, {what}", reply(_body(status, body), status, {"Location": "/"}), pauses)
            for status, pauses in statuses.items()
            for what, body in (("HTML", HTML), ("the very body", whole), ("none", b""))
        ),
        Hostile("a length that is one too large", raw(_with(length) + whole, then_close=True)),
    ]


def _body(status: int, body: bytes) -> bytes:
    return b"" if status in (204, 304) else body


def _with(headers: Mapping[str, str]) -> bytes:
    return ("HTTP/1.1 200 OK\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode()


# Replies with something wrong anywhere.

_PIECES = (
    b"\r\n", b"\n", b"\r", b"\0", b":", b";", b",", b"=", b" ", b"%", b"\xff", b"\xc2\x85", b"[", b"]", b"//", b"http://[",
    b"-1", b"-5", b"0x", b"1e9", b"99999999999999999999", b"204", b"304", b"HTTP/9.9", b"gzip", b"deflate", b"\x1f\x8b",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Set-Cookie: \xff=\x00\r\n", b"Connection: close\r\n",
    b"Retry-After: 99999999999999999999\r\n", b"Date: x\r\n", b"Location: \x1b[31m\r\n",
)  # fmt: skip


def mangled(dice: Random, whole: bytes) -> bytes:
    """A whole reply, head and body, with bytes of it changed, cut out, put in or repeated, by the dice."""
    packed, half = gzip.compress(whole), len(whole) // 2
    reply_ = bytearray(
        dice.choice(
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(whole), whole),
                _CHUNKED
                + b"%x\r\n%s\r\n" % (half, whole[:half])
                + b"%x\r\n%s\r\n" % (half, whole[half:])
                + b"0\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed),
                b"HTTP/1.0 200 OK\r\nContent-Encoding: deflate, gzip\r\n\r\n" + packed,
                b"HTTP/1.1 429 Too Many\r\nRetry-After: 5\r\nSet-Cookie: a=b; path=/\r\nContent-Length: 2\r\n\r\n{}",
                b"HTTP/1.1 301 Moved\r\nLocation: http://a.example/b?c\r\nContent-Length: 0\r\n\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n" + _CHUNKED + b"0\r\nX: y\r\n\r\n",
            )
        )
    )
    for _ in range(dice.choice((1, 1, 2, 3, 6))):
        at = dice.randrange(len(reply_) + 1)
        match dice.randrange(4):
            case 0:
                reply_[at : at + 1] = dice.randbytes(1)
            case 1:
                reply_[at : at + dice.randrange(8)] = dice.choice(_PIECES)
            case 2:
                del reply_[at : at + dice.choice((1, 2, 5, 20))]
            case 3:
                start = dice.randrange(len(reply_) + 1)
                reply_[at:at] = reply_[start : start + dice.randrange(30)]
    return bytes(reply_)
