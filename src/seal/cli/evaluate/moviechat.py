"""`seal eval moviechat`."""

from __future__ import annotations

import click

from seal.cli.ask import answerer_flags
from seal.cli.evaluate.common import interval, print_line
from seal.cli.options import given, json_option, query_settings
from seal.cli.output import print_json
from seal.errors import OptionError


@click.command()
@click.option(
    "--outputs", required=True, metavar="FILE", help="JSON: film -> question, answer, pred, time."
)
@click.option(
    "--judge", "name", required=True, metavar="NAME:MODEL", help="Who judges, as in seal ask."
)
@click.option(
    "--verdicts", metavar="FILE", help="Where verdicts are kept: none is asked for twice."
)
@query_settings
@json_option
def moviechat(
    outputs: str, name: str, verdicts: str | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """MovieChat-1K: free answers, global and at breakpoints, judged by a language model.

    What the judge fails to judge is counted apart. Strict: such an answer is wrong.
    """
    from seal.answer import load
    from seal.config import Options
    from seal.evaluate import moviechat
    from seal.evaluate.judge import Judge

    model = load(Options.load(settings=given(settings, answerer_flags(name))).answer)
    if model is None:
        raise OptionError("a judge is needed, such as --judge openai:MODEL")
    figures = moviechat.evaluate(moviechat.read_outputs(outputs), Judge(model, verdicts))
    if as_json:
        print_json({"benchmark": "moviechat", "settings": {"outputs": outputs}} | figures)
        return
    click.echo(f"judged by {figures['judge']}; 95 % intervals\n")
    columns = ("accuracy", "strict", "score")
    print_line("questions", [*columns, "judge failures"])
    for mode in moviechat.MODES:
        if mode in figures:
            row = figures[mode]
            cells = [interval(row[column]) if column in row else "-" for column in columns]
            print_line(f"{row['questions']} {mode}", [*cells, str(row["judge_failures"])])
