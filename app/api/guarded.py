"""A route as the application has it: what is asked of every request, before its body is read and its endpoint runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import admit
from app.api.bodies import demand_json, demand_size
from app.api.context import Context
from app.api.description import described
from app.api.gate import caller
from app.api.routes import Route
from app.api.strict import demand_known

_WITH_BODY = ("POST", "PUT")  # of all others a body is passed over, unread

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Guarded(APIRoute):
    """Asks who calls, then for what, and only then answers."""

    def __init__(self, route: Route, context: Context) -> None:
        self._its, self._context = route, context
        self.writes = route.writes
        answers: dict[str, Any] = {} if route.answers is None else {"response_model": route.answers}
        super().__init__(
            route.path,
            route.endpoint,
            methods=[route.method],
            status_code=route.code,
            **answers,
            **described(route),
        )

    def get_route_handler(self) -> Handler:
        answer, its, here = super().get_route_handler(), self._its, self._context
        known = _parameters(self.dependant)
        takes_json = self.body_field is not None and not isinstance(self.body_field.field_info, params.Form)

        async def guarded(request: Request) -> Response:
            if not its.open_to_all:
                admit(request, here.settings, writes=its.writes)
            demand_known(request, known, lenient=its.lenient)
            demand_size(request, its.most_bytes)
            if takes_json:
                demand_json(request)
            if its.method not in _WITH_BODY:
                return await answer(request)
            async with here.uploads.whole(request, its.most_bytes, caller(request).key) as whole:
                return await answer(whole)

        return guarded


def _parameters(dependant: Dependant) -> dict[str, bool]:
    """The query parameters of an endpoint and of what it depends on, and which of them may be given several times."""
    found = {field.alias: _is_list(field.field_info.annotation) for field in dependant.query_params}
    for other in dependant.dependencies:
        found |= _parameters(other)
    return found


def _is_list(annotation: object) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(map(_is_list, get_args(annotation)))
    return (get_origin(annotation) or annotation) in (list, tuple, set, frozenset)
