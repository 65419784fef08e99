"""The command `seal`: parse, call, print. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from seal import backends
from seal.cli.agents import mcp
from seal.cli.ask import ask
from seal.cli.chat import chat
from seal.cli.command import Group
from seal.cli.config import config
from seal.cli.data import data
from seal.cli.demo import demo
from seal.cli.evaluate import evaluate
from seal.cli.export import export
from seal.cli.index import index
from seal.cli.options import (
    all_option,
    asked,
    attention_options,
    id_options,
    json_option,
    library,
    query_settings,
    store_option,
    writable,
)
from seal.cli.output import complain, emit, tell
from seal.cli.plan import plan
from seal.cli.prepare import doctor, prepare
from seal.cli.serve import serve
from seal.cli.train import train
from seal.cli.version import version_option
from seal.cli.watch import watch
from seal.cli.words import chapters, transcribe
from seal.config import Options
from seal.errors import SealError
from seal.files import writing
from seal.printing import printable

# The heavy imports stand inside the commands: `seal --help` must be instant.


@contextmanager
def _printable_usage() -> Iterator[None]:
    """Errors about the command line quote it: with visible escapes, as all that is printed."""
    try:
        yield
    except click.UsageError as error:
        raise click.UsageError(printable(error.format_message()), error.ctx) from error


class _Group(Group):
    """Commands that answer SEAL's own errors in one line on stderr and exit code 1."""

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        with _printable_usage():
            return super().make_context(*arguments, **extra)

    def invoke(self, context: click.Context) -> Any:
        try:
            with _printable_usage():
                return super().invoke(context)
        except SealError as error:
            complain(error)
            context.exit(1)
        except (KeyboardInterrupt, Exception) as error:
            # A module in C that is interrupted while it loads raises an error of its own.
            if not isinstance(error.__cause__ or error, KeyboardInterrupt):
                raise
            # A second Ctrl-C must not break what is left to do: to say so, and to end.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            known = str(error) if isinstance(error, KeyboardInterrupt) else ""
            tell(f"interrupted; {known or 'everything that is stored so far is kept'}")
            context.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """Turn hours of video into a few semantic tokens once; then select, find and show from them.

    VIDEO is an id that `seal index` printed, its beginning where no other id begins so, or the
    path that was indexed. `seal remove` takes the whole id or path alone.

    Exit codes: 0 done, 1 failed on this input or value, 2 the command line cannot be parsed, 130
    interrupted.
    """
    # After each product idle threads of OpenBLAS spin for some 25 ms, on cores that others need.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


main.add_command(data)
main.add_command(evaluate, "eval")
main.add_command(index)
main.add_command(plan)
main.add_command(watch)
main.add_command(train)
main.add_command(ask)
main.add_command(chat)
main.add_command(export)
main.add_command(transcribe)
main.add_command(chapters)
main.add_command(serve)
main.add_command(mcp)
main.add_command(config)
main.add_command(demo)
main.add_command(doctor)
main.add_command(prepare)


@main.command()
@click.argument("video")
@click.option("--kind", help=f"List the tokens of one kind: {', '.join(backends.names('kind'))}.")
@store_option
@json_option
def tokens(video: str, kind: str | None, store_path: str, as_json: bool) -> None:
    """List the tokens of a video."""
    emit(library(store_path).video(video).list_tokens(kind), as_json)


@main.command()
@click.argument("words", nargs=-1, required=True, metavar="[VIDEO] QUERY")
@all_option
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
    opened, query = asked(store_path, words, everywhere)
    selection = opened.select(
        query, options=settings, **flags, **_ids(everywhere, include, exclude)
    )
    _tell_if_all(selection, everywhere)
    emit(selection, as_json)


@main.command()
@click.argument("words", nargs=-1, required=True, metavar="[VIDEO] QUERY")
@all_option
@click.option("--top", type=int, help=f"How many moments at most.  [{Options().find.top}]")
@click.option("--head", metavar="HEAD", help="Find them with this head: a folder, or on the hub.")
@query_settings
@store_option
@json_option
def find(
    words: tuple[str, ...],
    everywhere: bool,
    top: int | None,
    head: str | None,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Find the moments that a query describes, best first, and say if a match is unlikely."""
    opened, query = asked(store_path, words, everywhere)
    emit(opened.find(query, top=top, head=head, options=settings), as_json)


@main.command()
@click.argument("words", nargs=-1, required=True, metavar="[VIDEO] QUERY")
@all_option
@click.option(
    "-o",
    "--output",
    callback=writable,
    required=True,
    metavar="FILE",
    help="The file to write: .html or .png.",
)
@attention_options
@id_options
@query_settings
@store_option
@json_option
def show(
    words: tuple[str, ...],
    everywhere: bool,
    output: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Write the evidence as a picture that a person can read."""
    opened, query = asked(store_path, words, everywhere)
    ids = _ids(everywhere, include, exclude)
    with writing(output):
        shown = opened.show(query, output, options=settings, **flags, **ids)
    _tell_if_all(shown.selection, everywhere)
    emit(shown, as_json)


@main.command("list")
@store_option
@click.option(
    "--unfinished", is_flag=True, help="Only videos that were begun, with stored and failed parts."
)
@json_option
def list_(store_path: str, unfinished: bool, as_json: bool) -> None:
    """List the indexed videos. The JSON leaves out unfinished videos, which --unfinished lists."""
    listing = library(store_path).listing()
    emit(listing.begun if unfinished else listing, as_json)


@main.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option("--purge", is_flag=True, help="Give the space back at once.")
@store_option
@json_option
def remove(videos: tuple[str, ...], purge: bool, store_path: str, as_json: bool) -> None:
    """Remove videos, indexed or half indexed, with all their tokens from the store.

    The space comes back some minutes later, when nobody can be reading the tokens any more.
    """
    emit(library(store_path).remove(*videos, purge=purge), as_json)


@main.command()
@store_option
@json_option
def optimize(store_path: str, as_json: bool) -> None:
    """Give back the space of everything that was removed or left over by killed processes."""
    emit(library(store_path).optimize(), as_json)


def _ids(
    everywhere: bool, include: tuple[str, ...], exclude: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The ids to include and to exclude, which only one video has."""
    if everywhere and (include or exclude):
        raise click.UsageError("--include and --exclude are about the tokens of one VIDEO")
    return {} if everywhere else {"include": include, "exclude": exclude}


def _tell_if_all(selection: Any, everywhere: bool) -> None:
    if not everywhere and len(selection) == selection.candidates:
        tell(f"the video has no more than {len(selection)} tokens: all selected")
