"""What commands print: rows, JSON, complaints, a bar."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from seal.clock import clock, span_clock
from seal.errors import SealError

if TYPE_CHECKING:
    from seal.config import AttentionOptions
    from seal.index import OnProgress
    from seal.query import IndexedVideo
    from seal.store import Store, VideoRecord
    from seal.types import Moment, Selection, Tokens


def describe(store: Store, record: VideoRecord) -> dict[str, Any]:
    return {
        "video": record.id,
        "path": record.path,
        "duration_s": record.duration_s,
        "tokens": store.count(record.id),
        "profile": record.profile,
        "gaps": record.gaps,
    }


def token_row(tokens: Tokens, row: int) -> dict[str, Any]:
    return {
        "id": str(tokens.ids[row]),
        "kind": str(tokens.kinds[row]),
        "start_s": float(tokens.start_s[row]),
        "end_s": float(tokens.end_s[row]),
        "box": tokens.boxes[row].tolist(),
    }


def selection_of(
    tokens: Tokens, selection: Selection, options: AttentionOptions, everywhere: bool = False
) -> dict[str, Any]:
    """A selection, whose tokens these are, in the order chosen; `everywhere` names their videos.

    What they cost is said where it is not their number.
    """
    from seal.attention.candidates import costs

    cost = float(costs(tokens, options).sum())
    rows = [
        ({"video": str(tokens.video_ids[row])} if everywhere else {})
        | token_row(tokens, row)
        | {"relevance": float(relevance)}
        for row, relevance in enumerate(selection.relevance)
    ]
    return {
        "selection": rows,
        "objective": selection.objective,
        "upper_bound": selection.upper_bound,
        "gap": selection.gap,
    } | ({"cost": cost} if cost != len(rows) else {})


def moment_rows(moments: Iterable[Moment]) -> list[dict[str, Any]]:
    """Moments as plain values."""
    return [{"start_s": m.span.start_s, "end_s": m.span.end_s, "score": m.score} for m in moments]


def print_moments(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(f"{span_clock(row['start_s'], row['end_s'])}  score {row['score']:.3f}")


def say_if_all(indexed: IndexedVideo, selected: int) -> None:
    if selected == len(indexed.tokens):
        click.echo(f"seal: the video has no more than {selected} tokens: all selected", err=True)


def video_line(result: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {kind}" for kind, n in result["tokens"].items())
    return f"{result['video']}  {clock(result['duration_s'])}  {counts}  {result['path']}"


def print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        box = " ".join(f"{value:.3f}" for value in row["box"])
        relevance = f"  {row['relevance']:+.3f}" if "relevance" in row else ""
        span = span_clock(row["start_s"], row["end_s"])
        video = f"{row['video']}  " if "video" in row else ""
        click.echo(f"{video}{row['id']:12s} {span}  [{box}]{relevance}")


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, allow_nan=False))


def complain(error: SealError) -> None:
    click.echo(f"seal: {error}", err=True)


@contextmanager
def progress_bar(path: str) -> Iterator[OnProgress]:
    """A bar on stderr if that is a terminal; nothing otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    began = time.monotonic()
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
            done_s = progress.skipped_s + progress.done_s
            bar.update(
                task,
                description=f"{progress.stage} {path}",
                completed=done_s,
                total=progress.total_s,
                clock=clock(done_s),
                speed=progress.done_s / max(time.monotonic() - began, 1e-3),
            )

        yield on_progress
