"""The command `seal`: parse, call, write. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from seal import __version__, registry
from seal.clock import clock, span_clock
from seal.config import PROFILES, QUERY_STAGES, STAGES, Options, only
from seal.errors import OptionError, SealError, VideoError
from seal.evaluate.command import evaluate

if TYPE_CHECKING:
    from seal.index import OnProgress
    from seal.query import IndexedVideo
    from seal.store import Store, VideoRecord
    from seal.types import Tokens

# The heavy imports stand inside the commands: `seal --help` must be instant.


class _Group(click.Group):
    """Commands that answer SEAL's own errors in one line on stderr and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SealError as error:
            _complain(error)
            context.exit(1)
        except KeyboardInterrupt:
            click.echo("seal: interrupted; what is indexed so far is kept", err=True)
            context.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seal")
def main() -> None:
    """Turn hours of video into a few semantic tokens once; then select, find and show from them.

    VIDEO is an id that `seal index` printed, or the path that was indexed.

    Exit codes: 0 done, 1 failed on this input or value, 2 the command line cannot be parsed.
    """


main.add_command(evaluate, "eval")

_store = click.option(
    "--store",
    "store_path",
    default=".seal",
    show_default=True,
    envvar="SEAL_STORE",
    metavar="DIR",
    help="Where the tokens are kept.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print machine-readable results.")


def _settings(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    text = f"Change an option, such as {example}; a wrong key lists the valid ones."
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=text)


_query_settings = _settings("attention.s_min=0.3")


def _attention_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of selection that have a flag of their own, short for --set attention.KEY."""
    defaults = Options().attention
    objectives = ", ".join(registry.names("objective"))
    solvers = ", ".join(registry.names("solver"))
    for name, text in reversed(
        [
            ("budget", "How many tokens to select."),
            ("objective", f"What makes a selection good: {objectives}."),
            ("solver", f"How the selection is searched for: {solvers}."),
            ("alpha", "Weight of relevance against diversity, 0 to 1."),
        ]
    ):
        default = getattr(defaults, name)
        option = click.option(f"--{name}", type=type(default), help=f"{text}  [{default}]")
        command = option(command)
    return command


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@_store
@click.option(
    "--profile", default=Options().profile, show_default=True, help=f"{', '.join(PROFILES)}."
)
@_settings("actions.min_length_s=0.5")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core.")
@_json
def index(
    paths: tuple[str, ...],
    store_path: str,
    profile: str,
    settings: tuple[str, ...],
    jobs: int | None,
    as_json: bool,
) -> None:
    """Index videos: files, addresses, or folders of images.

    What is indexed already is not done again; an interrupted run goes on where it stopped.
    """
    from seal.index import default_jobs, index_video
    from seal.store import Store

    stages = [stage for stage in STAGES if stage not in QUERY_STAGES]
    options = Options.load(profile, only(stages, settings, "it decides what a query does"))
    jobs = jobs or default_jobs(options)
    store = Store(store_path, create=True)
    failed = False
    for path in paths:
        try:
            with _progress_bar(path) as on_progress:
                record = index_video(path, store, options, jobs=jobs, on_progress=on_progress)
        except (OptionError, VideoError) as error:
            # The options were fine by themselves, so this is about this video.
            _complain(error)
            failed = True
            continue
        result = _describe(store, record) | {
            "seconds": record.seconds,
            "realtime_factor": record.duration_s / record.seconds,
        }
        for start_s, end_s, reason in record.gaps:
            span = span_clock(start_s, end_s)
            click.echo(f"seal: {path}: {span} is damaged: {reason}", err=True)
        if as_json:
            _print_json(result)
        else:
            click.echo(f"{_line(result)}  {result['realtime_factor']:.1f}x real time")
    if failed:
        sys.exit(1)


@main.command()
@click.argument("video")
@click.option("--kind", help="Only these tokens: scene, object or action.")
@_store
@_json
def tokens(video: str, kind: str | None, store_path: str, as_json: bool) -> None:
    """List the tokens of a video."""
    from seal.query import find_video
    from seal.store import Store

    store = Store(store_path)
    found = store.tokens(find_video(store, video).id, kinds=None if kind is None else [kind])
    rows = [_token(found, i) | {"track": found.track(i).tolist()} for i in range(len(found))]
    if as_json:
        _print_json(rows)
    else:
        _print_rows(rows)


@main.command()
@click.argument("video")
@click.argument("query")
@_attention_options
@_query_settings
@_store
@_json
def select(
    video: str, query: str, settings: tuple[str, ...], store_path: str, as_json: bool, **flags: Any
) -> None:
    """Select the tokens worth looking at for a query, within a budget."""
    indexed = _open(store_path, video, settings, flags)
    began = time.monotonic()
    selection = indexed.select(query)
    seconds = time.monotonic() - began
    rows = [
        _token(indexed.tokens, row) | {"relevance": float(relevance)}
        for row, relevance in zip(selection.rows, selection.relevance, strict=True)
    ]
    _say_if_all(indexed, len(selection))
    if as_json:
        _print_json(
            {
                "selection": rows,
                "objective": selection.objective,
                "upper_bound": selection.upper_bound,
                "gap": selection.gap,
                "seconds": seconds,
            }
        )
    else:
        _print_rows(rows)
        click.echo(
            f"objective {selection.objective:.4g}, at most {selection.upper_bound:.4g} possible"
        )


@main.command()
@click.argument("video")
@click.argument("query")
@click.option("--top", type=int, help=f"How many moments at most.  [{Options().find.top}]")
@_query_settings
@_store
@_json
def find(
    video: str,
    query: str,
    top: int | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Find the moments that a query describes, best first, and say if nothing matches."""
    indexed = _open(store_path, video, settings, {"find.top": top})
    moments = [
        {"start_s": m.span.start_s, "end_s": m.span.end_s, "score": m.score}
        for m in indexed.find(query)
    ]
    match = _match(indexed, query)
    if as_json:
        _print_json({"moments": moments, **match})
        return
    if match["match"] is False:
        closest = "; what comes closest:" if moments else ""
        click.echo(
            f"nothing in this video matches (probability {match['probability']:.2f}){closest}"
        )
    for moment in moments:
        span = span_clock(moment["start_s"], moment["end_s"])
        click.echo(f"{span}  score {moment['score']:.3f}")
    if not moments:
        click.echo("no moment stands out")


