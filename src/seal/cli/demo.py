"""`seal demo`: a film that belongs to nobody, indexed, searched and shown."""

from __future__ import annotations

from pathlib import Path

import click

from seal.cli.command import Command
from seal.cli.options import json_option
from seal.cli.output import echo, print_json, progress_bar, tell
from seal.clock import span_clock
from seal.files import write_text

_QUERY = "a red ball"
_SEED, _DURATION_S = 2, 40.0
"""A film in which a red ball rolls by once."""


@click.command(cls=Command)
@click.argument(
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="seal-demo",
    metavar="[FOLDER]",
)
@json_option
def demo(folder: Path, as_json: bool) -> None:
    """Make a film, index it, find "a red ball" in it, and write a storyboard, all into FOLDER.

    The default FOLDER is seal-demo. No network is needed. The film is drawn by SEAL itself; what
    happens in it stands in film.json beside it.
    """
    from seal.evaluate.film import as_json as events_json
    from seal.evaluate.film import write_film
    from seal.library import LocalLibrary

    folder.mkdir(parents=True, exist_ok=True)
    film, board = folder / "film.mp4", folder / "storyboard.html"
    tell(f"drawing a film of {_DURATION_S:.0f} seconds: {film}")
    events = write_film(film, _SEED, _DURATION_S)
    write_text(film.with_suffix(".json"), events_json(events))
    library = LocalLibrary.at(folder / "store")
    with progress_bar(str(film)) as on_progress:
        video = library.index(film, on_progress=on_progress)
    found = video.find(_QUERY)
    video.show(_QUERY, board)
    if as_json:
        described = video.describe().to_json()
        print_json({"video": described, "found": found.to_json(), "storyboard": str(board)})
        return
    echo(video.describe())
    echo()
    echo(f'seal find {film} "{_QUERY}" --store {library.store.path}')
    echo(found)
    shown = [event.span for event in events if event.label == _QUERY]
    spans = ", ".join(span_clock(span.start_s, span.end_s) for span in shown)
    echo(f"In the film as it was drawn, {_QUERY} is there at {spans}.")
    echo()
    echo(f"Open {board} in a browser.")
