"""What the benchmarks of questions have in common: where questions and answers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from seal.cli.options import json_option, query_settings, store_option
from seal.cli.output import echo, print_json, tell
from seal.config import Options
from seal.errors import OptionError

if TYPE_CHECKING:
    from seal.answer import Answerer
    from seal.evaluate.questions import BenchmarkQuestion


def asking_options(
    name: str, files: str, *, required: bool
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a benchmark: `annotations`, `outputs`, `answerer`, `run_path`, `settings`,
    `store_path`, `as_json`."""
    options: list[Callable[..., Callable[..., None]]] = [
        click.option(
            "--annotations",
            "--data",
            "annotations",
            required=required,
            metavar="PATH",
            help=f"{files}, or the data set's folder.",
        ),
        click.option("--outputs", metavar="FILE", help="What a model wrote: JSON, id -> text."),
        click.option(
            "--answerer",
            metavar="NAME:MODEL",
            help="Or ask this model, about the videos in the store.",
        ),
        click.option(
            "--run",
            "run_path",
            default=f"{name}.jsonl",
            show_default=True,
            metavar="FILE",
            help="Where its outputs are kept, to go on from there after an interruption.",
        ),
        query_settings,
        store_option,
        json_option,
    ]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def ask(
    name: str,
    questions: Sequence[BenchmarkQuestion],
    evaluate: Callable[[Mapping[str, str]], dict[str, Any]],
    answerer: str,
    run_path: str,
    settings: tuple[str, ...],
    store_path: str,
) -> dict[str, Any]:
    """What `evaluate` finds of a model's outputs with each kind of evidence: `evidence`.

    The model is asked what it has not answered yet. `missing` are videos that are not in the store.
    """
    from seal.asked import asking as named
    from seal.asked import merged
    from seal.evaluate import asking
    from seal.evaluate.videos import Videos
    from seal.store import Store

    chosen = merged(settings, named(None, answerer))
    model, videos = model_of(answerer, settings), Videos(Store(store_path), "ask", chosen)
    asked_about = dict.fromkeys(question.video for question in questions)
    manifest = asking.manifest(name, model, videos.options(asked_about))
    run = asking.AnswerRun(run_path, manifest)
    missing = asking.ask_all(
        questions,
        videos.find,
        model,
        run,
        lambda question, error: tell(f"question {question.id}: {error}"),
    )
    if missing:
        tell(f"not in the store: {', '.join(missing)}")
    evidence = {method: evaluate(outputs) for method, outputs in run.outputs.items()}
    return {"manifest": manifest, "missing": missing, "evidence": evidence}


def print_result(
    result: dict[str, Any], as_json: bool, print_figures: Callable[[dict[str, Any]], None]
) -> None:
    """One JSON object, or a table for each kind of evidence."""
    if as_json:
        print_json(result)
        return
    for method, figures in result.get("evidence", {"": result}).items():
        if method:
            echo(f"\nevidence: {method}")
        print_figures(figures)


def model_of(name: str, settings: tuple[str, ...], option: str = "--answerer") -> Answerer:
    """The model that "openai:MODEL" names. Raises OptionError for none."""
    from seal.answer import load
    from seal.asked import asking, merged

    chosen = merged(settings, asking(None, name))
    model = load(Options.load(settings=chosen, task="ask").answer)
    if model is None:
        raise OptionError(f"a model is needed, such as {option} openai:MODEL")
    return model
