"""Alerts that are sent to an address: a POST with the alert as JSON, to an allowed host."""

from __future__ import annotations

import http.client
import logging
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from seal.errors import StoreError
from seal.serve.gate import Gate
from seal.serve.problems import RefusedError
from seal.serve.state import RETRY_S, ServerState

_PAUSES_S = (0.0, 1.0, 5.0, 25.0)
"""How long to wait before each try."""
_TIMEOUT_S = 10.0
_SAFE = "/%?&=:;,+~!$'()*@[]"
"""What is no letter and stands in an address as it is."""
_log = logging.getLogger("seal.serve")


class Webhooks:
    """Sends the pending alerts, the oldest first, also those of before a restart."""

    def __init__(self, state: ServerState, gate: Gate) -> None:
        self._state, self._gate = state, gate
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._changed.set()
        self._thread.start()

    def stop(self) -> None:
        """End; what is pending is sent after the next start."""
        self._stopping.set()
        self._changed.set()
        # The thread may be in the middle of sending; what it sends is sent again after the next
        # start.
        self._thread.join(_TIMEOUT_S)

    def wake(self) -> None:
        """Say that an alert may be pending."""
        self._changed.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.wait()
            self._changed.clear()
            for row in self._pending():
                if (delivery := self._deliver(row)) is not None:
                    change = "UPDATE alerts SET delivery = ? WHERE number = ?"
                    self._state.settle(self._stopping, change, delivery, row["number"])

    def _pending(self) -> list[dict[str, Any]]:
        """The alerts to send; where the state cannot be read, none, and a new try after a while."""
        pending = "SELECT * FROM alerts WHERE delivery = 'pending' ORDER BY number"
        try:
            return self._state.rows(pending)
        except StoreError as error:
            _log.error("alerts wait: %s", error)
            self._stopping.wait(RETRY_S)
            self._changed.set()
            return []

    def _deliver(self, row: Mapping[str, Any]) -> str | None:
        """How sending has ended: "sent", or why it has failed; None if the server ends."""
        failure = ""
        for pause_s in _PAUSES_S:
            if self._stopping.wait(pause_s):
                return None
            failure = self._tried(row)
            if not failure:
                return "sent"
        return failure

    def _tried(self, row: Mapping[str, Any]) -> str:
        """Send an alert once; gives back why it has failed, or nothing."""
        url = urlsplit(row["webhook"])
        is_safe = url.scheme == "https"
        host, port = url.hostname or "", url.port or (443 if is_safe else 80)
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        try:
            # The address that was checked is the address that is used.
            connection.sock = self._gate.connect(host, port, _TIMEOUT_S)
            if is_safe:
                context = ssl.create_default_context()
                connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
            target = quote(f"{url.path or '/'}{f'?{url.query}' if url.query else ''}", safe=_SAFE)
            number = f"{row['watch']}-{row['number']}"
            headers = {"Content-Type": "application/json", "Idempotency-Key": number}
            connection.request("POST", target, row["alert"], headers)
            status = connection.getresponse().status
            return "" if 200 <= status < 300 else f"the address answers with {status}"
        # A ValueError is about what cannot stand in a header.
        except (OSError, ValueError, http.client.HTTPException, RefusedError) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()
