"""Idempotency keys: a request that is sent twice under one key is carried out once.

The reply is committed together with what the request has changed, so that a kill between the two
cannot leave one without the other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from starlette.responses import Response

from seal.errors import OptionError
from seal.printing import json_line
from seal.serve.problems import ConflictError
from seal.serve.state import ServerState, insertion, now

HEADER = "Idempotency-Key"
_LONGEST = 255
_KEPT_S = 86_400.0
"""How long a reply is remembered."""


class KeptReply(NamedTuple):
    """What a request that makes something is answered with."""

    status: int
    value: Mapping[str, Any]
    location: str
    """The path of what was made, below the path of the server."""

    def response(self, path_prefix: str) -> Response:
        """The reply as it was sent the first time."""
        headers = {"location": path_prefix + self.location}
        return Response(json_line(self.value), self.status, headers, "application/json")


Make = Callable[[sqlite3.Connection], KeptReply]
"""Adds rows in the transaction that it is given, and says what to answer."""


def once(
    state: ServerState, key: str | None, route: str, asked: Mapping[str, Any], make: Make
) -> KeptReply:
    """Carry out a request, or give back the reply to an earlier one of the same key and route.

    `asked` is all that the request says. Raises ConflictError if the earlier request said something
    else, OptionError for a key that is too long.
    """
    if key is None:
        with state.transaction() as rows:
            return make(rows)
    if not 1 <= len(key) <= _LONGEST:
        raise OptionError(f"{HEADER} must have 1 to {_LONGEST} characters; it has {len(key)}")
    digest = blake2b(json_line(asked).encode(), digest_size=16).hexdigest()
    with state.transaction() as rows:
        rows.execute("DELETE FROM replies WHERE created_at < ?", (now() - _KEPT_S,))
        wanted = "SELECT * FROM replies WHERE key = ? AND route = ?"
        found = rows.execute(wanted, (key, route)).fetchone()
        if found is not None:
            if found["digest"] != digest:
                raise ConflictError(f"{HEADER} {key!r} was used for another request: use a new key")
            return KeptReply(found["status"], json.loads(found["body"]), found["location"])
        reply = make(rows)
        row = {"key": key, "route": route, "digest": digest, "created_at": now()}
        row |= {"status": reply.status, "body": json_line(reply.value), "location": reply.location}
        rows.execute(insertion("replies", row), [*row.values()])
        return reply
