"""How commands print: results on stdout, complaints and progress on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

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


def emit(result: Result, as_json: bool) -> None:
    """Print a result, for a machine or for a person."""
    if as_json:
        print_json(result.to_json())
    else:
        echo(str(result))


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    click.echo(json_line(value))


def echo(text: object = "", *, nl: bool = True, err: bool = False) -> None:
    """Print text over as many lines as it has, on stdout or stderr."""
    click.echo(printable_lines(str(text)), nl=nl, err=err)


def complain(error: SealError) -> None:
    """Print an error as one line."""
    tell(str(error))


def tell(text: str) -> None:
    """Print a line for a person on stderr."""
    click.echo(f"seal: {printable(text)}", err=True)


@contextmanager
def progress_bar(path: str) -> Iterator[OnProgress]:
    """Progress on stderr: a bar on a terminal, otherwise a line every few seconds."""
    path = printable(path)
    began = told = time.monotonic()
    with bar() as shown:

        def on_progress(progress: Any) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told < (_LINE_EVERY_S if shown.disable else _BAR_EVERY_S):
                return
            told = now
            done_s, total_s = progress.skipped_s + progress.done_s, progress.total_s
            speed = progress.done_s / max(now - began, 1e-3)
            total = f" of {clock(total_s)}" if total_s else ""
            said = f"{progress.stage} {path}: {clock(done_s)}{total}, {speed:.1f}x real time"
            said += _at_work(progress.workers)
            if shown.disable:
                tell(said)
                return
            shown.total, shown.n = total_s, done_s
            left = f", {clock((total_s - done_s) / speed)} left" if total_s and speed else ""
            shown.set_description_str(said + left)

        yield on_progress


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
        disable=not sys.stderr.isatty(),
    )
