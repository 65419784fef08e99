"""`seal index`: videos to tokens, on one machine or on many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from seal import backends
from seal.cli.command import Command, defaults
from seal.cli.options import json_option, library, settings_option, store_option
from seal.cli.output import complain, echo, emit, progress_bar, tell
from seal.clock import clock, span_clock
from seal.config import PROFILES, Options
from seal.errors import OptionError, VideoError

if TYPE_CHECKING:
    from seal.front import Library
    from seal.ingest import OnProgress, Progress
    from seal.inventory import Indexed, Share


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """`profile`, `jobs` and `engine`."""
    built_in = Options()
    engines = backends.names("engine")
    for option in (
        click.option("--jobs", type=click.IntRange(1), help="Processes; by default one per core."),
        click.option(
            "--engine",
            type=click.Choice(engines),
            help=f"What does the work: {', '.join(engines)}.  [{built_in.engine.backend}]",
        ),
        click.option(
            "--profile",
            default=built_in.profile,
            show_default=True,
            help=f"{', '.join(PROFILES)}.",
        ),
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="PATH|URL|FOLDER|-...")
@store_option
@engine_options
@click.option(
    "--shard",
    metavar="K/N",
    help="Do the K-th of N shares, such as 3/64; N processes with the same PATHs do all.",
)
@settings_option("actions.min_length_s=0.5")
@click.option("--quick", is_flag=True, help="Scene tokens from the codec's keyframes alone.")
@click.option(
    "--subtitles",
    type=click.Path(),
    metavar="FILE",
    help="Its subtitles; by default those beside the video, then those inside it.",
)
@json_option
def index(
    paths: tuple[str, ...],
    store_path: str,
    profile: str,
    engine: str | None,
    jobs: int | None,
    shard: str | None,
    settings: tuple[str, ...],
    quick: bool,
    subtitles: str | None,
    as_json: bool,
) -> None:
    """Index videos: files, addresses, cameras, folders of images or of videos, or - for stdin.

    A video that is indexed already is not indexed again. An interrupted run goes on where it
    stopped. With --quick a film can be asked within a minute; without it, the next run completes
    the film. Subtitles become speech tokens. Where a video has none, its sound does with
    --set transcribe.backend=whisper, and --set read.backend=rapidocr reads what is in the picture.

    A part that cannot be read, or whose process dies, is tried again (--set engine.retries=2). A
    part that fails each time is listed at the end, and the exit code is 1. Its video stays
    unfinished, and the same command tries the part again; --set engine.dead_parts=gaps commits the
    video without the part.

    With --shard a video may be unfinished when this process ends: other shards still work on it,
    and the one that stores the last part commits it. Exit code 0 means that this share is done. If
    a shard was killed, run the shard again.
    """
    from seal.video import shown, sources_of

    if quick and (jobs, engine, shard) != (None, None, None):
        raise click.UsageError("--quick uses one process: leave --jobs, --engine and --shard out")
    if subtitles is not None:
        if len(paths) > 1 or sources_of(paths[0]) != [paths[0]]:
            raise click.UsageError("--subtitles FILE is about one video")
        if quick:
            raise click.UsageError("--quick takes no subtitles: leave --subtitles out")
        settings = (*settings, f"subtitles.file={subtitles}")
    if engine is not None:
        settings = (f"engine.backend={engine}", *settings)
    # An option that is wrong by itself is an error before any video.
    options = Options.load(profile, settings, "index", defaults())
    opened = library(store_path, create=True)
    sources = sources_of(["/dev/stdin" if path == "-" else path for path in paths])
    bars = _Bars(options.video.part_s)
    each = opened.index_each(
        sources,
        shard=shard,
        profile=profile,
        quick=quick,
        jobs=jobs,
        options=settings,
        on_progress=bars.on_progress,
        say=tell,
    )
    failed, dead = False, []
    try:
        with closing(each):
            for source, outcome in each:
                try:
                    with bars.showing(shown(source)):
                        share = outcome()
                except (OptionError, VideoError) as error:
                    # The options were fine by themselves, so this is about this video.
                    complain(error)
                    failed = True
                    continue
                if share.dead:
                    dead.append(share)
                _tell_of(share, opened, shard is None, as_json)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(bars.stored()) from None
    for share in dead:
        for letter in share.dead:
            tell(f"{share.path}: {letter}")
    if failed or dead:
        sys.exit(1)


def _tell_of(share: Share, opened: Library, whole: bool, as_json: bool) -> None:
    """Print what has come of a video; `whole` if no other process has a share of it."""
    if not (share.is_complete and whole):
        emit(share, as_json)
        return
    described = opened.by_id(share.video).describe()
    _tell_of_gaps(described)
    if share.is_new or as_json:
        emit(described, as_json)
    else:
        echo(f"{described.line()}  already indexed")


class _Bars:
    """Progress of one video after the other."""

    def __init__(self, part_s: float) -> None:
        self._part_s = part_s
        self._name = ""
        self._last: Progress | None = None
        self._tell: OnProgress = lambda progress: None

    def on_progress(self, progress: Progress) -> None:
        self._last = progress
        self._tell(progress)

    def stored(self) -> str:
        """How much of the video that is being indexed is stored; "" where nobody knows."""
        if self._last is None or self._last.stored is None:
            return ""
        done, count = self._last.stored
        return (
            f"{done} of {count} parts of {self._name} are stored (a part is about"
            f" {self._part_s:g} s of it, video.part_s); the same command goes on from there"
        )

    @contextmanager
    def showing(self, name: str) -> Iterator[None]:
        """A bar of its own for a video, unless it is done already."""
        self._name, self._last = name, None
        with progress_bar(name) as self._tell:
            yield


def _tell_of_gaps(result: Indexed) -> None:
    lost = result.lost
    if missing_s := sum(gap[1] - gap[0] for gap in result.gaps if gap not in lost):
        text = "between keyframes of the codec were not looked at"
        tell(f"{result.path}: {clock(missing_s)} {text}")
    for start_s, end_s, reason in lost:
        tell(f"{result.path}: {span_clock(start_s, end_s)} could not be read: {reason}")
    for time_s, text in result.notes:
        tell(f"{result.path}: at {clock(time_s)}: {text}")
