"""`seal train`: a command for each head that is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seal.cli.options import json_option, settings_option
from seal.cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Callable

# The heavy imports stand inside the commands: `seal --help` must be instant.


@click.group()
def train() -> None:
    """Train what finds moments. Needs pip install "seal-video[train]"."""


@train.command()
@click.option(
    "-o", "--output", required=True, metavar="DIR", help="The run: made there, or gone on with."
)
@click.option(
    "--data",
    default="../shared/data",
    show_default=True,
    envvar="SEAL_TEST_DATA",
    metavar="DIR",
    help="Where videos/needles.json lies with the described clips, and the films.",
)
@click.option(
    "--film",
    "films",
    multiple=True,
    metavar="GLOB",
    help="Into what the clips are spliced, below DIR; can be given several times.",
)
@click.option(
    "--store",
    "store_path",
    default=".seal-ground",
    show_default=True,
    metavar="DIR",
    help="Where the dense tokens of films and clips are kept: they are indexed once.",
)
@click.option("--fold", type=click.IntRange(0, 1), default=0, help="Which clips are held out.")
@settings_option("train.steps=500 or head.positions=frames")
@json_option
def ground(
    output: str,
    data: str,
    films: tuple[str, ...],
    store_path: str,
    fold: int,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train the localisation head on clips spliced into films.

    Every second clip is held out, and half of each film. A run that was interrupted goes on where
    it was; run by `accelerate launch --module seal train ground` it uses every device.
    """
    from seal.config import HeadOptions, TrainOptions
    from seal.settings import replaced
    from seal.weights import require

    options = replaced({"head": HeadOptions(), "train": TrainOptions()}, settings)
    for module in ("torch", "accelerate", "tensorboard"):
        require(module, "train")
    from seal.evaluate.composites import FILMS, gather
    from seal.ground.composites import Composites
    from seal.ground.train import train
    from seal.store import Store

    material = gather(
        data,
        Store(store_path, create=True),
        fold=fold,
        films=films or FILMS,
        on_video=lambda path: click.echo(f"indexing {path} unless it is", err=True),
    )
    encoder = material.encoder
    head = replace(options["head"], dimension=encoder.dimension, encoder=encoder.fingerprint)
    seed = options["train"].seed
    examples = Composites(
        material.films, material.clips, head, encoder.calibration, seed, material.stills
    )
    checksums = material.checksums | {"fold": str(fold)}
    with _bar(options["train"].steps) as on_step:
        last = train(examples, head, options["train"], output, checksums, on_step)
    result = {"head": str(Path(output) / "head"), "steps": options["train"].steps, **last}
    if as_json:
        print_json(result)
    else:
        click.echo(f"{result['head']}: loss {last['loss']:.4f} after {result['steps']} steps")


@contextmanager
def _bar(steps: int) -> Iterator[Callable[[Any], None]]:
    """A bar on stderr if that is a terminal; nothing otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    figures = TextColumn("loss {task.fields[loss]:.3f}  waited {task.fields[waited]:.1%}")
    columns = (TextColumn("training"), BarColumn(), figures, TimeRemainingColumn(compact=True))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("training", total=steps, loss=float("nan"), waited=0.0)

        def on_step(step: Any) -> None:
            bar.update(task, completed=step.number, loss=step.loss, waited=step.waited)

        yield on_step
