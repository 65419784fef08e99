"""`seal eval qfvs`."""

from __future__ import annotations

import click

from seal.cli.command import Command
from seal.cli.evaluate.common import (
    benchmark_options,
    folder_of,
    head,
    interval,
    method_option,
    print_line,
    query_options,
)
from seal.cli.output import echo, print_json


@click.command(cls=Command)
@benchmark_options("the published files of QFVS, directly or in qfvs/")
@method_option
def qfvs(data: str, wanted: tuple[str, ...], settings: tuple[str, ...], as_json: bool) -> None:
    """Query-focused summaries: F1 with what people chose, by what the shots show.

    The data set is that of Sharghi et al. (CVPR 2017), laid out as published, in DIR/qfvs or DIR.
    """
    from seal.evaluate import qfvs
    from seal.evaluate.methods import methods

    options = query_options(settings, "select")
    chosen = methods(options.attention, wanted)
    videos = qfvs.read(folder_of(data, "qfvs"))
    figures = qfvs.evaluate(videos, chosen, default=options.attention.objective)
    result = head("qfvs", data, options, {"budget": "the oracle's length"}) | figures
    if as_json:
        print_json(result)
        return
    names = list(result["videos"])
    echo(f"{len(result['queries'])} queries of {', '.join(names)}; F1 with 95 % interval\n")
    rows = [("the oracle", result["oracle"]), ("people with each other", result["people"])]
    print_line("method", ["all", *names], "seconds")
    for name, row in [*rows, *result["methods"].items()]:
        estimates = [row["f1"], *row["videos"].values()]
        seconds = f"{row['seconds']:.1f}" if "seconds" in row else ""
        print_line(name, [*map(interval, estimates)], seconds)
    if result["ahead"]:
        echo(f"\nby how much {result['default']}, the default, is ahead\n")
    for name, row in result["ahead"].items():
        print_line(name, [interval(row["f1"])])
