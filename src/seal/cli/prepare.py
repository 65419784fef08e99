"""`seal doctor` and `seal prepare`: what a profile needs, what is here, and the download."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from seal.cli.command import Command, defaults
from seal.cli.options import json_option, settings_option
from seal.cli.output import echo, print_json, tell
from seal.config import PROFILES, Options

if TYPE_CHECKING:
    from seal.preparation import Preparation

_NAMES = click.Choice(list(PROFILES))


@click.command(cls=Command)
@click.argument("profiles", nargs=-1, type=_NAMES, metavar="[PROFILE]...")
@json_option
def doctor(profiles: tuple[str, ...], as_json: bool) -> None:
    """Say what is installed, which models are here, and what is missing, for each PROFILE.

    Nothing is downloaded and no connection is opened. Exit code 1 if a PROFILE is not ready; where
    none is named, all are shown and the default profile decides.
    """
    from seal.diagnosis import diagnose

    diagnosis = diagnose(profiles)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        echo(diagnosis)
    if not diagnosis.is_ready(profiles or [Options().profile]):
        sys.exit(1)


@click.command(cls=Command, reads_config=True)
@click.argument("profile", type=_NAMES, metavar="PROFILE")
@settings_option("encode.weights=google/siglip2-base-patch16-224")
@click.option("--yes", is_flag=True, help="Download without asking.")
@json_option
def prepare(profile: str, settings: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Download the models that PROFILE needs, after saying which files and how many bytes.

    The hub is asked for the files and their sizes. `seal doctor PROFILE` names the models without a
    network. Files that are complete are never downloaded again. Exit code 2 where there is no
    terminal to ask at and --yes is not given.
    """
    from seal.preparation import needs, options_for, verify

    options = options_for(profile, settings, defaults())
    known = needs(options)
    preparation = _download(options, yes, as_json)
    # An adapter says which model it is for once it is here.
    if needs(options) != known:
        preparation = _download(options, yes, as_json)
    if preparation.models:
        verify(options)
    if as_json:
        print_json(preparation.to_json())
    elif preparation.models:
        echo(f"{profile}: complete; all models are found without a network")


def _download(options: Options, yes: bool, as_json: bool) -> Preparation:
    from seal.preparation import fetch, plan, size

    preparation = plan(options)
    # With --json the list goes to stderr: stdout gets the result alone.
    echo(preparation, err=as_json)
    if not (preparation.is_complete or yes):
        download = size(preparation.missing_bytes)
        if not sys.stdin.isatty():
            raise click.UsageError(f"{download} to download: confirm with --yes")
        if not click.confirm(f"Download {download}?", err=True):
            tell("nothing was downloaded")
            sys.exit(1)
    return fetch(preparation, lambda text: echo(text, err=True))
