"""Errors as HTTP has them: problem details, application/problem+json (RFC 9457)."""

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

MEDIA_TYPE = "application/problem+json"


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


def headers_of(error: SealError) -> dict[str, str]:
    """The headers of an answer that says what an error says."""
    if isinstance(error, BusyError):
        return {"retry-after": f"{max(error.retry_after_s, 1):.0f}"}
    return {}


def of_error(error: SealError) -> Response:
    """What SEAL raises on purpose, as a problem."""
    return problem(status_of(error), str(error), headers_of(error), error=type(error).__name__)


def install(app: FastAPI) -> None:
    """Have an application answer with problems wherever something is wrong."""

    @app.exception_handler(SealError)
    async def of_seal(request: Request, error: SealError) -> Response:
        said = request.app.state.service.told(error)
        return problem(status_of(error), said, headers_of(error), error=type(error).__name__)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = ", ".join(sorted(_methods(request, headers.pop("Allow", ""))))
        return problem(error.status_code, str(error.detail), headers)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> Response:
        wrong = [
            {"where": ".".join(map(str, each["loc"])), "what": each["msg"]}
            for each in error.errors()
        ]
        said = "; ".join(f"{each['where']}: {each['what']}" for each in wrong)
        return problem(422, said, errors=wrong)

    @app.exception_handler(Exception)
    async def of_fault(request: Request, error: Exception) -> Response:
        # The log has the traceback; a stranger gets none of it.
        return problem(500, "a fault of the server; its log says more")


def _methods(request: Request, said: str) -> set[str]:
    """The methods at the path of a request, with those of the first route, which Starlette has
    `said`."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    matched = (
        operations
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].fullmatch(path)
    )
    known = {method.upper() for operations in matched for method in operations}
    return known | {method.strip() for method in said.split(",") if method.strip()}
