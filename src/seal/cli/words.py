"""`seal transcribe` and `seal chapters`: what is said in a video, as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from seal.cli.command import Command
from seal.cli.options import json_option, library, store_option, writable
from seal.cli.output import emit, tell
from seal.config import ChapterOptions
from seal.files import writing

if TYPE_CHECKING:
    from seal.front import Video
    from seal.spoken import SpokenWords

_output_option = click.option(
    "-o",
    "--output",
    callback=writable,
    metavar="FILE",
    help="Write a file, such as .srt or .vtt; never onto the subtitles of a video.",
)


@click.command(cls=Command)
@click.argument("video")
@_output_option
@store_option
@json_option
def transcribe(video: str, output: str | None, store_path: str, as_json: bool) -> None:
    """Print everything that is said in a video, or write it to a file.

    The words are those of its speech tokens: of subtitles, or of a speech recogniser where
    `seal index` had one (--set transcribe.backend=whisper).
    """
    opened = library(store_path).video(video)
    _emit(opened, opened.transcript(), output, as_json)


@click.command(cls=Command)
@click.argument("video")
@click.option(
    "--every",
    "minutes",
    type=float,
    default=ChapterOptions.every_s / 60,
    show_default=True,
    help="The usual length of a chapter, in minutes.",
)
@_output_option
@store_option
@json_option
def chapters(
    video: str, minutes: float, output: str | None, store_path: str, as_json: bool
) -> None:
    """Print where the subject of what is said in a video changes, or write it to a file.

    A WebVTT file of chapters can be handed to a player.
    """
    opened = library(store_path).video(video)
    _emit(opened, opened.chapters(every_s=60 * minutes), output, as_json)


def _emit(video: Video, said: SpokenWords, output: str | None, as_json: bool) -> None:
    if output is None:
        emit(said, as_json)
        return
    if as_json:
        raise click.UsageError("--json prints: leave -o out, or write a file that ends in .json")
    from seal.indexed import LocalVideo
    from seal.lookup import given_subtitles
    from seal.words.beside import check_no_subtitles
    from seal.words.export import write

    check_no_subtitles(
        output, given_subtitles(video.record) if isinstance(video, LocalVideo) else ()
    )
    with writing(output):
        write(said.cues, output)
    tell(f"{output}: {len(said)} lines")
