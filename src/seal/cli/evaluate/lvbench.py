"""`seal eval lvbench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.ask import answerer_flags
from seal.cli.evaluate.common import interval, print_line
from seal.cli.options import given, json_option, query_settings, store_option
from seal.cli.output import print_json
from seal.errors import OptionError

if TYPE_CHECKING:
    from seal.evaluate.choices import Question
    from seal.query import IndexedVideo


@click.command()
@click.option(
    "--annotations", required=True, metavar="FILE", help="The published video_info.meta.jsonl."
)
@click.option("--outputs", metavar="FILE", help="What a model wrote: JSON, uid -> text.")
@click.option(
    "--answerer", metavar="NAME:MODEL", help="Or ask this model, about the videos in the store."
)
@click.option(
    "--run",
    "run_path",
    default="lvbench.jsonl",
    show_default=True,
    metavar="FILE",
    help="Where its outputs are kept, to go on from there after an interruption.",
)
@query_settings
@store_option
@json_option
def lvbench(
    annotations: str,
    outputs: str | None,
    answerer: str | None,
    run_path: str,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """LVBench: the share of right answers by type of question, of those answered and of all.

    Answers are taken out of the outputs as the official code does it, and, beside it, by reading
    them more carefully (seal). Strict: what is not answered is wrong. A model is asked twice, with
    the evidence that SEAL selects and with as many scenes an equal time apart (uniform); the name
    of a video's file in the store is its key in the annotations.
    """
    from seal.evaluate import lvbench
    from seal.evaluate.bootstrap import RESAMPLES

    if (outputs is None) == (answerer is None):
        raise click.UsageError("expected either --outputs or --answerer")
    questions = lvbench.read(annotations)
    result: dict[str, Any] = {
        "benchmark": "lvbench",
        "settings": {"annotations": annotations, "resamples": RESAMPLES},
    }
    if outputs is not None:
        result["settings"]["outputs"] = outputs
        result |= lvbench.evaluate(questions, lvbench.read_outputs(outputs))
        tables = {"": result}
    else:
        result |= _asked(questions, str(answerer), run_path, settings, store_path)
        tables = result["evidence"]
    if as_json:
        print_json(result)
        return
    for name, figures in tables.items():
        if name:
            click.echo(f"\nevidence: {name}")
        _print(figures)


def _asked(
    questions: list[Question],
    answerer: str,
    run_path: str,
    settings: tuple[str, ...],
    store_path: str,
) -> dict[str, Any]:
    """What the model says with each kind of evidence."""
    from seal.answer import load
    from seal.config import Options
    from seal.evaluate import asking, lvbench
    from seal.query import IndexedVideo
    from seal.store import Store

    chosen = given(settings, answerer_flags(answerer))
    options = Options.load(settings=chosen)
    model = load(options.answer)
    if model is None:
        raise OptionError("a model is needed, such as --answerer openai:MODEL")
    store = Store(store_path)
    records = {Path(record.path).stem: record.id for record in store.videos()}

    def find(name: str) -> IndexedVideo | None:
        return IndexedVideo(store, records[name], chosen) if name in records else None

    run = asking.Run(run_path, asking.manifest(model, options))
    missing = asking.ask_all(
        questions,
        find,
        model,
        run,
        lambda question, error: click.echo(f"seal: question {question.id}: {error}", err=True),
    )
    if missing:
        click.echo(f"seal: not in the store: {', '.join(missing)}", err=True)
    return {
        "manifest": asking.manifest(model, options),
        "missing": missing,
        "evidence": {
            method: lvbench.evaluate(questions, outputs) for method, outputs in run.outputs.items()
        },
    }


def _print(figures: dict[str, Any]) -> None:
    asked, answered = figures["questions"], figures["answered"]
    click.echo(f"{answered['overall']} of {asked['overall']} questions answered; 95 % intervals\n")
    columns = {
        f"{name}{suffix}": method[count]
        for name, method in figures["methods"].items()
        for count, suffix in (("accuracy", ""), ("strict", ", strict"))
    }
    print_line("questions of type", [*columns])
    for kind, n in asked.items():
        cells = [interval(column[kind]) if kind in column else "-" for column in columns.values()]
        print_line(f"{n} {kind}", cells)
