"""`seal eval lvbench`, `videomme`, `mlvu`, `longvideobench`: one command for multiple choice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.asking import (
    ask,
    asking_options,
    planned,
    print_plan,
    print_result,
    refuse_asking,
    take_lab,
)
from seal.cli.evaluate.common import interval, left_out, print_line
from seal.cli.output import echo, print_json

if TYPE_CHECKING:
    from seal.evaluate.choices import Benchmark

# What the benchmarks are: title, annotations.
_BENCHMARKS = {
    "lvbench": ("LVBench", "video_info.meta.jsonl"),
    "videomme": ("Video-MME", "Parquet file"),
    "mlvu": ("MLVU (development set)", "JSON of a task"),
    "longvideobench": ("LongVideoBench (validation)", "lvb_val.json"),
}
_HELP = """{title}: the share of right answers by type of question, of those answered and of all.

    Answers are taken out of the outputs as the official code does it, and, beside it, by reading
    them more carefully (seal). Strict: what is not answered is wrong. A model is asked once for
    each of --methods: by default with the evidence that SEAL selects, and with as many scenes an
    equal time apart (uniform). The videos in the store are known by the names of their files.
    """


def _command(name: str, title: str, files: str) -> click.Command:
    @click.command(name, cls=Command, help=_HELP.format(title=title))
    @asking_options(name, f"The published {files}", required=True)
    def command(
        annotations: str,
        outputs: str | None,
        answerer: str | None,
        as_json: bool,
        dry_run: bool,
        **asked: Any,
    ) -> None:
        from seal.evaluate.bootstrap import RESAMPLES

        lab = take_lab(dry_run, asked)
        if dry_run and outputs is not None:
            raise click.UsageError("--dry-run is about a model that is asked: leave out --outputs")
        if not dry_run and (outputs is None) == (answerer is None):
            raise click.UsageError("expected either --outputs or --answerer")
        if outputs is not None:
            refuse_asking(asked)
        benchmark = _benchmark(name)
        questions = benchmark.data.read(annotations)
        evaluate = partial(benchmark.evaluate, questions)
        settings = {"annotations": annotations, "resamples": RESAMPLES}
        result: dict[str, Any] = {"benchmark": name, "settings": settings}
        result["left_out"] = left_out(questions.skipped)
        if dry_run:
            data = benchmark.data
            result |= planned(data, annotations, questions, answerer, lab, asked)
            print_json(result) if as_json else print_plan(result)
            return
        if outputs is not None:
            settings["outputs"] = outputs
            result |= evaluate(benchmark.read_outputs(outputs))
        else:
            result |= ask(name, questions, evaluate, str(answerer), **asked)
        print_result(result, as_json, _print, _row)

    return command


def _benchmark(name: str) -> Benchmark:
    from seal import backends

    found: Benchmark = backends.resolve("choices", name)
    return found


def _row(figures: dict[str, Any]) -> dict[str, dict[str, float]]:
    row: dict[str, dict[str, float]] = figures["methods"]["seal"]["accuracy"]
    return row


def _print(figures: dict[str, Any]) -> None:
    asked, answered = figures["questions"], figures["answered"]
    echo(f"{answered['overall']} of {asked['overall']} questions answered; 95 % intervals\n")
    columns = {
        f"{name}{suffix}": method[count]
        for name, method in figures["methods"].items()
        for count, suffix in (("accuracy", ""), ("strict", ", strict"))
    }
    print_line("questions of type", [*columns])
    kinds = dict.fromkeys([*asked, *(kind for column in columns.values() for kind in column)])
    for kind in kinds:
        cells = [interval(column[kind]) if kind in column else "-" for column in columns.values()]
        print_line(f"{asked.get(kind, '')} {kind}".strip(), cells)


COMMANDS = [_command(name, *about) for name, about in _BENCHMARKS.items()]
