"""How commands print: results on stdout, complaints and progress on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from seal.clock import clock
from seal.errors import SealError
from seal.printing import json_line, printable, printable_lines

if TYPE_CHECKING:
    from seal.ingest import OnProgress
    from seal.results import Result

_LINE_EVERY_S = 5.0
"""How often progress is a line where stderr is no terminal."""


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
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    path, console = printable(path), Console(stderr=True)
    began = told = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[clock]}  {task.fields[speed]:.1f}x real time"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(path, total=None, clock=clock(0), speed=0.0)

        def on_progress(progress: Any) -> None:
            nonlocal told
            now = time.monotonic()
            done_s = progress.skipped_s + progress.done_s
            speed = progress.done_s / max(now - began, 1e-3)
            bar.update(
                task,
                description=f"{progress.stage} {path}",
                completed=done_s,
                total=progress.total_s,
                clock=clock(done_s),
                speed=speed,
            )
            if bar.disable and now - told >= _LINE_EVERY_S:
                told = now
                total = f" of {clock(progress.total_s)}" if progress.total_s else ""
                tell(f"{progress.stage} {path}: {clock(done_s)}{total}, {speed:.1f}x real time")

        yield on_progress
