"""How commands print: results on stdout, complaints and progress on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any

import click

from seal import logs
from seal.clock import clock
from seal.errors import SealError
from seal.printing import json_line, printable, printable_lines

if TYPE_CHECKING:
    from seal.ingest import OnProgress, WorkerProgress
    from seal.results import Result

_LINE_EVERY_S = 5.0
"""How often progress is a line where stderr is no terminal."""
_BAR_EVERY_S = 0.1
_LISTED = 4
"""How many workers progress names."""
_results: list[IO[str]] = []
"""The stdout of the command that runs: see `results_apart`."""


@contextmanager
def results_apart(leave: bool = False) -> Iterator[None]:
    """Results go to stdout; what back ends print is logged. With `leave` stdout stays as it is."""
    _results.append(sys.stdout)
    try:
        with nullcontext() if leave else logs.printed_apart():
            yield
    finally:
        _results.pop()


def results() -> IO[str]:
    """Where results go."""
    return _results[-1] if _results else sys.stdout


def emit(result: Result, as_json: bool) -> None:
    """Print a result, for a machine or for a person."""
    if as_json:
        print_json(result.to_json())
    else:
        echo(str(result))


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    click.echo(json_line(value), file=results())


def echo(text: object = "", *, nl: bool = True, err: bool = False) -> None:
    """Print text over as many lines as it has, on stdout or stderr."""
    click.echo(printable_lines(str(text)), nl=nl, file=sys.stderr if err else results())


def complain(error: SealError) -> None:
    """Print an error as one line."""
    click.echo(f"seal: {printable(str(error))}", err=True)


def tell(text: str) -> None:
    """Print a line for a person on stderr, above a bar, unless errors alone are wanted."""
    if logs.is_quiet():
        return
    # Only a bar that is shown has loaded it.
    tqdm = sys.modules.get("tqdm")
    with nullcontext() if tqdm is None else tqdm.tqdm.external_write_mode(sys.stderr):
        click.echo(f"seal: {printable(text)}", err=True)


@contextmanager
def progress_bar(path: str) -> Iterator[OnProgress]:
    """Progress on stderr: a bar on a terminal, otherwise a line every few seconds."""
    path = printable(path)
    began = told = time.monotonic()
    ahead_s: float | None = None
    """Seconds of video that were done before anybody looked."""
    with bar() as shown:

        def on_progress(progress: Any) -> None:
            nonlocal told, ahead_s
            now = time.monotonic()
            ahead_s = progress.done_s if ahead_s is None else ahead_s
            if now - told < (_LINE_EVERY_S if shown.disable else _BAR_EVERY_S):
                return
            told = now
            if progress.stage != "indexing":
                # Nothing of the length is done yet, or all of it.
                if shown.disable:
                    tell(f"{progress.stage} {path}")
                else:
                    shown.set_description_str(f"{progress.stage} {path}")
                return
            done_s, total_s = progress.skipped_s + progress.done_s, progress.total_s
            speed = (progress.done_s - ahead_s) / max(now - began, 1e-3)
            total = f" of {clock(total_s)}" if total_s else ""
            said = f"{progress.stage} {path}: {clock(done_s)}{total}"
            said += f", {speed:.1f}x real time" if speed else ""
            said += _at_work(progress.workers)
            if shown.disable:
                tell(said)
                return
            shown.total, shown.n = total_s, done_s
            left = f", {clock((total_s - done_s) / speed)} left" if total_s and speed else ""
            shown.set_description_str(said + left)

        yield on_progress


@contextmanager
def steps_bar(total: int, what: str) -> Iterator[Callable[..., None]]:
    """Progress on stderr, as `progress_bar`, of `total` steps: it takes how many are done, and what
    else there is to say of them."""
    told = time.monotonic()
    with bar(total) as shown:

        def on_step(done: int, more: str = "") -> None:
            nonlocal told
            if not shown.disable:
                shown.n = done
                shown.set_description_str(f"{what}{more}")
            elif time.monotonic() - told >= _LINE_EVERY_S:
                told = time.monotonic()
                tell(f"{what}: {done} of {total}{more}")

        yield on_step


def _at_work(workers: Sequence[WorkerProgress]) -> str:
    """Which part each of the workers is at, and how far it is with it."""
    if len(workers) < 2:
        return ""
    listed = [f"{each.part} ({clock(each.done_s, tenths=False)})" for each in workers[:_LISTED]]
    more = ", ..." if len(workers) > _LISTED else ""
    return f", {len(workers)} workers at parts {', '.join(listed)}{more}"


def bar(total: float | None = None) -> Any:
    """A bar on stderr, to be closed; it is hidden where that is no terminal."""
    from tqdm import tqdm

    # No thread of its own: what it shows comes often enough.
    tqdm.monitor_interval, size = 0, shutil.get_terminal_size()
    return tqdm(
        total=total,
        bar_format="|{bar:20}| {desc}",
        # On a terminal that does not know its size nothing would be shown.
        ncols=size.columns - 1,
        nrows=size.lines,
        file=sys.stderr,
        leave=False,
        disable=logs.is_quiet() or not sys.stderr.isatty(),
    )