@main.command()
@click.argument("video")
@click.argument("query")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="Where to write it: .html or .png."
)
@_attention_options
@_query_settings
@_store
@_json
def show(
    video: str,
    query: str,
    output: str,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write the evidence as a picture that a person can read."""
    indexed = _open(store_path, video, settings, flags)
    try:
        shown = len(indexed.show(query, output))
    except OSError as error:
        raise OptionError(f"{output} cannot be written: {error.strerror}") from error
    _say_if_all(indexed, shown)
    match = _match(indexed, query)
    if as_json:
        _print_json({"video": indexed.record.id, "output": output, "tokens": shown, **match})
    else:
        click.echo(f"{output}: {shown} tokens of {indexed.record.path}")
        if match["match"] is False:
            click.echo("nothing in this video matches; these come closest")


@main.command("list")
@_store
@_json
def list_(store_path: str, as_json: bool) -> None:
    """List the indexed videos."""
    from seal.store import Store

    store = Store(store_path)
    rows = [_describe(store, record) for record in store.videos()]
    if as_json:
        _print_json(rows)
    else:
        click.echo("\n".join(map(_line, rows)) or "no videos; index some with `seal index PATH`")


@main.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@_store
@_json
def remove(videos: tuple[str, ...], store_path: str, as_json: bool) -> None:
    """Remove videos, with all their tokens, from the store."""
    from seal.query import find_video
    from seal.store import Store

    store = Store(store_path)
    records = [find_video(store, video) for video in videos]
    for record in records:
        store.remove(record.id)
        if not as_json:
            click.echo(f"removed {record.id} ({record.path})")
    store.optimize()
    if as_json:
        _print_json([{"video": record.id, "path": record.path} for record in records])


def _open(
    store_path: str, video: str, settings: tuple[str, ...], flags: dict[str, Any]
) -> IndexedVideo:
    """The video, with the flags that were given on top of the settings."""
    from seal.query import IndexedVideo
    from seal.store import Store

    given = [
        f"{name if '.' in name else f'attention.{name}'}={value}"
        for name, value in flags.items()
        if value is not None
    ]
    return IndexedVideo(Store(store_path), video, [*settings, *given])


def _match(indexed: IndexedVideo, query: str) -> dict[str, Any]:
    """Whether anything matches, or null where the encoder cannot tell."""
    match = indexed.match(query)
    if match is None:
        return {"match": None, "probability": None}
    return {"match": match.found, "probability": match.probability}


def _describe(store: Store, record: VideoRecord) -> dict[str, Any]:
    return {
        "video": record.id,
        "path": record.path,
        "duration_s": record.duration_s,
        "tokens": store.count(record.id),
        "profile": record.profile,
        "gaps": record.gaps,
    }


def _token(tokens: Tokens, row: int) -> dict[str, Any]:
    return {
        "id": str(tokens.ids[row]),
        "kind": str(tokens.kinds[row]),
        "start_s": float(tokens.start_s[row]),
        "end_s": float(tokens.end_s[row]),
        "box": tokens.boxes[row].tolist(),
    }


def _say_if_all(indexed: IndexedVideo, selected: int) -> None:
    budget = indexed.options.attention.budget
    if selected < budget:
        click.echo(
            f"seal: the video has {selected} tokens, fewer than {budget}: all selected", err=True
        )


def _line(result: dict[str, Any]) -> str:
    counts = ", ".join(f"{n} {kind}" for kind, n in result["tokens"].items())
    return f"{result['video']}  {clock(result['duration_s'])}  {counts}  {result['path']}"


def _print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        box = " ".join(f"{value:.3f}" for value in row["box"])
        relevance = f"  {row['relevance']:+.3f}" if "relevance" in row else ""
        span = span_clock(row["start_s"], row["end_s"])
        click.echo(f"{row['id']:12s} {span}  [{box}]{relevance}")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, allow_nan=False))


def _complain(error: SealError) -> None:
    click.echo(f"seal: {error}", err=True)


@contextmanager
def _progress_bar(path: str) -> Iterator[OnProgress]:
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


if __name__ == "__main__":
    main()
