"""SEAL: hours of video as a small set of semantic tokens.

import seal

library = seal.open("tokens")                    # makes it where there is none
video = library.index("film.mp4")                # decode once, query many times
video.tokens                                     # scenes, objects, actions: where, what, how
video.select("a red ball", budget=16)            # the few tokens worth looking at, with a bound
video.find("a red ball", top=3)                  # the moments, best first, and whether any match
video.show("a red ball", "storyboard.html")      # the evidence, for a person
video.ask("Why does it stop?", answerer="openai:MODEL")   # an answer with citations
library.find("a red ball")                       # the same, over every video
library.watch("rtsp://...", queries=["a person"])         # windows as they go, in fixed memory
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from seal.errors import (
    AnswerError,
    BackendError,
    DataError,
    NotIndexedError,
    OptionError,
    SealError,
    StoreError,
    StoreFullError,
    StoreVersionError,
    VideoError,
)

if TYPE_CHECKING:
    from seal.answer import Dialogue as Dialogue
    from seal.config import Options as Options
    from seal.front import Library as Library
    from seal.front import Video as Video
    from seal.ingest import Progress as Progress
    from seal.kinds import Kind as Kind
    from seal.opening import open_library as open  # noqa: A004 - as in `seal.open`
    from seal.results import Answer as Answer
    from seal.results import Found as Found
    from seal.results import Match as Match
    from seal.results import Selection as Selection
    from seal.types import Moment as Moment
    from seal.types import Span as Span
    from seal.types import Tokens as Tokens

__version__ = "0.2.0.dev0"

# What SEAL logs is shown where a program sets up logging, and nowhere else.
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Imported when first used: `import seal` costs nothing, OpenCV, FFmpeg and Lance come when needed.
_LAZY = {
    "Answer": "seal.results:Answer",
    "Dialogue": "seal.answer:Dialogue",
    "Found": "seal.results:Found",
    "Kind": "seal.kinds:Kind",
    "Library": "seal.front:Library",
    "Match": "seal.results:Match",
    "Moment": "seal.types:Moment",
    "Options": "seal.config:Options",
    "Progress": "seal.ingest:Progress",
    "Selection": "seal.results:Selection",
    "Span": "seal.types:Span",
    "Tokens": "seal.types:Tokens",
    "Video": "seal.front:Video",
    "open": "seal.opening:open_library",
}

__all__ = [
    "Answer",
    "AnswerError",
    "BackendError",
    "DataError",
    "Dialogue",
    "Found",
    "Kind",
    "Library",
    "Match",
    "Moment",
    "NotIndexedError",
    "OptionError",
    "Options",
    "Progress",
    "SealError",
    "Selection",
    "Span",
    "StoreError",
    "StoreFullError",
    "StoreVersionError",
    "Tokens",
    "Video",
    "VideoError",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'seal' has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
