"""Options that several commands have."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.config import Options
from seal.errors import DataError

if TYPE_CHECKING:
    from seal.query import IndexedVideo


def writable(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The file to write: what is against it is said before hours of work, not after."""
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
    default=".seal",
    show_default=True,
    envvar="SEAL_STORE",
    metavar="DIR",
    help="Where the tokens are kept.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print machine-readable results."
)


def settings_option(example: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    text = f"Change an option, such as {example}; a wrong key lists the valid ones."
    return click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=text)


query_settings = settings_option("attention.focus=0.8")


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


def open_video(
    store_path: str, video: str, settings: tuple[str, ...], flags: dict[str, Any]
) -> IndexedVideo:
    """The video, with the flags that were given on top of the settings."""
    from seal.query import IndexedVideo
    from seal.store import Store

    return IndexedVideo(Store(store_path), video, given(settings, flags))


def given(settings: tuple[str, ...], flags: dict[str, Any]) -> list[str]:
    """The settings, with the flags that were given on top."""
    on_top = [
        f"{name if '.' in name else f'attention.{name}'}={value}"
        for name, value in flags.items()
        if value is not None
    ]
    return [*settings, *on_top]
