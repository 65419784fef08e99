"""`seal export`: moments as files for people, players and editing programs."""

from __future__ import annotations

from pathlib import Path

import click

from seal.cli.command import Command
from seal.cli.options import (
    all_option,
    asked,
    json_option,
    query_settings,
    store_option,
    writable,
)
from seal.cli.output import emit, tell
from seal.config import Options


def _exportable(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """The file or the folder to write: see `writable`."""
    from seal.export import CLIPS, form_of

    is_clips = form_of(value) == CLIPS
    if not is_clips or not Path(value).is_dir():
        writable(context, parameter, value.rstrip("/") or value)
    return value


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="[VIDEO] QUERY")
@all_option
@click.option(
    "-o",
    "--output",
    callback=_exportable,
    required=True,
    metavar="FILE|FOLDER/",
    help="What to write: .csv, .json, .srt, .vtt, .edl, .otio, .html, or a folder of clips.",
)
@click.option("--top", type=int, help=f"How many moments at most.  [{Options().find.top}]")
@click.option("--head", metavar="HEAD", help="Find them with this head: a folder, or on the hub.")
@click.option(
    "--copy",
    is_flag=True,
    help="Clips without loss and in no time; they begin at the keyframe before their moment.",
)
@query_settings
@store_option
@json_option
def export(
    words: tuple[str, ...],
    everywhere: bool,
    output: str,
    top: int | None,
    head: str | None,
    copy: bool,
    settings: tuple[str, ...],
    store_path: str,
    as_json: bool,
) -> None:
    """Write the moments that a query describes to a file, or each as a clip into a folder.

    \b
    .csv .json   a table; what `seal find --json` prints
    .srt .vtt    subtitles; chapters for a player
    .edl .otio   for editing programs: CMX 3600, OpenTimelineIO (extra [export])
    .html        the storyboard of `seal show`
    clips/       a video for each moment, cut at exactly its times
    """
    opened, query = asked(store_path, words, everywhere)
    exported = opened.export(
        query, output, top=top, head=head, copy=copy, options=settings, say=tell
    )
    emit(exported, as_json)
