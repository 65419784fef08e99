"""The command `seal`: parse, call, write. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from seal import __version__
from seal.cli.ask import ask
from seal.cli.chat import chat
from seal.cli.data import data
from seal.cli.evaluate import evaluate
from seal.cli.options import (
    attention_options,
    given,
    id_options,
    json_option,
    open_video,
    query_settings,
    settings_option,
    store_option,
    writable,
)
from seal.cli.output import (
    complain,
    describe,
    moment_rows,
    print_json,
    print_moments,
    print_rows,
    progress_bar,
    say_if_all,
    selection_of,
    token_row,
    video_line,
)
from seal.cli.prepare import doctor, prepare
from seal.cli.train import train
from seal.cli.watch import watch
from seal.clock import span_clock
from seal.config import PROFILES, QUERY_STAGES, STAGES, Options, only
from seal.errors import OptionError, SealError, VideoError
from seal.files import writing

if TYPE_CHECKING:
    from seal.query import IndexedVideo

# The heavy imports stand inside the commands: `seal --help` must be instant.


class _Group(click.Group):
    """Commands that answer SEAL's own errors in one line on stderr and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SealError as error:
            complain(error)
            context.exit(1)
        except KeyboardInterrupt:
            click.echo("seal: interrupted; what is stored so far is kept", err=True)
            context.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seal")
def main() -> None:
    """Turn hours of video into a few semantic tokens once; then select, find and show from them.

    VIDEO is an id that `seal index` printed, or the path that was indexed.

    Exit codes: 0 done, 1 failed on this input or value, 2 the command line cannot be parsed, 130
    interrupted.
    """


main.add_command(data)
main.add_command(evaluate, "eval")
main.add_command(watch)
main.add_command(train)
main.add_command(ask)
main.add_command(chat)
main.add_command(doctor)
main.add_command(prepare)


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@store_option
@click.option(
    "--profile", default=Options().profile, show_default=True, help=f"{', '.join(PROFILES)}."
)
@settings_option("actions.min_length_s=0.5")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core.")
@json_option
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
            with progress_bar(path) as on_progress:
                record = index_video(path, store, options, jobs=jobs, on_progress=on_progress)
        except (OptionError, VideoError) as error:
            # The options were fine by themselves, so this is about this video.
            complain(error)
            failed = True
            continue
        result = describe(store, record) | {
            "seconds": record.seconds,
            "realtime_factor": record.duration_s / record.seconds,
        }
        for start_s, end_s, reason in record.gaps:
            span = span_clock(start_s, end_s)
            click.echo(f"seal: {path}: {span} is damaged: {reason}", err=True)
        if as_json:
            print_json(result)
        else:
            click.echo(f"{video_line(result)}  {result['realtime_factor']:.1f}x real time")
    if failed:
        sys.exit(1)


@main.command()
@click.argument("video")
@click.option("--kind", help="Only these tokens: scene, object or action.")
@store_option
@json_option
def tokens(video: str, kind: str | None, store_path: str, as_json: bool) -> None:
    """List the tokens of a video."""
    from seal.query import find_video
    from seal.store import Store

    store = Store(store_path)
    found = store.tokens(find_video(store, video).id, kinds=None if kind is None else [kind])
    rows = [token_row(found, i) | {"track": found.track(i).tolist()} for i in range(len(found))]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)


@main.command()
@click.argument("words", nargs=-1, required=True, metavar="[VIDEO] QUERY")
@click.option("--all", "everywhere", is_flag=True, help="From every video in the store: no VIDEO.")
@attention_options
@id_options
@query_settings
@store_option
@json_option
def select(
    words: tuple[str, ...],
    everywhere: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Select the tokens worth looking at for a query, within a budget."""
    if len(words) != (1 if everywhere else 2):
        raise click.UsageError("expected QUERY alone" if everywhere else "expected VIDEO and QUERY")
    if everywhere and (include or exclude):
        raise click.UsageError("--include and --exclude are about the tokens of one VIDEO")
    if everywhere:
        from seal.corpus import Corpus
        from seal.store import Store

        corpus = Corpus(Store(store_path), given(settings, flags))
        began = time.monotonic()
        tokens, selection = corpus.select(words[0])
        options = corpus.options
    else:
        indexed = open_video(store_path, words[0], settings, flags)
        began = time.monotonic()
        selection = indexed.select(words[1], include, exclude)
        options = indexed.options
        tokens = indexed.tokens.take(selection.rows)
        say_if_all(indexed, len(selection))
    seconds = time.monotonic() - began
    found = selection_of(tokens, selection, options.attention, everywhere)
    if as_json:
        print_json(found | {"seconds": seconds})
    else:
        print_rows(found["selection"])
        click.echo(
            f"objective {selection.objective:.4g}, at most {selection.upper_bound:.4g} possible"
        )


@main.command()
@click.argument("video")
@click.argument("query")
@click.option("--top", type=int, help=f"How many moments at most.  [{Options().find.top}]")
@click.option("--head", metavar="HEAD", help="Find them with this head: a folder, or on the hub.")
@query_settings
@store_option
@json_option
def find(
    video: str,
    query: str,
    top: int | None,
    head: str | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Find the moments that a query describes, best first, and say if nothing matches."""
    indexed = open_video(store_path, video, settings, {"find.top": top, "find.head": head})
    moments = moment_rows(indexed.find(query))
    match = _match(indexed, query)
    if as_json:
        print_json({"moments": moments, **match})
        return
    if match["match"] is False:
        closest = "; what comes closest:" if moments else ""
        click.echo(
            f"nothing in this video matches (probability {match['probability']:.2f}){closest}"
        )
    print_moments(moments)
    if not moments:
        click.echo("no moment stands out")


@main.command()
@click.argument("video")
@click.argument("query")
@click.option(
    "-o",
    "--output",
    callback=writable,
    required=True,
    metavar="FILE",
    help="Where to write it: .html or .png.",
)
@attention_options
@id_options
@query_settings
@store_option
@json_option
def show(
    video: str,
    query: str,
    output: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write the evidence as a picture that a person can read."""
    indexed = open_video(store_path, video, settings, flags)
    with writing(output):
        shown = len(indexed.show(query, output, include, exclude))
    say_if_all(indexed, shown)
    match = _match(indexed, query)
    if as_json:
        print_json({"video": indexed.record.id, "output": output, "tokens": shown, **match})
    else:
        click.echo(f"{output}: {shown} tokens of {indexed.record.path}")
        if match["match"] is False:
            click.echo("nothing in this video matches; these come closest")


@main.command("list")
@store_option
@json_option
def list_(store_path: str, as_json: bool) -> None:
    """List the indexed videos."""
    from seal.store import Store

    store = Store(store_path)
    rows = [describe(store, record) for record in store.videos()]
    if as_json:
        print_json(rows)
    else:
        click.echo(
            "\n".join(map(video_line, rows)) or "no videos; index some with `seal index PATH`"
        )


@main.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@store_option
@json_option
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
        print_json([{"video": record.id, "path": record.path} for record in records])


def _match(indexed: IndexedVideo, query: str) -> dict[str, Any]:
    """Whether anything matches, or null where the encoder cannot tell."""
    match = indexed.match(query)
    if match is None:
        return {"match": None, "probability": None}
    return {"match": match.found, "probability": match.probability}
