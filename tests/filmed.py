"""The generated film, in a file or a store, for tests of what is done with videos and tokens.

Encoders use the vector code of the processor, so that pictures, and whatever is made from them,
differ in the last digits from one machine to the next. The environment variable SEAL_TEST_FILM
names another encoding for all films, which changes much more: tests pass with each of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import av

from seal import Options
from seal.evaluate import film
from seal.evaluate.film import Event
from seal.ingest import index as index_video
from seal.store import Store

_ENCODINGS: dict[str, tuple[str, dict[str, str]]] = {
    "ultrafast": ("libx264", {"preset": "ultrafast", "crf": "26"}),
    "scalar": ("libx264", {"preset": "veryfast", "crf": "20", "x264-params": "asm=0"}),
    "mpeg4": ("mpeg4", {"qscale": "3", "flags": "+qscale", "g": "250"}),
}
"""Codec and options; "scalar" uses no vector code."""
ENCODING = os.environ.get("SEAL_TEST_FILM", "default")
if ENCODING not in ("default", *_ENCODINGS):
    raise ValueError(f"SEAL_TEST_FILM={ENCODING}; valid: default, {', '.join(_ENCODINGS)}")


_ROUND_S = 6.0
_drawn: dict[tuple[Any, ...], tuple[bytes, list[Event]]] = {}


def write_film(
    path: str | Path, seed: int = 0, duration_s: float = 120.0, *more: Any, **named: Any
) -> list[Event]:
    """`seal.evaluate.film.write_film`, in the encoding that the environment asks for.

    Each film is drawn once: that takes longer than indexing it.
    """
    path = Path(path)
    key = (path.suffix, seed, duration_s, *more, *sorted(named.items()))
    if key in _drawn:
        film_bytes, events = _drawn[key]
        path.write_bytes(film_bytes)
        return events
    events = film.write_film(path, seed, duration_s, *more, **named)
    if ENCODING != "default":
        _encode_again(path, *_ENCODINGS[ENCODING])
    _drawn[key] = path.read_bytes(), events
    return events


def write_long(path: Path, seed: int, duration_s: float) -> None:
    """A film that is long, not rich: its first six seconds over and over, which are drawn once."""
    first = path.with_name(f"first-{path.name}")
    write_film(first, seed, _ROUND_S)
    with av.open(str(path), "w") as container:
        for number in range(round(duration_s / _ROUND_S)):
            with av.open(str(first)) as source:
                shown = source.streams.video[0]
                if not number:
                    stream = container.add_stream_from_template(shown)
                for packet in source.demux(shown):
                    if packet.dts is None or packet.pts is None:
                        continue
                    shift = round(number * _ROUND_S / shown.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    container.mux(packet)
    first.unlink()


def _encode_again(path: Path, codec: str, options: dict[str, str]) -> None:
    first = path.with_name(f"first-{path.name}")
    path.rename(first)
    with av.open(str(first)) as source, av.open(str(path), "w") as container:
        shown = source.streams.video[0]
        stream = container.add_stream(codec, rate=shown.average_rate, options=options)
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv420p"
        for picture in source.decode(shown):
            picture.pict_type = av.video.frame.PictureType.NONE
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    first.unlink()


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
