"""Options that several commands have."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.cli.command import defaults
from seal.config import DEFAULT_STORE, Options
from seal.errors import DataError

if TYPE_CHECKING:
    from seal.front import Library


def writable(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The file to write. A file that cannot be written is an error before the work, not after."""
    if value is None:
        return None
    path = Path(value)
    if path.is_dir():
        reason = errno.EISDIR
    elif not path.parent.is_dir():
        reason = errno.ENOENT
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = errno.EACCES
    else:
        return value
    raise DataError(f"{value} cannot be written: {os.strerror(reason)}")


store_option = click.option(
    "--store",
    "store_path",
    default=DEFAULT_STORE,
    show_default=True,
    envvar="SEAL_STORE",
    metavar="DIR",
    help="The folder with the tokens, or its address: s3://, gs://, az://, http:// of a server.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print machine-readable results."
)
all_option = click.option(
    "--all", "everywhere", is_flag=True, help="Ask every video in the store; leave out VIDEO."
)


def data_option(holds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`data`: a folder that the user must name; `holds` completes "the folder with"."""

    def given(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
        if value is None:
            raise click.UsageError(f"give --data DIR or set SEAL_DATA: the folder with {holds}")
        return value

    return click.option(
        "--data",
        callback=given,
        envvar="SEAL_DATA",
        show_envvar=True,
        metavar="DIR",
        help=f"Required: the folder with {holds}.",
    )


def settings_option(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`settings`: options that have no flag of their own; `example` is one of them."""
    text = f"Change an option, such as {example}; a wrong key lists the valid ones."
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=text)


query_settings = settings_option("attention.answer_weight=0.9")


def features_options(command: Callable[..., None]) -> Callable[..., None]:
    """`features` and `words`: published features of videos and of the words of queries."""
    command = click.option(
        "--words",
        metavar="PATH",
        help="Published features of the words of queries, by ANNOTATION_INDEX; by default the"
        " encoder of the default profile embeds each word.",
    )(command)
    return click.option(
        "--features",
        metavar="FAMILY:PATH",
        help="Published features in place of tokens: slowfast, omnivore, egovlp or internvideo, in"
        " a folder or an .hdf5 file.",
    )(command)


def attention_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of selection that have a flag of their own, short for --set attention.KEY."""
    defaults = Options().attention
    objectives = ", ".join(backends.names("objective"))
    solvers = ", ".join(backends.names("solver"))
    for name, text in reversed(
        [
            ("budget", "How many tokens to select, or what they may cost."),
            ("objective", f"What makes a selection good: {objectives}."),
            ("solver", f"How the selection is searched for: {solvers}."),
            ("alpha", "Weight of relevance against diversity, 0 to 1, with paper and normalised."),
        ]
    ):
        default = getattr(defaults, name)
        option = click.option(f"--{name}", type=type(default), help=f"{text}  [{default}]")
        command = option(command)
    return command


def id_options(command: Callable[..., None]) -> Callable[..., None]:
    """`include` and `exclude`: tokens by their ids."""
    for name, text in (
        ("exclude", "A token not to select; can be repeated."),
        ("include", "A token to select in any case; can be repeated."),
    ):
        command = click.option(f"--{name}", multiple=True, metavar="ID", help=text)(command)
    return command


def library(store_path: str, create: bool = False) -> Library:
    """The library of a command."""
    from seal.config.serving import is_server

    if is_server(store_path):
        from seal.opening import open_library

        return open_library(store_path, token=os.environ.get("SEAL_TOKEN"))
    from seal.library import LocalLibrary

    return LocalLibrary.at(store_path, create=create, defaults=defaults())


def asked(store_path: str, words: tuple[str, ...], everywhere: bool) -> tuple[Any, str]:
    """What "[VIDEO] QUERY" asks: a `Video`, or with `--all` the `Library`, and the query."""
    if len(words) != (1 if everywhere else 2):
        raise click.UsageError("expected QUERY alone" if everywhere else "expected VIDEO and QUERY")
    opened = library(store_path)
    return (opened if everywhere else opened.video(words[0])), words[-1]
