"""`seal eval moviechat`."""

from __future__ import annotations

from typing import Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.asking import (
    ask,
    asking_options,
    model_of,
    planned,
    print_plan,
    print_result,
    refuse_asking,
    take_lab,
)
from seal.cli.evaluate.common import interval, left_out, print_line
from seal.cli.options import writable
from seal.cli.output import echo, print_json, tell


@click.command(cls=Command)
@click.option(
    "--judge",
    "name",
    metavar="NAME:MODEL",
    help="Required but for a dry run: who judges, as in seal ask.",
)
@click.option(
    "--judge-set",
    "judge_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change an option of the judge, such as answer.base_url; without --answerer, --set too.",
)
@click.option(
    "--judge-prompt",
    metavar="FILE",
    help="Another prompt, in which {question}, {answer} and {output} stand for the texts.",
)
@click.option(
    "--verdicts",
    callback=writable,
    metavar="FILE",
    help="Where verdicts are kept: none is asked for twice.",
)
@asking_options("moviechat", "The published JSON of a film", required=False)
def moviechat(
    name: str | None,
    judge_settings: tuple[str, ...],
    judge_prompt: str | None,
    verdicts: str | None,
    annotations: str | None,
    outputs: str | None,
    answerer: str | None,
    settings: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
    **asked: Any,
) -> None:
    """MovieChat-1K: free answers, global and at breakpoints, judged by a language model.

    What the judge fails to judge is counted apart. Strict: such an answer is wrong. Official
    figures are by the rules of the official code: those of today, which take verdicts as they are,
    and those of October 2023, which corrected them. Outputs are JSON, film to a list of question,
    answer, pred and time. A model is asked once for each of --methods: by default with the evidence
    that SEAL selects, and with as many scenes an equal time apart (uniform). At breakpoints,
    evidence is taken of what was shown until then. The videos in the store are known by the names
    of their files.
    """
    from seal.evaluate import moviechat
    from seal.evaluate.judge import PROMPT, Judge
    from seal.files import read_text

    lab = take_lab(dry_run, asked)
    if dry_run:
        if annotations is None or outputs is not None:
            raise click.UsageError("expected --annotations, and no --outputs, with --dry-run")
        films = moviechat.PUBLISHED.read(annotations)
        plan = planned(
            moviechat.PUBLISHED, annotations, films, answerer, lab, {**asked, "settings": settings}
        )
        plan = {"benchmark": "moviechat", "left_out": left_out(films.skipped)} | plan
        print_json(plan) if as_json else print_plan(plan)
        return
    if name is None:
        raise click.UsageError("give --judge NAME:MODEL: who judges the answers")
    if (outputs is None) == (answerer is None) or (answerer is not None and annotations is None):
        raise click.UsageError("expected either --outputs, or --annotations and --answerer")
    if outputs is not None:
        refuse_asking(asked)
    judges = judge_settings if answerer is not None else (*settings, *judge_settings)
    prompt = PROMPT if judge_prompt is None else read_text(judge_prompt)
    judge = Judge(
        model_of(name, judges, "--judge"),
        verdicts,
        prompt,
        lambda reason: tell(f"the judge failed: {reason}"),
    )
    result: dict[str, Any] = {"benchmark": "moviechat"}
    if outputs is not None:
        questions, texts = moviechat.read_outputs(outputs)
        result["settings"] = {"outputs": outputs}
        result["left_out"] = left_out(questions.skipped)
        result |= moviechat.evaluate(questions, texts, judge)
    else:
        questions = moviechat.PUBLISHED.read(str(annotations))
        result["settings"] = {"annotations": annotations}
        result["left_out"] = left_out(questions.skipped)
        result |= ask(
            "moviechat",
            questions,
            lambda texts: moviechat.evaluate(questions, texts, judge),
            str(answerer),
            settings=settings,
            **asked,
        )
    print_result(result, as_json, _print, _row)


def _row(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    from seal.evaluate.moviechat import MODES

    judged = [mode for mode in MODES if "accuracy" in figures.get(mode, {})]
    return {mode: figures[mode]["accuracy"] for mode in judged}


def _print(figures: dict[str, Any]) -> None:
    from seal.evaluate.moviechat import MODES, RULES

    echo(f"judged by {figures['judge']}; 95 % intervals\n")
    columns = ("accuracy", "strict", "score")
    pairs = [(rules, column) for rules in RULES for column in ("accuracy", "score")]
    headings = [f"{rules}: {column}" for rules, column in pairs]
    print_line("questions", [*columns, *headings, "judge failures"])
    for mode in MODES:
        if mode in figures:
            row = figures[mode]
            estimates = [row.get(column) for column in columns]
            estimates += [row["official"][rules].get(column) for rules, column in pairs]
            cells = ["-" if each is None else interval(each) for each in estimates]
            print_line(f"{row['questions']} {mode}", [*cells, str(row["judge_failures"])])
