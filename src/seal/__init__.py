"""SEAL: hours of video as a small set of semantic tokens.

import seal

store = seal.Store("tokens", create=True)
seal.index_video("film.mp4", store)              # decode once, query many times
film = seal.IndexedVideo(store, "film.mp4")      # from here on the video is not needed
film.tokens                                      # scenes, objects, actions: where, what, how
film.select("a red ball")                        # the few tokens worth looking at
film.find("a red ball")                          # the moments, best first
film.show("a red ball", "storyboard.html")       # the evidence, for a person
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seal.errors import (
    BackendError,
    NotIndexedError,
    OptionError,
    SealError,
    StoreError,
    StoreFullError,
    StoreVersionError,
    VideoError,
)

if TYPE_CHECKING:
    from seal.config import Options as Options
    from seal.index import Progress as Progress
    from seal.index import index_video as index_video
    from seal.query import IndexedVideo as IndexedVideo
    from seal.store import Store as Store
    from seal.store import VideoRecord as VideoRecord
    from seal.types import Moment as Moment
    from seal.types import Selection as Selection
    from seal.types import Span as Span
    from seal.types import Tokens as Tokens

__version__ = "0.1.0"

# Imported when first used: `import seal` costs nothing, OpenCV, FFmpeg and Lance come when needed.
_LAZY = {
    "IndexedVideo": "seal.query",
    "Moment": "seal.types",
    "Options": "seal.config",
    "Progress": "seal.index",
    "Selection": "seal.types",
    "Span": "seal.types",
    "Store": "seal.store",
    "Tokens": "seal.types",
    "VideoRecord": "seal.store",
    "index_video": "seal.index",
}

__all__ = [
    "BackendError",
    "IndexedVideo",
    "Moment",
    "NotIndexedError",
    "OptionError",
    "Options",
    "Progress",
    "SealError",
    "Selection",
    "Span",
    "Store",
    "StoreError",
    "StoreFullError",
    "StoreVersionError",
    "Tokens",
    "VideoError",
    "VideoRecord",
    "index_video",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'seal' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
