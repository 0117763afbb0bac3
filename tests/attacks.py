"""Texts that no honest client sends, and where they can be put: made from the OpenAPI document and all routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from tests import filled

T = TypeVar("T")

ATTACKS: Mapping[str, str | bytes] = {
    "SQL that is always true": "' OR '1'='1",
    "SQL behind a statement": "BTC'; DROP TABLE ticker_data; --",
    "SQL in a union": "1 UNION SELECT digest::text FROM tokens--",
    "SQL that waits": "1); SELECT pg_sleep(30); --",
    "SQL past a backslash": "\\'; DELETE FROM rules; --",
    "SQL in dollar quotes": "$$; TRUNCATE candles; $$",
    "SQL in a number": "1/(SELECT 0)",
    "a placeholder": "%(symbol)s %s %n {0.__class__} ${jndi:ldap://127.0.0.1/x}",
    "a path upwards": "../../../../etc/passwd",
    "a path in other bytes": "..%2f..%252f..\\..\\etc/passwd",
    "a file": "file:///etc/passwd",
    "a header": "x\r\nSet-Cookie: stolen=1\r\n\r\n<html>",
    "a line of the log": "x\n2026-11-22T10:15:03Z [info] forged",
    "markup": "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "a zero byte": "BTC\x00",
    "bytes that are no text": b"\xff\xfe\xc3\x28",
    "half a character": "\ud800",
    "other writing": "\u202eCTB \u0130\u017f\u212a\uff11 \U0001f4a9 e\u0301",
    "other digits": "\u0661\u0662",
    "much": "A" * 20_000,
    "a number without end": "9" * 5_000,
    "past 64 bits": str(2**63),
    "past 32 bits": str(2**31),
    "a negative number": "-1",
    "a negative past 64 bits": str(-(2**63) - 1),
    "no number": "NaN",
    "infinity": "-Infinity",
    "a large exponent": "1e999999999",
    "a fraction": "0.1",
    "a small fraction": "1e-400",
    "another base": "0x7fffffff",
    "underscores": "1_000",
    "a time before all": "0001-01-01T00:00:00+14:00",
    "a time after all": "9999-12-31T23:59:59.999999-14:00",
    "no day": "2026-02-30T25:61:61Z",
    "a bomb for patterns": "a" * 4_000 + "!" + "*" * 4_000,
    "a bomb of brackets": "(" * 3_000,
    "a bomb of JSON": "[" * 3_000,
    "an object": '{"$gt": ""}',
    "a wildcard": "%",
    "nothing": "",
    "blanks": "  \t ",
    "null": "null",
}
"""By what they are; as text, or as the bytes themselves."""

VALUES: Mapping[str, object] = {
    **{
        what: ATTACKS[what]
        for what in (
            "SQL behind a statement",
            "a placeholder",
            "a path upwards",
            "a line of the log",
            "markup",
            "a zero byte",
            "half a character",
            "much",
            "a number without end",
            "a large exponent",
            "a time before all",
            "a time after all",
            "a bomb for patterns",
            "a bomb of brackets",
            "nothing",
        )
    },
    "a number": 2**63,
    "a huge number": 10**400,
    "a float": -1e308,
    "a truth": True,
    "a list of lists": [[[[[]]]]],
    "objects": {"__class__": {"__init__": {}}},
    "nothing at all": None,
}
"""For the places of a body."""

WHOLE = {
    "no JSON": b"{'a': 1}",
    "a part of JSON": b'{"name": "x',
    "nesting": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "lists in lists": b"[" * 100_000,
    "bytes that are no text": b'{"name": "\xff\xfe"}',
    "half a character": b'{"why": "\\ud800"}',
    "zero bytes": b'{"why": "a\\u0000b", "name": "\\u0000", "note": "\\u0000", "entry": "\\u0000"}',
    "no numbers": b'{"a": NaN, "b": Infinity}',
    "a number without end": b'{"limit": ' + b"9" * 500_000 + b"}",
    "an exponent": b'{"amount": 1e99999999999}',
    "nothing": b"",
    "null": b"null",
    "a text": b'"text"',
    "a list": b"[]",
    "many keys": b"{" + b",".join(b'"k%d":1' % number for number in range(10_000)) + b"}",
}
"""Instead of a body."""

_VALID = {"type": "price", "symbol": "BTC", "base": "BTC", "name": filled.RULE, "entry": "BTC"}
_NEEDED: Mapping[str, Mapping[str, str]] = {
    "/api/v1/detect_transfers": {"transactions": '[[1,"a","2026-11-22T10:00:00Z","out","5"]]'},
    "/udf/symbols": {"symbol": "BTC"},
    "/udf/history": {"symbol": "BTC", "resolution": "60", "from": "1795300000", "to": "1795390000"},
    "/udf/marks": {"symbol": "BTC", "resolution": "60", "from": "1795300000", "to": "1795390000"},
    "/simple/price": {"ids": "bitcoin", "vs_currencies": "usd"},
    "/coins/markets": {"vs_currency": "usd"},
    "/market_chart": {"vs_currency": "usd", "days": "1"},
    "/market_chart/range": {"vs_currency": "usd", "from": "1795300000", "to": "1795390000"},
    "/ohlc": {"vs_currency": "usd", "days": "1"},
}
"""What a request that is right has, by the end of its address."""

_UNDOCUMENTED = {
    "/udf/symbols": "symbol",
    "/udf/search": "query type exchange limit",
    "/udf/history": "symbol resolution from to countback",
    "/udf/marks": "symbol from to resolution",
    "/simple/price": "ids names symbols vs_currencies precision include_market_cap include_24hr_vol "
    "include_24hr_change include_last_updated_at",
    "/coins/list": "status include_platform",
    "/coins/markets": "vs_currency ids names symbols category order per_page page precision sparkline "
    "price_change_percentage",
    "/market_chart": "vs_currency days interval precision",
    "/market_chart/range": "vs_currency from to interval precision",
    "/ohlc": "vs_currency days interval precision",
}
"""The parameters of those that no document describes: they speak as others do."""


@dataclass(frozen=True)
class Target:
    """One parameter of one route, and all that a request beside it needs."""

    method: str
    path: str
    place: str
    """path, query or header"""
    name: str
    body: bytes = b""
    needed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.place} {self.name}"

    def request(self, attack: str | bytes) -> tuple[str, dict[str, str]]:
        """The address, and the headers."""
        sent = attack if isinstance(attack, bytes) else attack.encode(errors="surrogatepass")
        path = address(self.path, **({self.name: sent} if self.place == "path" else {}))
        query: dict[str, str | bytes] = {**self.needed}
        if self.place == "query":
            query[self.name] = sent
        header = {self.name: sent.decode("latin-1")} if self.place == "header" else {}
        return f"{path}?{urlencode(query)}" if query else path, header


def address(path: str, **given: bytes) -> str:
    """Of something that there is, but for what is given."""
    valid = {**_VALID, "id": filled.ALERTED if "alerts" in path else "1"}
    return re.sub(r"{(\w+)(?::path)?}", lambda m: quote(given.get(m[1], valid[m[1]]), safe=""), path)


def targets(document: Mapping[str, Any], method: str, path: str) -> Iterator[Target]:
    """All parameters of a route."""
    operation = _operation(document, method, path)
    its = {("path", name) for name in re.findall(r"{(\w+)", path)}
    its |= {(parameter["in"], parameter["name"]) for parameter in operation.get("parameters", ())}
    its |= {("query", name) for name in _by_end(_UNDOCUMENTED, path, "").split()}
    if operation and method == "GET":
        its.add(("header", "if-none-match"))
    needed = _by_end(_NEEDED, path, {}) if method == "GET" else {}
    body = b"{}" if "requestBody" in operation else b""
    for place, name in sorted(its):
        yield Target(method, path, place, name, body, needed)


def _operation(document: Mapping[str, Any], method: str, path: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document["paths"].get(path.replace(":path", ""), {}).get(method.lower(), {})
    return found


def _by_end(known: Mapping[str, T], path: str, default: T) -> T:
    ends = [end for end in known if path.endswith(end)]
    return known[max(ends, key=len)] if ends else default


def bodies(document: Mapping[str, Any], method: str, path: str, most_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Bodies of a route that takes some: the whole of them wrong, and each value of its examples."""
    operation = _operation(document, method, path)
    if "requestBody" not in operation:
        return
    yield from WHOLE.items()
    yield "more than it may have", b" " * (most_bytes + 1)
    media = operation["requestBody"]["content"]["application/json"]
    for number, example in enumerate(_examples(document, media)):
        for place in _places(example):
            for what, attack in VALUES.items():
                yield f"example {number}, {place}: {what}", json.dumps(_with(example, place, attack)).encode()


def _examples(document: Mapping[str, Any], media: Mapping[str, Any]) -> list[Any]:
    named = [its["value"] for its in media.get("examples", {}).values()]
    return [*named, *([media["example"]] if "example" in media else ()), _example(document, media["schema"])]


def _example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """A value with everything in it that a schema names."""
    if "$ref" in schema:
        return _example(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "properties" in schema:
        return {name: _example(document, its) for name, its in schema["properties"].items()}
    if "items" in schema:
        return [_example(document, schema["items"])]
    if kinds := schema.get("anyOf") or schema.get("oneOf") or schema.get("prefixItems"):
        return _example(document, kinds[0])
    return [*schema.get("examples", ()), *schema.get("enum", ()), "1"][0]


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the values of a document are."""
    if path:
        yield path
    its: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in its:
        yield from _places(inner, (*path, key))


def _with(value: Any, path: tuple[str | int, ...], attack: Any) -> Any:
    if not path:
        return attack
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], attack)
    return copy
