"""What the benchmarks of questions have in common: where questions and answers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from seal import backends
from seal.cli.evaluate.common import (
    LISTED,
    interval,
    mode_options,
    print_line,
    stream_window,
)
from seal.cli.options import json_option, query_settings, store_option
from seal.cli.output import echo, print_json, tell
from seal.config import Options
from seal.errors import OptionError

if TYPE_CHECKING:
    from seal.answer import Answerer
    from seal.evaluate.questions import BenchmarkQuestion, Published
    from seal.evaluate.ways import Choose


def asking_options(
    name: str, files: str, *, required: bool
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a benchmark: `annotations`, `outputs`, `answerer`, `run_path`, `methods`,
    `kind_sets`, `alphas`, `mode`, `window_s`, `settings`, `store_path`, `as_json`, and of a dry
    run: `dry_run`, `gpus`, `throughput`, `request_s`, `picture_tokens`."""
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
        click.option(
            "--methods",
            metavar="NAME,...",
            help="How evidence is chosen, one run for each: seal, "
            + ", ".join([*backends.names("baseline"), "topk", "bolt"])
            + ".  [seal,uniform]",
        ),
        click.option(
            "--kinds",
            "kind_sets",
            metavar="KINDS|...",
            help='Ablation: seal with these kinds alone, such as "scene|scene,object|all".',
        ),
        click.option(
            "--alpha",
            "alphas",
            metavar="FIRST:LAST:STEP",
            help="Ablation: seal with each of these weights of relevance, such as 0:1:0.1.",
        ),
        *mode_options,
        click.option(
            "--dry-run",
            is_flag=True,
            help="Print what is there, and the time and disk of each step; ask nothing.",
        ),
        click.option("--gpus", type=int, help="Dry run: so many GPUs index at once.  [1]"),
        click.option(
            "--throughput",
            type=float,
            metavar="X",
            help="Dry run: times real time that a GPU indexes at, where none was measured.",
        ),
        click.option(
            "--request-s", type=float, metavar="S", help="Dry run: seconds for one answer."
        ),
        click.option(
            "--picture-tokens",
            type=float,
            metavar="N",
            help="Dry run: tokens of the model that a picture takes.",
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
    methods: str | None,
    kind_sets: str | None,
    alphas: str | None,
    mode: str,
    window_s: float | None,
    settings: tuple[str, ...],
    store_path: str,
) -> dict[str, Any]:
    """What `evaluate` finds of a model's outputs with each kind of evidence: `evidence`.

    The model is asked what it has not answered yet. `missing` are videos that are not in the store.
    """
    from seal.arguments import asking as named
    from seal.arguments import merged
    from seal.evaluate import asking, ways
    from seal.evaluate.videos import Videos
    from seal.store import Store

    compared = compared_ways(methods, kind_sets, alphas) | streamed_ways(mode, window_s)
    chosen = merged(settings, named(None, answerer))
    Options.load(settings=chosen, task="ask")  # A wrong option is an error before the work.
    model = model_of(answerer, settings)
    manifest = asking.manifest(name, model, chosen)
    run = asking.AnswerRun(run_path, manifest, compared)
    missing = asking.ask_all(
        questions,
        Videos(Store(store_path), "ask", chosen).find,
        model,
        run,
        lambda question, error: tell(f"question {question.id}: {error}"),
    )
    if missing:
        tell(f"not in the store: {', '.join(missing)}")
    evidence = {method: evaluate(outputs) for method, outputs in run.outputs.items()}
    manifest |= {"methods": ways.describe(compared), "videos": run.summary}
    return {"manifest": manifest, "missing": missing, "evidence": evidence}


def streamed_ways(mode: str, window_s: float | None) -> dict[str, Choose]:
    """What `--mode` adds: the choice window by window. Raises as `stream_window`."""
    from seal.evaluate.methods import STREAMING
    from seal.evaluate.ways import SEAL, Streamed

    seconds = stream_window(mode, window_s)
    return {} if seconds is None else {SEAL + STREAMING: Streamed(seconds)}


_LAB = ("gpus", "throughput", "request_s", "picture_tokens")


def take_lab(dry_run: bool, asked: dict[str, Any]) -> dict[str, float]:
    """Take the options of a dry run out of `asked`. Raises UsageError if there is none."""
    given = {name: asked.pop(name) for name in _LAB}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not dry_run:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{names} has no effect without --dry-run")
    return given


