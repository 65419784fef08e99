"""What a server says is wrong, as the errors that the same call raises on this machine."""

from __future__ import annotations

from typing import Any

from seal import errors
from seal.errors import AnswerError, NotIndexedError, OptionError, SealError, StoreError


class UnfitError(OptionError):
    """What does not fit the state of things at the server, as when it is still busy with an upload
    whose connection was lost."""


_CLASSES: dict[str, type[SealError]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, SealError)
}
_BY_STATUS: dict[int, type[SealError]] = {
    401: OptionError,
    403: OptionError,
    404: NotIndexedError,
    409: UnfitError,
    413: OptionError,
    421: OptionError,
    422: OptionError,
    502: AnswerError,
}
"""Where a server does not name an error of SEAL; any other status is a StoreError."""


def of_problem(status: int, problem: Any, address: str, has_token: bool) -> SealError:
    """The error that an answer of this status stands for.

    `problem` is its JSON (RFC 9457); anything else comes from a proxy, or from another server.
    """
    known = (
        isinstance(problem, dict)
        and isinstance(problem.get("detail"), str)
        # Many frameworks answer with a detail alone.
        and ("status" in problem or "error" in problem)
    )
    if status == 401:
        what = "does not take this token" if has_token else "needs a token"
        return OptionError(f"{address} {what}: give it as token=, or as SEAL_TOKEN to the command")
    if not known:
        return StoreError(f"{address} answered with HTTP status {status}: is a SEAL server there?")
    kind = _CLASSES.get(problem.get("error", ""), _BY_STATUS.get(status, StoreError))
    return kind(problem["detail"])
