"""The API described: for programs, and as a page that needs no script and no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from app.api.edge import Edge
from app.api.routes import ROUTES, Route
from tests.api import an_api
from tests.asgi import Reply, request

OF_ALL = {"401", "404", "413", "421", "422", "429", "503"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Edge:
    return an_api(tmp_path_factory.mktemp("data"), lambda: None)


@pytest.fixture(scope="module")
def document(app: Edge) -> Any:
    return request(app, "/openapi.json").json


@pytest.fixture(scope="module")
def page(app: Edge) -> Reply:
    return request(app, "/docs")


def shown(route: Route) -> str:
    """Its path as OpenAPI has it: without what a parameter may be made of."""
    return re.sub(r":\w+}", "}", route.path)


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, its) for path, all_ in document["paths"].items() for method, its in all_.items()]


def test_every_route_of_the_api_is_described_once_under_a_name_of_its_own(document: Any) -> None:
    found = operations(document)
    ours = [(shown(route), route.method.lower()) for route in ROUTES if route.path.startswith("/api/")]
    assert sorted((path, method) for path, method, _ in found) == sorted(ours)
    names = [its["operationId"] for _, _, its in found]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
    assert all(its["tags"] and its["description"] for _, _, its in found)


def test_every_problem_that_a_request_can_meet_is_described_as_one(document: Any) -> None:
    for path, _, its in operations(document):
        assert set(its["responses"]) >= OF_ALL, path
        for status in OF_ALL:
            (kind,) = its["responses"][status]["content"]
            assert kind == "application/problem+json", (path, status)
    assert {"type", "title", "status", "detail", "errors"} == set(
        document["components"]["schemas"]["ProblemReply"]["properties"]
    )


def test_a_token_is_needed_for_writing_and_may_be_sent_for_reading(document: Any) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    writes = {(shown(route), route.method.lower()) for route in ROUTES if route.writes}
    for path, method, its in operations(document):
        assert its["security"] == ([{"token": []}] if (path, method) in writes else [{}, {"token": []}])


def test_what_the_document_refers_to_is_in_it(document: Any) -> None:
    for name in re.findall(r"'#/components/schemas/(\w+)'", str(document)):
        assert name in document["components"]["schemas"]


class Page(HTMLParser):
    """What a page refers to, and which of its elements were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its = dict(attrs)
        assert tag != "script"
        assert not {"style", "onclick", "src"} & set(its)
        self.ids |= {its["id"] or ""} if "id" in its else set()
        self.links += [its["href"] or ""] if "href" in its else []
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_leads_nowhere_else(app: Edge, page: Reply) -> None:
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    found = Page()
    found.feed(page.body.decode())
    assert found.open == []
    assert {link[1:] for link in found.links if link.startswith("#")} <= found.ids
    for link in {link for link in found.links if not link.startswith("#")}:
        assert request(app, link).status == 200


def test_the_page_has_every_address_with_its_parameters_and_a_call(page: Reply, document: Any) -> None:
    text = page.body.decode()
    for path, method, its in operations(document):
        article = re.search(rf'<article id="{its["operationId"]}">.*?</article>', text, re.DOTALL)
        assert article is not None
        assert f"<code>{path}</code>" in article[0]
        assert method.upper() in article[0]
        assert "<pre>curl" in article[0]
        assert all(f"<code>{parameter['name']}</code>" in article[0] for parameter in its.get("parameters", ()))


def test_what_a_client_says_of_itself_is_no_part_of_the_page(app: Edge) -> None:
    reply = request(app, "/docs", headers={"host": "localhost:1<script>"})
    assert b"<script>" not in reply.body
