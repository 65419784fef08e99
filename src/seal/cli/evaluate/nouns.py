"""`seal eval nouns`."""

from __future__ import annotations

from typing import Any

import click

from seal.cli.command import Command
from seal.cli.evaluate.common import folder_of, interval, print_line
from seal.cli.options import data_option, json_option, settings_option
from seal.cli.output import echo, print_json, tell
from seal.config import Options
from seal.errors import DataError

_FIGURES = {
    "mean_average_precision": "mAP",
    "auc": "AUC",
    "likely_precision": "likely: precision",
    "likely_recall": "likely: recall",
    "unlikely_right": "unlikely: right",
    "unlikely_share": "unlikely: recall",
}


@click.command(cls=Command)
@data_option("nouns.json and the clips that it names")
@settings_option("detect.backend=none")
@json_option
@click.option("--film", metavar="FILE", help="Also ask with each clip spliced into this film.")
@click.option(
    "--store",
    "store_path",
    default=".seal-nouns",
    show_default=True,
    metavar="DIR",
    help="Where the tokens of film and clips are kept: they are indexed once.",
)
@click.option("--split", metavar="FILE", help="JSON of a name -> files; with --half only those.")
@click.option("--half", metavar="NAME", help="Only the files that --split has under this name.")
@click.option("--detector", metavar="FILE", help="A YOLOX network (ONNX) to compare with.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core.")
def nouns(
    data: str,
    settings: tuple[str, ...],
    film: str | None,
    store_path: str,
    split: str | None,
    half: str | None,
    detector: str | None,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Plain nouns: whether short clips, labelled by eye, show what is asked.

    The labels are looked for in DIR/nouns.json.
    """
    from seal import detect
    from seal.config import YoloxDetect
    from seal.evaluate import nouns
    from seal.store import Store

    if (split is None) != (half is None):
        raise click.UsageError("--split and --half belong together")
    fixed = {"data": data, "set": list(settings), "split": split, "half": half}
    result = {"benchmark": "nouns", "settings": fixed} | nouns.evaluate(
        folder_of(data),
        Store(store_path, create=True),
        Options.load(settings=settings, task="index"),
        film=film,
        wanted=None if split is None else _half(split, str(half)),
        detector=None if detector is None else detect.load(YoloxDetect(weights=detector)),
        jobs=jobs,
        on_video=lambda path: tell(f"indexing {path} unless it is"),
    )
    if as_json:
        print_json(result)
    else:
        _print(result)


def _half(split: str, half: str) -> list[str]:
    from seal.files import read_json

    halves = read_json(split)
    if not isinstance(halves, dict) or half not in halves:
        raise DataError(f"{split} has no {half!r}")
    return list(halves[half])


def _print(result: dict[str, Any]) -> None:
    echo(f"{len(result['nouns'])} nouns, {result['clips']} clips; 95 % intervals over clips\n")
    print_line("", list(_FIGURES.values()))
    for name, row in {**result["methods"], **result["spliced"]}.items():
        print_line(name, [interval(row[key]) if key in row else "" for key in _FIGURES])
