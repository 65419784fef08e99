"""Jobs: heavy work in processes of its own, a row each, so that kills and restarts lose none.

A job is queued, running, done, failed or cancelled. A job that was running when the server ended is
queued again when the server starts, and goes on after the last part that is in the store.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from seal.clock import clock
from seal.config.serving import ServeOptions
from seal.errors import StoreError
from seal.results import Result
from seal.serve.gate import Gate
from seal.serve.problems import BusyError, ConflictError, MissingError
from seal.serve.process import WorkerProcess
from seal.serve.state import RETRY_S, ServerState, insertion, new_id, now, packed

_log = logging.getLogger("seal.serve")
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
_BUSY_S = 60.0
"""After how long a client may ask again that has found too many jobs waiting."""
_FORGET = (
    "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND number <="
    " (SELECT max(number) FROM jobs) - ?"
)


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come."""

    stage: str = ""
    """What is going on, such as "indexing"; empty before it has begun."""
    done_s: float = 0.0
    """Seconds of video done, those of earlier attempts included."""
    total_s: float | None = None
    """Length of the video; None where it is not known."""
    speed: float | None = None
    """Seconds of video done in a second; None before anything is done."""

    @property
    def left_s(self) -> float | None:
        """How long the rest will take; None where nobody can tell."""
        if not self.total_s or not self.speed:
            return None
        return max(self.total_s - self.done_s, 0.0) / self.speed

    def after(self, said: Mapping[str, Any], seconds: float) -> JobProgress:
        """The progress after a worker has said more, some seconds after it began."""
        done_s = said["done_s"]
        if not done_s:  # It reads, or stores what it has indexed.
            return replace(self, stage=said["stage"])
        speed = done_s / seconds if seconds else None
        return JobProgress(said["stage"], said["skipped_s"] + done_s, said["total_s"], speed)


@dataclass(frozen=True, eq=False)
class Job(Result):
    """A job as it stands."""

    id: str
    kind: str
    """What is done, such as "index"."""
    title: str
    """What it is done to, for a person."""
    state: JobState
    progress: JobProgress
    video: str | None
    """The id of the video that has come of it."""
    failure: str | None
    """Why it has failed."""
    attempts: int
    """How often it has been begun."""
    created_at: float
    """Seconds since 1970, as the other two."""
    started_at: float | None
    ended_at: float | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in ("done", "failed", "cancelled")

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "stage": self.progress.stage,
            "done_s": self.progress.done_s,
            "total_s": self.progress.total_s,
            "speed": self.progress.speed,
            "left_s": None if self.is_over else self.progress.left_s,
            "video": self.video,
            "failure": self.failure,
            "attempts": self.attempts,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }

    def __str__(self) -> str:
        left = self.progress.left_s
        more = f", {clock(left)} left" if left is not None and not self.is_over else ""
        return f"{self.id}  {self.state}{more}  {self.title}"


