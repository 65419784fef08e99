"""`seal plan`: what indexing will cost, before it is done."""

from __future__ import annotations

import sys

import click

from seal.cli.command import Command, defaults
from seal.cli.options import json_option, settings_option
from seal.cli.output import emit
from seal.config import PROFILES, Options


@click.command(cls=Command, reads_config=True)
@click.argument("paths", nargs=-1, required=True, metavar="PATH|URL|FOLDER...")
@click.option(
    "--profile", default=Options().profile, show_default=True, help=f"{', '.join(PROFILES)}."
)
@settings_option("video.part_s=60")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Seconds of video that one process indexes in a second.",
)
@click.option("--measure", is_flag=True, help="Index one part and throw it away, for the speed.")
@json_option
def plan(
    paths: tuple[str, ...],
    profile: str,
    settings: tuple[str, ...],
    jobs: int | None,
    speed: float | None,
    measure: bool,
    as_json: bool,
) -> None:
    """Say what indexing will cost: hours of video, parts, storage, forward passes and time.

    Only the lengths of the videos are looked at. For a cluster, --jobs is the number of all its
    processes, or of shards. The exit code is 1 if a path cannot be read.
    """
    from seal.ingest import default_jobs
    from seal.ingest.estimate import estimate
    from seal.video import sources_of

    if measure and speed is not None:
        raise click.UsageError("--measure finds the speed: leave --speed out")
    options = Options.load(profile, settings, "index", defaults())
    workers = default_jobs(options) if jobs is None else jobs
    found = estimate(sources_of(paths), options, workers=workers, speed=speed, measure=measure)
    emit(found, as_json)
    if found.unreadable:
        sys.exit(1)
