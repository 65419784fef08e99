"""A film in a store, for tests of what is done with tokens."""

from __future__ import annotations

from pathlib import Path

from seal import Options
from seal.evaluate.film import write_film
from seal.ingest import index as index_video
from seal.store import Store


def filmed(
    folder: Path, duration_s: float, *settings: str, name: str = "film", seed: int = 2
) -> Store:
    """The store in `folder`, which has the film NAME.mp4 beside it and, from now on, in it."""
    path = folder / f"{name}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_film(path, seed, duration_s)
    store = Store(folder / "store", create=True)
    index_video(path, store, Options.load("mini", settings))
    return store
