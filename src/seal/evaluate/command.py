"""`seal eval`: benchmarks over all ways to choose tokens, as a table or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seal import registry
from seal.config import Options, only
from seal.errors import DataError

# The heavy imports stand inside the commands: `seal --help` must be instant.


@click.group()
def evaluate() -> None:
    """Measure how well tokens are chosen, on data with known answers.

    Every baseline and every objective is measured on the same tokens, with 95 % intervals.
    """


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all benchmarks have."""
    names = ", ".join(registry.names("baseline") + registry.names("objective"))
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print machine-readable results."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change an option of the objectives, such as attention.alpha=0.5.",
        ),
        click.option(
            "--method",
            "wanted",
            multiple=True,
            metavar="NAME",
            help=f"Only this one; can be given several times.  [{names}]",
        ),
        click.option(
            "--data",
            default="../shared/data",
            show_default=True,
            envvar="SEAL_TEST_DATA",
            metavar="DIR",
            help="Where the data lies; the folders of the benchmarks are looked for in it.",
        ),
    ):
        command = option(command)
    return command


@evaluate.command()
@_common
def qfvs(data: str, wanted: tuple[str, ...], settings: tuple[str, ...], as_json: bool) -> None:
    """Query-focused summaries: F1 with what people chose, by what the shots show.

    The data set is that of Sharghi et al. (CVPR 2017), laid out as published, in DIR/qfvs or DIR.
    """
    from seal.evaluate import qfvs
    from seal.evaluate.methods import methods

    options = _options(settings)
    chosen = methods(options.attention, wanted)
    videos = qfvs.read(_folder(data, "qfvs"))
    figures = qfvs.evaluate(videos, chosen)
    result = _result("qfvs", data, options, {"budget": "the oracle's length"}) | figures
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    names = list(result["videos"])
    click.echo(f"{len(result['queries'])} queries of {', '.join(names)}; F1 with 95 % interval\n")
    rows = [("the oracle", result["oracle"]), ("people with each other", result["people"])]
    click.echo(_line("method", ["F1", *names, "seconds"]))
    for name, row in [*rows, *result["methods"].items()]:
        videos_f1 = [f"{row['videos'][video]['mean']:.3f}" for video in names]
        seconds = f"{row['seconds']:.1f}" if "seconds" in row else ""
        click.echo(_line(name, [_text(row["f1"]), *videos_f1, seconds]))


def _options(settings: tuple[str, ...]) -> Options:
    return Options.load(settings=only(["attention"], settings, "benchmarks fix everything else"))


def _result(
    benchmark: str, data: str, options: Options, settings: dict[str, Any]
) -> dict[str, Any]:
    from seal.config import as_dict
    from seal.evaluate.bootstrap import RESAMPLES

    fixed = {"data": data, "attention": as_dict(options.attention), "resamples": RESAMPLES}
    return {"benchmark": benchmark, "settings": fixed | settings}


def _folder(data: str, name: str) -> Path:
    """The folder of a benchmark, which may be given itself."""
    inside = Path(data) / name
    if inside.is_dir():
        return inside
    if not Path(data).is_dir():
        raise DataError(f"{data} is no folder: say where the data lies with --data")
    return Path(data)


def _text(estimate: dict[str, float]) -> str:
    from seal.evaluate.bootstrap import Estimate

    return str(Estimate(**estimate))


def _line(name: str, cells: list[str]) -> str:
    return f"{name:24s}" + "".join(
        f"{cell:>24s}" if i == 0 else f"{cell:>9s}" for i, cell in enumerate(cells)
    )