def planned(
    published: Published,
    annotations: str,
    questions: Sequence[BenchmarkQuestion],
    answerer: str | None,
    lab: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """What it takes to run a benchmark: see `seal.evaluate.lab.plan`. `asked` is as for `ask`."""
    from seal.arguments import asking as named
    from seal.arguments import merged
    from seal.evaluate.lab import Asking, Lab, plan
    from seal.files import read_appended

    compared = compared_ways(asked["methods"], asked["kind_sets"], asked["alphas"])
    compared |= streamed_ways(asked["mode"], asked["window_s"])
    chosen = merged(asked["settings"], named(None, answerer))
    options = Options.load(settings=chosen, task="ask")
    ids = {question.id for question in questions}
    lines = read_appended(asked["run_path"])
    done = {(line.get("method"), line.get("id")) for line in lines if isinstance(line, dict)}
    answered = sum(method in compared and name in ids for method, name in done)
    asking = Asking(
        len(compared), options.attention.budget, options.answer.at_once, answered=answered
    )
    return plan(published, annotations, questions, asked["store_path"], asking, Lab(**lab))


def print_plan(figures: dict[str, Any]) -> None:
    """The plan as a person reads it."""
    videos = figures["videos"]
    echo(
        f"{videos['wanted']:,} videos, {figures['hours_of_video']:,.1f} hours:"
        f" {videos['found']:,} found, {videos['indexed']:,} indexed,"
        f" {len(videos['missing']):,} missing, {len(figures['short']):,} too short"
    )
    for step in figures["steps"]:
        cells = [
            f"{key.replace('_', ' ')} {_number(value)}"
            for key, value in step.items()
            if key != "step"
        ]
        echo(f"{step['step']}: {', '.join(cells)}")
    short = [f"{name} {fault}" for name, fault in figures["short"].items()]
    for line in short[:LISTED]:
        tell(f"too short: {line}")
    if len(short) > LISTED:
        tell(f"too short: {len(short) - LISTED:,} more; --json names them all")
    for name in videos["missing"][:LISTED]:
        tell(f"missing: {name}")
    if len(videos["missing"]) > LISTED:
        tell(f"missing: {len(videos['missing']) - LISTED:,} more; --json names them all")
    for advice in figures["advice"]:
        tell(advice)


def _number(value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value:,.0f}" if isinstance(value, int) or value >= 100 else f"{value:.3g}"


def refuse_asking(asked: Mapping[str, Any]) -> None:
    """Raise UsageError if an option about a model that is asked comes with --outputs."""
    names = {
        "settings": "--set",
        "methods": "--methods",
        "kind_sets": "--kinds",
        "alphas": "--alpha",
        "window_s": "--window",
    }
    given = [option for key, option in names.items() if asked.get(key)]
    given += ["--mode"] if asked["mode"] == "streaming" else []
    if given:
        raise click.UsageError(
            f"{', '.join(given)} is about a model that is asked: leave out --outputs"
        )


def compared_ways(
    methods: str | None, kind_sets: str | None, alphas: str | None
) -> dict[str, Choose]:
    """The ways to choose evidence that the options name, with the variants of `seal` in its place.

    Raises OptionError for an unknown name, and if there are variants of `seal` without `seal`.
    """
    from seal.evaluate.asking import METHODS
    from seal.evaluate.ways import SEAL, variants, ways

    varied = variants(kind_sets, alphas)
    names = [each.strip() for each in methods.split(",")] if methods is not None else None
    if names is None:
        names = [SEAL] if varied else [*METHODS]
    if varied and SEAL not in names:
        raise OptionError(f"--kinds and --alpha are about {SEAL}: name it in --methods {methods}")
    found: dict[str, Choose] = {}
    for name, way in ways(names).items():
        found |= varied if varied and name == SEAL else {name: way}
    return found


def print_result(
    result: dict[str, Any],
    as_json: bool,
    print_figures: Callable[[dict[str, Any]], None],
    row: Callable[[dict[str, Any]], Mapping[str, dict[str, float]]],
) -> None:
    """One JSON object, or a table for each kind of evidence and one that compares them.

    `row` takes the estimates by type of question out of what `evaluate` found; they are in the JSON
    under `methods`.
    """
    evidence = result.get("evidence")
    if evidence is not None:
        result["methods"] = {method: dict(row(figures)) for method, figures in evidence.items()}
    if as_json:
        print_json(result)
        return
    for method, figures in (evidence or {"": result}).items():
        if method:
            echo(f"\nevidence: {method}")
        print_figures(figures)
    if evidence is not None:
        _print_compared(result["methods"])


def _print_compared(methods: Mapping[str, Mapping[str, dict[str, float]]]) -> None:
    """A line for each way to choose evidence, a column for each type of question."""
    types = list(dict.fromkeys(each for row in methods.values() for each in row))
    echo("\nall kinds of evidence: share of right answers, of those answered; 95 % intervals\n")
    width = max(24, *(len(name) + 1 for name in methods))
    print_line("evidence", types, width=width)
    for name, row in methods.items():
        cells = [interval(row[each]) if each in row else "-" for each in types]
        print_line(name, cells, width=width)


def model_of(name: str, settings: tuple[str, ...], option: str = "--answerer") -> Answerer:
    """The model that "openai:MODEL" names. Raises OptionError for none."""
    from seal.answer import load
    from seal.arguments import asking, merged

    chosen = merged(settings, asking(None, name))
    model = load(Options.load(settings=chosen, task="ask").answer)
    if model is None:
        raise OptionError(f"a model is needed, such as {option} openai:MODEL")
    return model
