"""`seal train`: a command for each head that is trained."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.command import Group
from seal.cli.options import (
    data_option,
    features_options,
    json_option,
    settings_option,
    store_option,
)
from seal.cli.output import echo, print_json, steps_bar, tell
from seal.config import Options
from seal.errors import DataError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seal.config import NetworkOptions, TrainOptions
    from seal.encode import Encoder
    from seal.ground.data import Dataset
    from seal.store import Store

# The heavy imports stand inside the commands: `seal --help` must be instant.


@click.group(cls=Group)
def train() -> None:
    """Train what finds moments, or what answers.

    Needs pip install "seal-video[train]".
    """


output_option = click.option(
    "-o", "--output", required=True, metavar="DIR", help="The run: made there, or gone on with."
)


@train.command()
@output_option
@data_option("needles.json, the described clips and films; or with the files of --dataset")
@click.option(
    "--film",
    "films",
    multiple=True,
    metavar="GLOB",
    help="Into what the clips are spliced, below DIR; can be given several times. By default every"
    " video of a minute or more that is not described.",
)
@click.option(
    "--clip",
    "others",
    multiple=True,
    metavar="GLOB",
    help="Clips without descriptions, below DIR; can be given several times. By default every"
    " shorter video that is not described.",
)
@click.option(
    "--store",
    "store_path",
    default=".seal-ground",
    show_default=True,
    metavar="DIR",
    help="Where the dense tokens of films and clips are kept: they are indexed once.",
)
@click.option("--dataset", metavar="NAME", help="Learn from this data set in DIR instead.")
@click.option("--split", default="train", show_default=True, help="Which part of the data set.")
@click.option("--fold", type=click.IntRange(0, 2), default=0, help="Which third is held out.")
@click.option(
    "--design",
    type=click.Choice(["seal", "snag"]),
    default="seal",
    show_default=True,
    help="The head of SEAL (--set head.KEY), or the baseline SnAG (--set snag.KEY).",
)
@features_options
@settings_option("train.steps=500 or head.positions=frames")
@json_option
def ground(
    output: str,
    data: str,
    films: tuple[str, ...],
    others: tuple[str, ...],
    store_path: str,
    dataset: str | None,
    split: str,
    fold: int,
    design: str,
    features: str | None,
    words: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train the localisation head on clips spliced into films, or on a data set.

    Every third clip is held out, and half of each film. The videos of a data set (see `seal data
    list`) have to be indexed in the store, or have published --features. A run that was interrupted
    goes on where it was; started by `accelerate launch --module seal.cli train ground` it uses
    every device.
    """
    from seal.config import HeadOptions, SnagOptions, TrainOptions
    from seal.settings import replaced
    from seal.store import Store

    if features is not None and dataset is None:
        raise click.UsageError("--features are of the videos of a data set: give --dataset")
    name, sizes = ("snag", SnagOptions()) if design == "snag" else ("head", HeadOptions())
    options = replaced({name: sizes, "train": TrainOptions()}, settings)
    sizes, training = options[name], options["train"]
    _require("torch", "accelerate", "tensorboard")
    if isinstance(sizes, HeadOptions) and sizes.crop_weights:
        from seal.ground.crops import started

        sizes = started(sizes)
    from seal.ground.train import train

    if dataset is not None and features is not None:
        lesson = _published(data, dataset, split, features, words, sizes, training)
    elif dataset is not None:
        store = Store(store_path, create=True)
        lesson = _annotated(store, data, dataset, split, sizes, training)
    else:
        store = Store(store_path, create=True)
        lesson = _composites(store, data, films, others, fold, sizes, training)
    with _bar(training.steps) as on_step:
        figures = train(*lesson[:2], training, output, lesson[2], on_step)
    _report("head", output, training.steps, figures, as_json)


def _composites(
    store: Store,
    data: str,
    films: tuple[str, ...],
    others: tuple[str, ...],
    fold: int,
    head: NetworkOptions,
    train: TrainOptions,
) -> tuple[Any, NetworkOptions, dict[str, str]]:
    """What to learn from, the head's sizes for it, and what it was made from."""
    from seal.evaluate.composites import gather
    from seal.ground.composites import Composites

    def say(path: str) -> None:
        tell(f"indexing {path} unless it is")

    found = gather(data, store, fold=fold, films=films, others=others, head=head, on_video=say)
    head = _fitting(head, found.encoder)
    examples = Composites(
        found.films, found.clips, head, found.encoder.calibration, train.seed, found.stills
    )
    return examples, head, found.checksums | {"fold": str(fold)}


