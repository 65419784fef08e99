"""`seal config`: what the configuration file and the environment say."""

from __future__ import annotations

import os
from typing import Any

import click

from seal.arguments import asking
from seal.cli.command import Command, config_file
from seal.cli.options import json_option
from seal.cli.output import echo, print_json
from seal.config import DEFAULT_STORE, PROFILES, Options, as_settings, yielding
from seal.config.serving import ServeOptions
from seal.configfile import ConfigFile

_DEFAULT = "default"
_UNNAMED = ("token",)
"""What no configuration file holds."""


@click.command(cls=Command, reads_config=True)
@click.option("--all", "everything", is_flag=True, help="Also print what is as it is by default.")
@json_option
def config(everything: bool, as_json: bool) -> None:
    """Print the configuration file that applies here, each value, and where the value comes from.

    Values come from the command line, the environment, the configuration file, the profile and the
    defaults, in this order. Each task may have defaults of its own; they are not listed.
    """
    file = config_file()
    values = _values(file)
    if as_json:
        print_json({"file": None if file.path is None else str(file.path), "values": values})
        return
    echo("no configuration file" if file.path is None else f"configuration file: {file.path}")
    for key, row in values.items():
        if everything or row["from"] != _DEFAULT:
            echo(f"{key} = {_shown(row['value'])}  ({row['from']})")


def _values(file: ConfigFile) -> dict[str, dict[str, Any]]:
    """Each key with its value and its origin: the top of the file, the options, the server."""
    said = f"file {file.path}"
    profile = file.profile or Options.profile
    own = {
        "store": _first("SEAL_STORE", file.store, DEFAULT_STORE, said),
        "profile": _first(None, file.profile, Options.profile, said),
        "answerer": _first("SEAL_ANSWERER", file.answerer, None, said),
    }
    chosen = as_settings(
        {key: each for key, each in asking(None, own["answerer"]["value"]).items() if each}
    )
    defaults = file.defaults()
    options = Options.load(profile, chosen, None, defaults)
    kept = {setting.partition("=")[0] for setting in yielding(profile, chosen, None, defaults)}
    for key in options.keys():  # noqa: SIM118 - a list of names, not a mapping
        origin = f"profile {profile}" if key in PROFILES[profile] else _DEFAULT
        origin = own["answerer"]["from"] if key in ("answer.backend", "answer.model") else origin
        own[key] = {"value": options.value(key), "from": said if key in kept else origin}
    for key, value in file.options.items():
        # A key of a back end that the command line has yet to choose.
        own.setdefault(key, {"value": value, "from": said})
    served = vars(ServeOptions()) | {"token_file": None} | dict(file.serve)
    for key in sorted(served.keys() - {*_UNNAMED}):
        origin = said if key in file.serve else _DEFAULT
        own[f"serve.{key}"] = {"value": _plain(served[key]), "from": origin}
    return own


def _first(variable: str | None, filed: str | None, default: Any, said: str) -> dict[str, Any]:
    """A value of the environment, of the file, or by default, and which of them it is."""
    if variable is not None and os.environ.get(variable):
        return {"value": os.environ[variable], "from": f"environment {variable}"}
    if filed is not None:
        return {"value": filed, "from": said}
    return {"value": default, "from": _DEFAULT}


def _plain(value: Any) -> Any:
    """A value as JSON has it: paths are texts."""
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
