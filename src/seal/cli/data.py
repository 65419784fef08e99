"""`seal data`: what is there of the data sets that SEAL trains on and is measured with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.cli.command import Group
from seal.cli.options import json_option
from seal.cli.output import echo, print_json, tell
from seal.errors import DataError
from seal.printing import printable

if TYPE_CHECKING:
    from seal.datacheck import Checkable, DataReport

_LISTED = 20
"""So many problems are told on a terminal; the JSON has all."""


@click.group(cls=Group)
def data() -> None:
    """Data sets on this machine: what is missing or damaged, and where to get it."""


@data.command()
@click.argument("name", metavar="NAME")
@click.argument("folder", metavar="DIR")
@json_option
def check(name: str, folder: str, as_json: bool) -> None:
    """Look for the annotations, videos and features of a data set, laid out in DIR as published.

    NAME is one of the data sets that `seal data list` names. Exit code 1 if anything is missing or
    damaged.
    """
    source: Checkable = backends.resolve("data set", name)
    if not Path(folder).is_dir():
        raise DataError(f"{folder} is no folder; expected that of the data set {name}")
    report = source.check(Path(folder), lambda text: tell(f"checking {text}"))
    if as_json:
        print_json(_values(name, folder, report))
    else:
        _print(report)
    if report.problems:
        sys.exit(1)


@data.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the data sets that SEAL can read."""
    names = backends.names("data set")
    if as_json:
        print_json(names)
    else:
        echo("\n".join(names))


def _values(name: str, folder: str, report: DataReport) -> dict[str, Any]:
    from seal.datacheck import reasons

    return {
        "data": name,
        "folder": folder,
        "complete": not report.problems,
        "found": dict(report.found),
        "problems": [problem._asdict() for problem in report.problems],
        "skipped": reasons(report.skipped),
        "corrected": reasons(report.corrected),
        "left_out": [each.message for each in (*report.skipped, *report.corrected)],
        "page": report.page,
    }


def _print(report: DataReport) -> None:
    from seal.datacheck import reasons

    found = ", ".join(f"{count:,} {kind}" for kind, count in report.found.items())
    echo(f"{report.title}: {found}")
    for reason, count in reasons(report.skipped).items():
        echo(f"cannot be used: {count:,} annotations with {reason}")
    for reason, count in reasons(report.corrected).items():
        echo(f"corrected: {count:,} annotations with {reason}")
    for problem in report.problems[:_LISTED]:
        echo(printable(f"{problem.kind}: {problem.item}: {problem.fault}"))
    if len(report.problems) > _LISTED:
        echo(f"and {len(report.problems) - _LISTED:,} more: see --json")
    if report.problems:
        echo(f"get what is missing from {report.page}")
