"""`seal eval`: benchmarks over all ways to choose tokens, as a table or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from seal import registry
from seal.config import QUERY_STAGES, Options, as_dict, only
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
            help="Change an option of a query, such as attention.alpha=0.5.",
        ),
        click.option(
            "--method",
            "wanted",
            multiple=True,
            metavar="NAME",
            help=f"Only this one; can be given several times.  [{names}; and, window by window,"
            " objectives followed by (streaming)]",
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
    click.echo(_line("method", ["all", *names], "seconds"))
    for name, row in [*rows, *result["methods"].items()]:
        estimates = [row["f1"], *row["videos"].values()]
        seconds = f"{row['seconds']:.1f}" if "seconds" in row else ""
        click.echo(_line(name, [*map(_text, estimates)], seconds))


@evaluate.command()
@_common
@click.option("--film", metavar="FILE", help="The hay; by default Big Buck Bunny in DIR/videos.")
@click.option(
    "--store",
    "store_path",
    default=".seal-haystack",
    show_default=True,
    metavar="DIR",
    help="Where the tokens of film and clips are kept: they are indexed once.",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    type=click.IntRange(1),
    help="How many tokens to select; can be given several times.  [8, 16, 32, 64]",
)
@click.option("--together", is_flag=True, help="All clips in the film at once, hay to each other.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core.")
@click.option("--plot", metavar="FILE", help="Draw recall against the budget, as .png or .svg.")
def haystack(
    data: str,
    wanted: tuple[str, ...],
    settings: tuple[str, ...],
    film: str | None,
    store_path: str,
    budgets: tuple[int, ...],
    together: bool,
    jobs: int | None,
    plot: str | None,
    as_json: bool,
) -> None:
    """Needles in a haystack: real clips spliced into a film, asked for by their descriptions.

    Film and clips are looked for in DIR/videos, with the descriptions in DIR/videos/needles.json.
    """
    from seal.evaluate import haystack
    from seal.evaluate.methods import methods
    from seal.store import Store
    from seal.weights import require

    if plot is not None:
        require("matplotlib", "eval")  # Before the work, not after it.
    options = _options(settings)
    chosen = methods(options.attention, wanted)
    figures = haystack.evaluate(
        _folder(data),
        Store(store_path, create=True),
        chosen,
        options,
        film=film,
        together=together,
        budgets=sorted(set(budgets)) or haystack.BUDGETS,
        jobs=jobs,
        on_video=lambda path: click.echo(f"indexing {path} unless it is", err=True),
    )
    settings_used = {"find": as_dict(options.find), "needle_s": haystack.NEEDLE_S}
    result = _result("haystack", data, options, settings_used) | figures
    if plot is not None:
        from seal.evaluate.plot import draw

        draw(result, plot)
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    sizes = [str(budget) for budget in result["budgets"]]
    click.echo(f"{len(result['needles'])} needles; recall with 95 % interval at so many tokens\n")
    click.echo(_line("method", sizes, "seconds"))
    for name, row in result["methods"].items():
        cells = [_text(row["recall"][size]) for size in sizes]
        click.echo(_line(name, cells, f"{row['seconds']:.1f}"))
    if result["default"] in result["methods"]:
        click.echo(f"\nby how much {result['default']}, the default, is ahead\n")
        for name, row in result["methods"].items():
            if name != result["default"]:
                click.echo(_line(name, [_text(row["default_ahead"][size]) for size in sizes]))
    click.echo("\nmoments of `seal find`\n")
    for name, estimate in result["find"].items():
        click.echo(_line(name, [_text(estimate)]))


def _options(settings: tuple[str, ...]) -> Options:
    advice = "benchmarks fix how videos are indexed"
    return Options.load(settings=only(QUERY_STAGES, settings, advice))


def _result(
    benchmark: str, data: str, options: Options, settings: dict[str, Any]
) -> dict[str, Any]:
    from seal.evaluate.bootstrap import RESAMPLES

    fixed = {"data": data, "attention": as_dict(options.attention), "resamples": RESAMPLES}
    return {"benchmark": benchmark, "settings": fixed | settings}


def _folder(data: str, name: str = ".") -> Path:
    """The folder of a benchmark inside that of all data; it may be given itself."""
    folder = Path(data)
    if not folder.is_dir():
        raise DataError(f"{data} is no folder: say where the data lies with --data")
    return folder / name if (folder / name).is_dir() else folder


def _text(estimate: dict[str, float]) -> str:
    from seal.evaluate.bootstrap import Estimate

    return str(Estimate(**estimate))


def _line(name: str, cells: list[str], seconds: str = "") -> str:
    """A row of a table."""
    return f"{name:24s}" + "".join(f"{cell:>25s}" for cell in cells) + f"{seconds:>9s}"
