"""``/docs``: what ``/openapi.json`` tells programs, as a page for people; without a script, and without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from app.api.replies import Final, raw_reply

_STYLE = Path(__file__).with_name("docs.css")
_AN_HOUR = Final(3600)

Json = Mapping[str, Any]


def openapi(request: Request) -> Response:
    """The API described for programs (OpenAPI)."""
    return raw_reply(json.dumps(request.app.openapi()))


def style(request: Request) -> Response:  # noqa: ARG001
    """How the page looks."""
    return raw_reply(_STYLE.read_bytes(), _AN_HOUR, media_type="text/css; charset=utf-8")


def page(request: Request) -> HTMLResponse:
    """The API described for people."""
    document = request.app.openapi()
    return HTMLResponse("\n".join(_page(document, str(request.base_url).rstrip("/"))))


def _page(document: Json, root: str) -> Iterator[str]:
    title = f"{document['info']['title']} {document['info']['version']}"
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}: API</title>'
    yield '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/docs/style.css"></head>'
    yield f"<body><header><h1>{_text(title)}</h1><p>Numbers are JSON numbers with every digit, times ISO 8601 in UTC,"
    yield "problems RFC 9457. Reads are open to this machine; writes, and everything from elsewhere, need a token:"
    yield "<code>python -m app token create</code>. For programs: <a href='/openapi.json'>/openapi.json</a>.</p>"
    yield "</header>"
    by_tag = _by_tag(document)
    links = " ".join(f'<a href="#{_text(tag)}">{_text(tag)}</a>' for tag in by_tag)
    yield f'<nav aria-label="Endpoints">{links} <a href="#models">models</a></nav><main>'
    for tag, operations in by_tag.items():
        yield f'<section id="{_text(tag)}"><h2>{_text(tag)}</h2>'
        for path, method, operation in operations:
            yield from _operation(path, method, operation, root)
        yield "</section>"
    yield '<section id="models"><h2>models</h2>'
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        yield from _model(name, schema)
    yield "</section></main></body></html>"


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found.setdefault(operation["tags"][0], []).append((path, method, operation))
    return found


def _operation(path: str, method: str, operation: Json, root: str) -> Iterator[str]:
    summary, _, rest = operation.get("description", "").partition("\n")
    yield f'<article id="{_text(operation["operationId"])}"><h3><b class="{method}">{method.upper()}</b> '
    yield f"<code>{_text(path)}</code></h3><p>{_text(summary)}</p>"
    yield from (f"<p>{_text(paragraph)}</p>" for paragraph in rest.strip().split("\n\n") if paragraph)
    if {} not in operation.get("security", [{}]):
        yield "<p>Needs a token of scope <code>write</code>.</p>"
    yield from _table("Parameters", _parameters(operation))
    body = operation.get("requestBody", {}).get("content", {})
    yield from (f"<p>Body: {_type(its['schema'])} as <code>{_text(kind)}</code></p>" for kind, its in body.items())
    yield f"<pre>{_text(_curl(path, method, operation, root))}</pre>"
    yield from _table("Answers", _answers(operation))
    yield "</article>"


def _parameters(operation: Json) -> Iterator[tuple[str, ...]]:
    for parameter in operation.get("parameters", ()):
        schema = parameter.get("schema", {})
        default = f"default {_text(json.dumps(schema['default']))}" if schema.get("default") is not None else ""
        needed = "needed" if parameter.get("required") else default
        name = f"<code>{_text(parameter['name'])}</code>"
        yield name, parameter["in"], _type(schema), needed, _text(parameter.get("description", ""))


def _answers(operation: Json) -> Iterator[tuple[str, ...]]:
    for status, reply in operation["responses"].items():
        content = reply.get("content", {}).items()
        kinds = "<br>".join(f"{_type(its.get('schema', {}))} <code>{_text(kind)}</code>" for kind, its in content)
        yield _text(status), kinds, _text(reply.get("description", ""))


def _model(name: str, schema: Json) -> Iterator[str]:
    yield f'<article id="model-{_text(name)}"><h3>{_text(name)}</h3><p>{_text(schema.get("description", ""))}</p>'
    needed = schema.get("required", ())
    fields = schema.get("properties", {}).items()
    rows = (
        (
            f"<code>{_text(field)}</code>",
            _type(its),
            "" if field in needed else "optional",
            _text(its.get("description", "")),
        )
        for field, its in fields
    )
    yield from _table("Fields", rows)
    yield "</article>"


def _table(caption: str, rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    written = ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    if written:
        yield f'<div class="wide"><table><caption>{caption}</caption>{"".join(written)}</table></div>'


def _type(schema: Json) -> str:
    """What a value is, in words; models as links."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#model-{name}">{name}</a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[key])))
    if "enum" in schema:
        return " or ".join(f"<code>{_text(value)}</code>" for value in schema["enum"])
    if "const" in schema:
        return f"<code>{_text(schema['const'])}</code>"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    of_values = schema.get("additionalProperties")
    if kind == "object" and isinstance(of_values, Mapping):
        return f"object of {_type(of_values)}"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    return _text(" ".join([kind if isinstance(kind, str) else " or ".join(kind), *bounds]))


def _curl(path: str, method: str, operation: Json, root: str) -> str:
    address = path
    for parameter in operation.get("parameters", ()):
        examples = [*parameter.get("schema", {}).get("examples", ()), *parameter.get("examples", ())]
        if parameter["in"] == "path" and examples:
            address = address.replace(f"{{{parameter['name']}}}", str(examples[0]))
    words = ["curl"]
    if method != "get":
        words += ["-X", method.upper()]
    if {} not in operation.get("security", [{}]):
        words += ["-H", '"Authorization: Bearer $TOKEN"']
    if "requestBody" in operation:
        words += ["-H", "'Content-Type: application/json'", "-d", "@body.json"]
    return " ".join([*words, f"'{root}{address}'"])


def _text(value: object) -> str:
    return escape(str(value))