def _annotated(
    store: Store,
    data: str,
    dataset: str,
    split: str,
    head: NetworkOptions,
    train: TrainOptions,
) -> tuple[Any, NetworkOptions, dict[str, str]]:
    """The same from a data set whose videos are indexed in the store."""
    from seal.encoders import Encoders
    from seal.ground.annotated import Annotated
    from seal.ground.data import read

    found = read(dataset, data, split)
    _tell_left_out(found)
    videos = store.videos()
    if not videos:
        raise DataError(f"{store.path} has no videos: run seal index on those of {dataset}")
    encoder = Encoders().of(videos[0])
    head = _fitting(head, encoder)
    examples = Annotated(found.samples, store, encoder, head, train.seed)
    if examples.missing:
        tell(f"{examples.missing} queries left out: video not indexed")
    return examples, head, examples.checksums | {"dataset": dataset, "split": split}


def _published(
    data: str,
    dataset: str,
    split: str,
    features: str,
    words: str | None,
    head: NetworkOptions,
    train: TrainOptions,
) -> tuple[Any, NetworkOptions, dict[str, str]]:
    """The same from features of the videos of a data set that others extracted."""
    from seal.ground.data import read
    from seal.ground.published import PublishedExamples, fitted, opened, usable

    found = read(dataset, data, split)
    _tell_left_out(found)
    family, rows, asked = opened(dataset, features, words)
    head = fitted(head, family, rows, asked, usable(found.samples, rows)[0])
    examples = PublishedExamples(found.samples, rows, asked, head, train.seed)
    if examples.missing:
        tell(f"{examples.missing} queries left out: no features of the video")
    made_of = {"dataset": dataset, "split": split, "features": features, "words": asked.name}
    return examples, head, made_of


def _tell_left_out(found: Dataset) -> None:
    for reason, count in found.reasons().items():
        tell(f"{count} queries left out: {reason}")
    for reason, count in found.corrections().items():
        tell(f"{count} queries corrected: {reason}")


def _fitting(head: NetworkOptions, encoder: Encoder) -> NetworkOptions:
    words = encoder.fingerprint if head.by_words else ""
    return replace(head, dimension=encoder.dimension, encoder=encoder.fingerprint, words=words)


@train.command()
@output_option
@click.option(
    "--data", required=True, metavar="FILE", help="Questions and answers, a JSON object a line."
)
@click.option(
    "--model", required=True, metavar="hf:MODEL", help="What is trained: on the hub, or a folder."
)
@settings_option("tune.steps=500 or attention.budget=8")
@store_option
@json_option
def answer(
    output: str,
    data: str,
    model: str,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Train a local model to answer questions about videos that are indexed in the store.

    A line of FILE has video, question, answer and, of multiple choice, options by letter. Prompts
    are those of `seal ask` with the same settings. A run that was interrupted goes on where it was.
    """
    from seal.arguments import asking, merged
    from seal.config import HfAnswer, TuneOptions
    from seal.settings import replaced
    from seal.store import Store

    own = [setting for setting in settings if setting.startswith("tune.")]
    options = replaced({"tune": TuneOptions()}, own)["tune"]
    asked = merged([each for each in settings if each not in own], asking(None, model))
    chosen = Options.load(settings=asked, task="ask").answer
    if not isinstance(chosen, HfAnswer):
        raise OptionError(f"expected --model hf:MODEL, got {model!r}: only local ones are trained")
    _require("torch", "accelerate", "tensorboard", "peft")
    from seal.answer.lessons import Lessons, read
    from seal.answer.train import train

    examples = read(data)
    lessons = Lessons(examples, Store(store_path), asked, options.seed)
    if lessons.missing:
        count, videos = len(examples) - len(lessons.examples), ", ".join(lessons.missing)
        tell(f"{count} examples left out: not indexed: {videos}")
    with _bar(options.steps) as on_step:
        figures = train(lessons, chosen, options, output, on_step)
    result = "adapter" if options.method == "lora" else "model"
    _report(result, output, options.steps, figures, as_json)


def _require(*modules: str) -> None:
    from seal.weights import require

    for module in modules:
        require(module, "train")


def _report(name: str, output: str, steps: int, figures: dict[str, float], as_json: bool) -> None:
    """What came out; of several processes, as accelerate numbers them, the first one speaks."""
    if os.environ.get("RANK", "0") != "0":
        return
    result = {name: str(Path(output) / name), "steps": steps, **figures}
    if as_json:
        print_json(result)
    else:
        echo(f"{result[name]}: loss {figures['loss']:.4f} after {steps} steps")


@contextmanager
def _bar(steps: int) -> Iterator[Callable[[Any], None]]:
    with steps_bar(steps, "training") as shown:

        def on_step(step: Any) -> None:
            shown(step.number, f": loss {step.loss:.3f}, waited {step.waited:.1%}")

        yield on_step
