"""`seal eval qmsum`."""

from __future__ import annotations

from typing import Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.common import (
    benchmark_options,
    folder_of,
    head,
    interval,
    left_out,
    method_option,
    plot_option,
    print_line,
    query_options,
)
from seal.cli.output import echo, print_json

_METRICS = ("precision", "recall", "hit")


@click.command(cls=Command)
@benchmark_options("the published files of QMSum, such as val.jsonl, directly or in qmsum/")
@method_option
@click.option(
    "--splits",
    metavar="NAME,...",
    help="Only these files, such as val.  [all that are there]",
)
@click.option(
    "--relevance",
    metavar="NAME",
    help="By word vectors (static), the text tower of mini, the words themselves (bm25), or words"
    " and meaning in one score (words, words-static).  [static]",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    type=click.FloatRange(0, 100, min_open=True),
    help="Per cent of the turns to select; can be given several times.  [1, 2, 5, 10]",
)
@plot_option
def qmsum(
    data: str,
    wanted: tuple[str, ...],
    settings: tuple[str, ...],
    splits: str | None,
    relevance: str | None,
    budgets: tuple[float, ...],
    plot: str | None,
    as_json: bool,
) -> None:
    """Questions about meetings: how many of the selected turns are among those that answer.

    The data set is that of Zhong et al. (NAACL 2021), a file SPLIT.jsonl of meetings for each
    split, in DIR/qmsum or DIR. It has no times: 2.5 words a second are assumed.
    """
    from seal.evaluate import qmsum
    from seal.evaluate.methods import methods
    from seal.evaluate.texts import RELEVANCE

    options = query_options(settings, "select")
    chosen = methods(options.attention, wanted)
    names = [name.strip() for name in splits.split(",")] if splits else []
    meetings = qmsum.read(folder_of(data, "qmsum"), names)
    figures = qmsum.evaluate(
        meetings,
        chosen,
        relevance or RELEVANCE[0],
        budgets=sorted(set(budgets)) or qmsum.BUDGETS,
        default=options.attention.objective,
    )
    result = head("qmsum", data, options, {}) | figures
    result["left_out"] = left_out(meetings.skipped)
    if plot is not None:
        from seal.evaluate.plot import draw

        panels = {
            metric: {
                name: [row[f"{metric}@{budget}"] for budget in result["budgets"]]
                for name, row in result["methods"].items()
            }
            for metric in _METRICS
        }
        shares = [float(budget.rstrip("%")) for budget in result["budgets"]]
        draw(panels, shares, "% of the turns selected", result["default"], plot)
    if as_json:
        print_json(result)
        return
    echo(
        f"{result['questions']} questions about {result['meetings']} meetings of"
        f" {', '.join(result['splits'])}; relevance: {result['relevance']};"
        " 95 % intervals over questions"
    )
    for budget in result["budgets"]:
        _print(result, budget)


def _print(result: dict[str, Any], budget: str) -> None:
    echo(f"\n{budget} of the turns selected\n")
    print_line("method", [*_METRICS], "seconds")
    for name, row in result["methods"].items():
        cells = [interval(row[f"{metric}@{budget}"]) for metric in _METRICS]
        print_line(name, cells, f"{row['seconds']:.1f}")
    if result["ahead"]:
        echo(f"\nby how much {result['default']}, the default, is ahead\n")
    for name, row in result["ahead"].items():
        print_line(name, [interval(row[f"{metric}@{budget}"]) for metric in _METRICS])
