"""Errors as HTTP has them: problem details, application/problem+json (RFC 9457).

Below /v1 errors have the form of OpenAI's, so that clients of that API can read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from seal.errors import (
    AnswerError,
    BackendError,
    DataError,
    NotIndexedError,
    OptionError,
    SealError,
    StoreError,
    StoreFullError,
    VideoError,
)
from seal.printing import json_line, printable
from seal.serve import validation
from seal.serve.validation import Schema, Wrong

MEDIA_TYPE = "application/problem+json"
OPENAI = "/v1"
"""Below this path errors have the form of OpenAI's."""
_SHOWN = 80
"""Characters of a path that an error repeats."""
_OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


class MissingError(SealError):
    """There is nothing of this id."""


class RefusedError(SealError):
    """What the operator of the server does not allow."""


class ConflictError(SealError):
    """What does not fit the state of things, such as a part of an upload that is there already."""


class TooLargeError(SealError):
    """A request or an upload beyond the limits of the server."""


class BusyError(SealError):
    """More requests than the server takes; `retry_after_s` says when to come back."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


# The first class that fits counts.
_STATUS: tuple[tuple[type[SealError], int], ...] = (
    (MissingError, 404),
    (NotIndexedError, 404),
    (RefusedError, 403),
    (ConflictError, 409),
    (TooLargeError, 413),
    (BusyError, 429),
    (OptionError, 422),
    (VideoError, 422),
    (DataError, 422),
    (AnswerError, 502),
    (StoreFullError, 507),
    (StoreError, 503),
    (BackendError, 503),
)


def status_of(error: SealError) -> int:
    """The HTTP status that says what an error says."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """An answer that says what is wrong; `more` are further members of the problem."""
    value = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body = json_line({**value, "detail": printable(detail), **more})
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)


def openai_error(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """What is wrong, in the form of OpenAI's errors."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    code = code or _OPENAI_CODES.get(status)
    return {"error": {"message": printable(message), "type": kind, "param": param, "code": code}}


def refusal(
    path: str, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """An answer that says what is wrong, in the form of the API that a path belongs to.

    `path` lies below the prefix of a proxy; `more` are further members of a problem.
    """
    if path != OPENAI and not path.startswith(f"{OPENAI}/"):
        return problem(status, detail, headers, **more)
    body = json_line(openai_error(status, detail))
    return Response(body, status, dict(headers or {}), "application/json")


def path_of(scope: Mapping[str, Any]) -> str:
    """The path of a request below the prefix of a proxy."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def headers_of(error: SealError) -> dict[str, str]:
    """The headers of an answer that says what an error says."""
    if isinstance(error, BusyError):
        return {"retry-after": f"{max(error.retry_after_s, 1):.0f}"}
    return {}


def install(app: FastAPI) -> None:
    """Have an application answer with problems wherever something is wrong."""

    @app.exception_handler(SealError)
    async def of_seal(request: Request, error: SealError) -> Response:
        said = request.app.state.service.told(error)
        name = type(error).__name__
        return refusal(
            path_of(request.scope), status_of(error), said, headers_of(error), error=name
        )

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = ", ".join(sorted(_methods(request, headers.pop("Allow", ""))))
        path, said = path_of(request.scope), str(error.detail)
        if error.status_code == HTTPStatus.NOT_FOUND:
            said = f"nothing is served at {path[:_SHOWN]}: /openapi.json lists every operation"
        return refusal(path, error.status_code, said, headers)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> Response:
        found = invalid(request, error)
        return problem(422, validation.whole(found), errors=[each._asdict() for each in found])

    @app.exception_handler(Exception)
    async def of_fault(request: Request, error: Exception) -> Response:
        # The log has the traceback; a stranger gets none of it.
        return refusal(path_of(request.scope), 500, "a fault of the server; its log says more")


def invalid(request: Request, error: RequestValidationError) -> list[Wrong]:
    """What is wrong with the values of a request, by what OpenAPI says of its operation."""
    document = request.app.openapi()
    operations = document["paths"].get(request.scope["route"].path_format, {})
    operation = operations.get(request.method.lower(), {})
    places: dict[str, dict[str, Schema]] = {}
    for each in operation.get("parameters", ()):
        about = {name: each[name] for name in ("description",) if name in each}
        places.setdefault(each["in"], {})[each["name"]] = {**each["schema"], **about}
    root: dict[str, Any] = {
        place: {"type": "object", "properties": named} for place, named in places.items()
    }
    for content in operation.get("requestBody", {}).get("content", {}).values():
        root["body"] = content["schema"]
    return validation.wrong(error.errors(), {"properties": root}, document, places=True)


def _methods(request: Request, said: str) -> set[str]:
    """The methods at the path of a request, with those of the first route, which Starlette has
    `said`."""
    path = path_of(request.scope)
    matched = (
        operations
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].fullmatch(path)
    )
    known = {method.upper() for operations in matched for method in operations}
    return known | {method.strip() for method in said.split(",") if method.strip()}
