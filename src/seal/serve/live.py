"""Sources that are watched: standing queries, what each holds, and alerts.

A watch is a row, and a process that goes on from its own state after a restart of the server. An
alert comes when a window likely shows what a query says and the window before it did not.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Query, Request
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from seal.errors import OptionError, StoreError
from seal.printing import json_line
from seal.serve import rest, schemas
from seal.serve.events import Told, changes
from seal.serve.problems import BusyError, ConflictError, MissingError
from seal.serve.process import WorkerProcess
from seal.serve.replies import KeptReply, once
from seal.serve.service import Service
from seal.serve.sources import resolved
from seal.serve.state import insertion, new_id, now, packed
from seal.serve.webhook import Webhooks

PREFIX = f"{rest.PREFIX}/watch"
_log = logging.getLogger("seal.serve")
_ALERTS = 100
"""How many alerts a stream of events sends at a time."""
_FORGET = "DELETE FROM alerts WHERE number <= (SELECT max(number) FROM alerts) - ?"
_BUSY_S = 60.0
router = APIRouter(prefix=rest.PREFIX, responses=rest.PROBLEMS, tags=["live"])


class Watches:
    """The watches of a server."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._state = service.state
        self._folder = service.state.folder / "watches"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._webhooks = Webhooks(service.state, service.gate)
        self._processes: dict[str, WorkerProcess] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Go on with all that was watched when the server ended."""
        self._webhooks.start()
        for row in self._state.rows("SELECT * FROM watches WHERE state = 'running'"):
            self._begin(row["id"])

    def stop(self) -> None:
        """End all processes; their watches go on when the server starts again."""
        self._stopping.set()
        with self._lock:
            running = list(self._processes.values())
        for process in running:
            process.end()
        for thread in self._threads:
            thread.join()
        self._webhooks.stop()

    def add(self, asked: schemas.WatchRequest, key: str | None) -> KeptReply:
        """Watch a source from now on.

        Raises BusyError beyond the limit of the server, and as `sources.resolved` does.
        """
        service, source = self._service, resolved(self._service, asked.source)
        if asked.webhook is not None:
            service.gate.check(asked.webhook)
            if urlsplit(asked.webhook).scheme not in ("http", "https"):
                raise OptionError("a webhook is an http or https address")
        spec = service.spec(source.location, options=asked.options, task="watch")
        spec |= {"queries": asked.queries, "window_s": asked.window_s, "budget": asked.budget}

        def make(rows: sqlite3.Connection) -> KeptReply:
            self._check_room(rows)
            row: dict[str, Any] = {
                "id": new_id(),
                "title": source.title,
                "queries": packed(asked.queries),
            }
            row |= {"spec": packed(spec), "webhook": asked.webhook, "state": "running"}
            row |= {"created_at": now()}
            rows.execute(insertion("watches", row), [*row.values()])
            made = rows.execute("SELECT * FROM watches WHERE id = ?", (row["id"],)).fetchone()
            return KeptReply(201, watch_json(made), f"{PREFIX}/{row['id']}")

        reply = once(self._state, key, "watch", asked.model_dump(), make)
        self._begin(reply.value["id"])
        return reply

    def get(self, name: str) -> dict[str, Any]:
        """A watch by its id. Raises MissingError."""
        rows = self._state.rows("SELECT * FROM watches WHERE id = ?", name)
        if not rows:
            raise MissingError(f"there is no watch {name!r}")
        return rows[0]

    def newest(self) -> list[dict[str, Any]]:
        """All watches, the newest first."""
        return self._state.rows("SELECT * FROM watches ORDER BY created_at DESC")

    def running(self) -> list[dict[str, Any]]:
        """The watches that are under way, the newest first."""
        return [row for row in self.newest() if row["state"] == "running"]

    def end(self, name: str) -> dict[str, Any]:
        """Stop to watch a source; what was chosen stays. Raises MissingError."""
        self.get(name)
        change = "UPDATE watches SET state = 'stopped' WHERE id = ? AND state = 'running'"
        self._state.change(change, name)
        if (process := self._processes.get(name)) is not None:
            process.end()
        return self.get(name)

    def resume(self, name: str) -> dict[str, Any]:
        """Go on with a watch that has stopped or failed. Raises MissingError, and ConflictError
        for one that is running, BusyError beyond the limit of the server."""
        self.get(name)
        change = "UPDATE watches SET state = 'running', failure = NULL WHERE id = ? AND state !="
        with self._state.transaction() as rows:
            is_ending = name in self._processes
            if is_ending or not rows.execute(f"{change} 'running'", (name,)).rowcount:
                raise ConflictError("the source is being watched")
            self._check_room(rows, 1)
        self._begin(name)
        return self.get(name)

    def _check_room(self, rows: sqlite3.Connection, more: int = 0) -> None:
        """Raise BusyError if more than the server takes would run with the next one."""
        running = "SELECT count(*) FROM watches WHERE state = 'running'"
        count = rows.execute(running).fetchone()[0] - more
        if count >= self._service.options.max_watches:
            raise BusyError("as many sources are watched as the server takes", _BUSY_S)

    def remove(self, name: str) -> None:
        """Stop a watch, and forget it with its alerts. Raises MissingError."""
        self.end(name)
        with self._state.transaction() as rows:
            rows.execute("DELETE FROM alerts WHERE watch = ?", (name,))
            rows.execute("DELETE FROM watches WHERE id = ?", (name,))
        self._place(name).unlink(missing_ok=True)

    def alerts(self, after: int, limit: int, watch: str | None = None) -> list[dict[str, Any]]:
        """Alerts with a higher number, the oldest first."""
        mine = "" if watch is None else "AND watch = ?"
        query = f"SELECT * FROM alerts WHERE number > ? {mine} ORDER BY number LIMIT ?"
        rows = self._state.rows(query, after, *([] if watch is None else [watch]), limit)
        return [alert_json(row) for row in rows]

    def _place(self, name: str) -> FilePath:
        return self._folder / f"{name}.state"

    def _begin(self, name: str) -> None:
        with self._lock:
            row = self.get(name)
            if name in self._processes or row["state"] != "running" or self._stopping.is_set():
                return  # A request came twice.
            spec = json.loads(row["spec"])
            spec["state"] = str(self._place(name))
            process = WorkerProcess("watch", spec, self._service.gate)
            self._processes[name] = process
            thread = threading.Thread(target=self._follow, args=(name, process), daemon=True)
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _follow(self, name: str, process: WorkerProcess) -> None:
        """Write down what a process says until it ends."""
        last: dict[str, Any] = {}
        for last in process.messages():
            self._hear(name, last)
        ending = process.close()
        failure = last.get("failed") or f"its process ended with {ending}"
        state = ("ended", None) if "done" in last else ("failed", failure)
        with self._lock:
            self._processes.pop(name, None)
        if not self._stopping.is_set():
            change = "UPDATE watches SET state = ?, failure = ? WHERE id = ? AND state = 'running'"
            self._state.settle(self._stopping, change, *state, name)

    def _hear(self, name: str, message: Mapping[str, Any]) -> None:
        told = "UPDATE watches SET told = ? WHERE id = ?"
        try:
            if "told" in message:
                self._state.change(told, message["told"], name)
            elif "window" in message:
                self._take(name, message["window"])
        except StoreError as error:
            # The watch goes on; the next window is kept if the disk takes it.
            _log.error("a window of watch %s is not kept: %s", name, error)

    def _take(self, name: str, window: Mapping[str, Any]) -> None:
        """Keep a window, and raise the alerts that it brings, in one transaction."""
        with self._state.transaction() as rows:
            row = rows.execute("SELECT * FROM watches WHERE id = ?", (name,)).fetchone()
            if row is None:
                return  # It was removed meanwhile.
            before = json.loads(row["last"])["queries"] if row["last"] else []
            likely = {query["query"] for query in before if _is_likely(query)}
            change = "UPDATE watches SET last = ?, told = '' WHERE id = ?"
            rows.execute(change, (packed(window), name))
            for query in window["queries"]:
                if _is_likely(query) and query["query"] not in likely:
                    alert = _alert(row, window, query)
                    delivery = "none" if row["webhook"] is None else "pending"
                    new = {"watch": name, "alert": packed(alert), "webhook": row["webhook"]}
                    new |= {"delivery": delivery, "at": now()}
                    rows.execute(insertion("alerts", new), [*new.values()])
            rows.execute(_FORGET, (self._service.options.kept_alerts,))
        self._webhooks.wake()


def _is_likely(query: Mapping[str, Any]) -> bool:
    return query["match"] is not None and query["match"]["verdict"] == "likely"


def _alert(
    row: Mapping[str, Any] | sqlite3.Row, window: Mapping[str, Any], query: Mapping[str, Any]
) -> dict[str, Any]:
    """What an alert says: which window shows what, and its most relevant token."""
    inside = [t for t in query["selection"] if t["end_s"] > window["start_s"]]
    best = max(inside, key=lambda token: token["relevance"], default=None)
    return {
        "watch": row["id"],
        "title": row["title"],
        "query": query["query"],
        "match": query["match"],
        "start_s": window["start_s"],
        "end_s": window["end_s"],
        "token": best,
    }


def alert_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """An alert as JSON."""
    more = {"number": row["number"], "at": row["at"], "delivery": row["delivery"]}
    return {**json.loads(row["alert"]), **more}


def watch_json(row: Mapping[str, Any] | sqlite3.Row) -> dict[str, Any]:
    """A watch as JSON."""
    return {
        "id": row["id"],
        "title": row["title"],
        "queries": json.loads(row["queries"]),
        "state": row["state"],
        "told": row["told"],
        "failure": row["failure"],
        "webhook": row["webhook"],
        "window": None if row["last"] is None else json.loads(row["last"]),
        "created_at": row["created_at"],
    }


def _watches(request: Request) -> Watches:
    watches: Watches = request.app.state.watches
    return watches


Here = Annotated[Watches, Depends(_watches)]
WatchPath = Annotated[str, Path(max_length=64, description="The id of a watch.")]


@router.post("/watch", response_model=schemas.WatchJson, status_code=201)
def add(
    service: rest.Here, watches: Here, asked: schemas.WatchRequest, key: rest.Key = None
) -> Response:
    """Watch a source, with standing queries."""
    return watches.add(asked, key).response(service.options.path_prefix)


@router.get("/watch", response_model=schemas.WatchListJson)
def list_all(watches: Here) -> Response:
    """The watches, the newest first."""
    return rest.as_json({"watches": [watch_json(row) for row in watches.newest()]})


@router.get("/watch/{watch}", response_model=schemas.WatchJson)
def show(watches: Here, watch: WatchPath) -> Response:
    """A watch, with its last window."""
    return rest.as_json(watch_json(watches.get(watch)))


@router.post("/watch/{watch}/stop", response_model=schemas.WatchJson)
def stop(watches: Here, watch: WatchPath) -> Response:
    """Stop to watch a source."""
    return rest.as_json(watch_json(watches.end(watch)))


@router.post("/watch/{watch}/resume", response_model=schemas.WatchJson)
def resume(watches: Here, watch: WatchPath) -> Response:
    """Go on with a watch that has stopped or failed."""
    return rest.as_json(watch_json(watches.resume(watch)))


@router.delete("/watch/{watch}", status_code=204)
def remove(watches: Here, watch: WatchPath) -> Response:
    """Stop a watch, and forget it with its alerts."""
    watches.remove(watch)
    return Response(status_code=204)


@router.get("/alerts", response_model=schemas.AlertListJson)
def list_alerts(
    watches: Here,
    limit: rest.Limit = 100,
    after: Annotated[int, Query(ge=0, le=2**62, description="The number of the last one.")] = 0,
) -> Response:
    """Alerts, the oldest first."""
    return rest.as_json({"alerts": watches.alerts(after, limit)})


@router.get("/watch/{watch}/events", response_class=EventSourceResponse)
async def events(service: rest.Here, watches: Here, watch: WatchPath) -> EventSourceResponse:
    """The windows and the alerts of a watch as server-sent events, `window` and `alert`; `over`
    with the watch when it has ended."""
    watches.get(watch)
    last = 0

    def look() -> Told:
        nonlocal last
        try:
            row = watches.get(watch)
        except MissingError:
            return Told([], is_over=True)
        alerts = watches.alerts(last, _ALERTS, watch)
        last = alerts[-1]["number"] if alerts else last
        found = [] if row["last"] is None else [("window", json_line(json.loads(row["last"])))]
        found += [("alert", json_line(alert)) for alert in alerts]
        is_over = row["state"] != "running"
        found += [("over", json_line(watch_json(row)))] if is_over else []
        return Told(found, is_over)

    return service.streams.response(changes(look))