class Jobs:
    """The jobs of a server, and the threads that run them."""

    def __init__(self, state: ServerState, options: ServeOptions, gate: Gate) -> None:
        self._state, self._options, self._gate = state, options, gate
        self._live: dict[str, JobProgress] = {}
        self._processes: dict[str, WorkerProcess] = {}
        self._changed = threading.Condition()
        self._cancelled: set[str] = set()
        self._busy: set[str] = set()
        """The jobs that a thread works at, those included that were cancelled and are ending."""
        self._stopping = threading.Event()
        state.change("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
        self._threads = [
            threading.Thread(target=self._run, name=f"job-{number}", daemon=True)
            for number in range(options.heavy_jobs)
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Tell all workers to end; what they did goes on when the server starts again."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
            running = list(self._processes.values())
        for process in running:
            process.end()

    def stop(self) -> None:
        """Wait until all workers have ended."""
        self.end()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def add(
        self,
        rows: sqlite3.Connection,
        kind: str,
        title: str,
        spec: Mapping[str, Any],
        is_promised: bool = False,
    ) -> Job:
        """Queue a job in a transaction of the state; call `wake` after the transaction.

        `spec` is what `seal.serve.worker` needs for it, as JSON. The oldest jobs that are over are
        forgotten where the server keeps no more. Raises BusyError as `check_room` does, unless the
        room `is_promised`.
        """
        if not is_promised:
            self.check_room(rows)
        rows.execute(_FORGET, (self._options.kept_jobs,))
        row: dict[str, Any] = {"id": new_id(), "kind": kind, "title": title, "spec": packed(spec)}
        row |= {"state": "queued", "progress": packed(vars(JobProgress())), "created_at": now()}
        rows.execute(insertion("jobs", row), [*row.values()])
        return self._job(rows.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())

    def check_room(self, rows: sqlite3.Connection) -> None:
        """Raise BusyError if as many jobs wait as the server takes."""
        (queued,) = rows.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()
        if queued >= self._options.max_queued:
            raise BusyError(f"{queued} jobs wait already", _BUSY_S)

    def wake(self) -> None:
        """Say that a job may have been queued."""
        with self._changed:
            self._changed.notify_all()

    def get(self, name: str) -> Job:
        """A job by its id. Raises MissingError."""
        rows = self._state.rows("SELECT * FROM jobs WHERE id = ?", name)
        if not rows:
            raise MissingError(f"there is no job {name!r}")
        return self._job(rows[0])

    def newest(self, limit: int, before: str | None = None) -> list[Job]:
        """Jobs, the newest first; with `before`, those that are older than that job."""
        bound = "" if before is None else "WHERE number < (SELECT number FROM jobs WHERE id = ?)"
        query = f"SELECT * FROM jobs {bound} ORDER BY number DESC LIMIT ?"
        return [
            self._job(row)
            for row in self._state.rows(query, *([] if before is None else [before]), limit)
        ]

    def unfinished(self) -> list[Job]:
        """The jobs that are queued or running, in the order in which they run."""
        query = "SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY number"
        return [self._job(row) for row in self._state.rows(query)]

    def doing(self, kind: str, video: str) -> Job | None:
        """The unfinished job of a kind whose `spec` names this video; None where there is none."""
        query = "SELECT * FROM jobs WHERE kind = ? AND json_extract(spec, '$.video') = ?"
        query += " AND state IN ('queued', 'running')"
        found = self._state.rows(query, kind, video)
        return self._job(found[0]) if found else None

    def cancel(self, name: str) -> Job:
        """End a job; what it has stored stays. Raises MissingError, ConflictError if it is over."""
        job = self.get(name)
        change = "UPDATE jobs SET state = 'cancelled', ended_at = ? WHERE id = ? AND state IN"
        if not self._state.change(f"{change} ('queued', 'running')", now(), name):
            raise ConflictError(f"the job is over: it is {job.state}")
        with self._changed:
            process = self._processes.get(name)
            if name in self._busy:
                self._cancelled.add(name)
        if process is not None:
            process.end()
        return self.get(name)

    def retry(self, name: str) -> Job:
        """Queue a job that has failed or was cancelled. Raises as `cancel` does."""
        job = self.get(name)
        with self._changed:
            if name in self._busy and job.is_over:
                raise ConflictError("the job is still ending: try again in a moment")
        change = "UPDATE jobs SET state = 'queued', failure = NULL, ended_at = NULL WHERE id = ?"
        if not self._state.change(f"{change} AND state IN ('failed', 'cancelled')", name):
            raise ConflictError(
                f"the job is {job.state}; only a failed or cancelled one can be retried"
            )
        self.wake()
        return self.get(name)

    def remove(self, name: str) -> dict[str, Any]:
        """Forget a job that is over, and give back its `spec`.

        Raises MissingError; ConflictError if it is not over.
        """
        job = self.get(name)
        with self._changed:
            if name in self._busy or not job.is_over:
                raise ConflictError("the job is not over: cancel it first, or wait for its end")
        with self._state.transaction() as rows:
            removed = "DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')"
            found = rows.execute(f"{removed} RETURNING spec", (name,)).fetchone()
        if found is None:
            raise ConflictError("the job has begun again meanwhile")
        return dict(json.loads(found["spec"]))

    def _job(self, row: Mapping[str, Any] | sqlite3.Row) -> Job:
        progress = self._live.get(row["id"]) or JobProgress(**json.loads(row["progress"]))
        plain = [field.name for field in fields(Job) if field.name != "progress"]
        return Job(progress=progress, **{name: row[name] for name in plain})

    def _run(self) -> None:
        """Run one job after another until the server stops."""
        while not self._stopping.is_set():
            if (row := self._tried()) is not None:
                self._work(row)

    def _tried(self) -> dict[str, Any] | None:
        """As `_next`; where the state cannot be written, None after a while."""
        try:
            return self._next()
        except StoreError as error:
            _log.error("no job can be begun: %s", error)
            self._stopping.wait(RETRY_S)
            return None

    def _next(self) -> dict[str, Any] | None:
        """The oldest queued job, which is running from now on; None after a change of the jobs."""
        with self._changed:
            if self._stopping.is_set():
                return None
            with self._state.transaction() as rows:
                found = rows.execute(
                    "UPDATE jobs SET state = 'running', started_at = ?, attempts = attempts + 1"
                    " WHERE id = (SELECT id FROM jobs WHERE state = 'queued' ORDER BY number"
                    " LIMIT 1) RETURNING *",
                    (now(),),
                ).fetchone()
            if found is None:
                self._changed.wait()
                return None
            self._busy.add(found["id"])
            return dict(found)

    def _work(self, row: Mapping[str, Any]) -> None:
        """Have a process do a job, and write down what has come of it."""
        name, last, began = row["id"], dict[str, Any](), time.monotonic()
        try:
            process = WorkerProcess(row["kind"], json.loads(row["spec"]), self._gate)
        except OSError as error:
            reason = f"no process can be started: {error.strerror or error}"
            self._end(name, {"failed": reason}, reason)
            return
        with self._changed:
            self._processes[name] = process
            if self._stopping.is_set() or name in self._cancelled:
                process.end()
        for last in process.messages():
            if "stage" in last:
                before = self._live.get(name, JobProgress())
                self._live[name] = before.after(last, time.monotonic() - began)
        self._end(name, last, process.close())

    def _end(self, name: str, last: Mapping[str, Any], ending: str) -> None:
        """Write down how a job has ended; one that was cancelled stays cancelled."""
        if "done" in last:
            state, failure = "done", None
        elif self._stopping.is_set():
            state, failure = "queued", None
        else:
            state = "failed"
            failure = last.get("failed") or f"its process ended with {ending}"
        progress = self._live.pop(name, JobProgress())
        if state == "done" and progress.total_s:
            progress = replace(progress, done_s=progress.total_s)
        self._state.settle(
            self._stopping,
            "UPDATE jobs SET state = ?, failure = ?, video = ?, progress = ?, ended_at = ?"
            " WHERE id = ? AND state = 'running'",
            *(
                state,
                failure,
                last.get("done"),
                packed(vars(progress)),
                None if state == "queued" else now(),
            ),
            name,
        )
        with self._changed:
            self._processes.pop(name, None)
            self._busy.discard(name)
            self._cancelled.discard(name)
