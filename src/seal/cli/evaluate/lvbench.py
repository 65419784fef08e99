"""`seal eval lvbench`."""

from __future__ import annotations

import click

from seal.cli.evaluate.common import interval, print_line
from seal.cli.options import json_option
from seal.cli.output import print_json


@click.command()
@click.option(
    "--outputs", required=True, metavar="FILE", help="What a model wrote: JSON, uid -> text."
)
@click.option(
    "--annotations", required=True, metavar="FILE", help="The published video_info.meta.jsonl."
)
@json_option
def lvbench(outputs: str, annotations: str, as_json: bool) -> None:
    """LVBench: the share of right answers by type of question, of those answered and of all.

    Answers are taken out of the outputs as the official code does it, and, beside it, by reading
    them more carefully (seal). Strict: what is not answered is wrong.
    """
    from seal.evaluate import lvbench
    from seal.evaluate.bootstrap import RESAMPLES

    figures = lvbench.evaluate(lvbench.read(annotations), lvbench.read_outputs(outputs))
    settings = {"outputs": outputs, "annotations": annotations, "resamples": RESAMPLES}
    result = {"benchmark": "lvbench", "settings": settings} | figures
    if as_json:
        print_json(result)
        return
    asked, answered = result["questions"], result["answered"]
    click.echo(f"{answered['overall']} of {asked['overall']} questions answered; 95 % intervals\n")
    columns = {
        f"{name}{suffix}": method[count]
        for name, method in result["methods"].items()
        for count, suffix in (("accuracy", ""), ("strict", ", strict"))
    }
    print_line("questions of type", [*columns])
    for kind, n in asked.items():
        cells = [interval(column[kind]) if kind in column else "-" for column in columns.values()]
        print_line(f"{n} {kind}", cells)
