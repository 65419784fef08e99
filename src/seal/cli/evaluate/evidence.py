"""`seal eval evidence`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.common import folder_of, interval, left_out, print_line
from seal.cli.options import data_option, json_option, query_settings, writable
from seal.cli.output import echo, print_json, tell
from seal.errors import OptionError

if TYPE_CHECKING:
    from seal.evaluate.evidence import Picks

SEAL = "seal"


@click.command(cls=Command)
@click.argument("files", nargs=-1, metavar="[PICKS.json]...")
@data_option("evidence_val.json, directly or in longvideobench/")
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How far a pick may be away; can be given several times.  [1, 2, 5]",
)
@click.option("--videos", metavar="DIR", help="Also let SEAL pick: the videos of LongVideoBench.")
@click.option("--annotations", metavar="FILE", help="With --videos: the published lvb_val.json.")
@click.option(
    "--budget",
    type=click.IntRange(1),
    help="With --videos: how many tokens to select for each question.  [64]",
)
@click.option(
    "--picks",
    "target",
    callback=writable,
    metavar="FILE",
    help="With --videos: write SEAL's picks here.  [seal.json]",
)
@click.option(
    "--store",
    "store_path",
    default=".seal-evidence",
    show_default=True,
    metavar="DIR",
    help="With --videos: where their tokens are kept.",
)
@query_settings
@json_option
def evidence(
    files: tuple[str, ...],
    data: str,
    tolerances: tuple[float, ...],
    videos: str | None,
    annotations: str | None,
    budget: int | None,
    target: str | None,
    store_path: str,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Picks against the times that the questions of LongVideoBench were made from.

    PICKS.json has the times that a selector chose for each question, in seconds:
    {"QUESTION ID": [12.5, 80.0]}; the file's name names the selector. The picks that AKS published
    are compared as well, and beside each selector stand as many picks an equal time apart.
    """
    from seal.evaluate import evidence
    from seal.evaluate.bootstrap import RESAMPLES
    from seal.library import LocalLibrary

    if videos is None:
        given = {
            "--annotations": annotations,
            "--budget": budget,
            "--picks": target,
            "--set": settings,
        }
        without = [name for name, value in given.items() if value]
        if without:
            raise click.UsageError(f"{', '.join(without)} has no effect without --videos")
    questions, skipped = evidence.read(folder_of(data, "longvideobench") / evidence.FILE)
    picks: dict[str, Picks] = {}
    if videos is not None:
        if annotations is None:
            raise click.UsageError("--videos needs --annotations, which has the questions' words")
        picks[SEAL] = evidence.pick(
            questions,
            annotations,
            videos,
            LocalLibrary.at(store_path),
            budget or evidence.BUDGET,
            settings=settings,
            on_video=lambda path: tell(f"indexing {path} unless it is"),
        )
        evidence.write_picks(target or f"{SEAL}.json", picks[SEAL])
    for name, read in [
        *((Path(file).stem, evidence.read_picks(file)) for file in files),
        *evidence.published(questions).items(),
    ]:
        if name in picks or name.startswith(evidence.UNIFORM):
            raise OptionError(f"there is another selector {name!r}: give the file another name")
        picks[name] = read
    figures = evidence.evaluate(questions, picks, sorted(set(tolerances)) or evidence.TOLERANCES_S)
    result: dict[str, Any] = {
        "benchmark": "evidence",
        "settings": {"data": data, "set": list(settings), "resamples": RESAMPLES},
    } | figures
    result["left_out"] = left_out(skipped)
    for name, count in result["unknown"].items():
        if count:
            tell(f"{name}: {count:,} picks are of questions that {evidence.FILE} does not have")
    print_json(result) if as_json else _print(result)


def _print(result: dict[str, Any]) -> None:
    asked = result["questions"]
    echo(f"{asked['all']} questions; share of evidence times found; 95 % intervals over videos")
    for name, count in result["missing"].items():
        if count:
            tell(f"{name} has no picks for {count:,} questions, which count for nobody")
    _table(f"all, {asked['all']} questions", result, result["default"])
    for group, figures in result["groups"].items():
        _table(f"videos up to {group} s, {asked[group]} questions", figures, result["default"])


def _table(title: str, figures: Mapping[str, Any], default: str) -> None:
    echo(f"\n{title}\n")
    metrics = list(figures["methods"][default])
    width = max(24, *(len(name) + 1 for name in figures["methods"]))
    print_line("selector", metrics, width=width)
    for name, row in figures["methods"].items():
        print_line(name, [interval(row[metric]) for metric in metrics], width=width)
    echo(f"\nby how much {default} is ahead\n")
    for name, row in figures["ahead"].items():
        print_line(name, [interval(row[metric]) for metric in metrics], width=width)
