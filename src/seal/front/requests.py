"""What is asked of a library or a video, once its keyword arguments are settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seal.answer import Answerer, OnText
    from seal.ingest import OnProgress


@dataclass(frozen=True)
class Indexing:
    """How videos are to be indexed: see `Library.index`."""

    profile: str
    settings: list[str]
    quick: bool
    jobs: int | None
    objects: Mapping[str, Any]
    """What stands in for the models of the profile, by the name of its argument."""
    on_progress: OnProgress
    shard: str | None = None
    """Which share of the parts, such as "3/64"; None means all of them."""
    say: Callable[[str], None] = lambda text: None
    """Is told what indexing a video again takes away from it."""


@dataclass(frozen=True)
class PutQuestion:
    """A question as it was put: see `Video.ask`."""

    question: str
    settings: list[str]
    answerer: str | Answerer | None
    choices: Mapping[str, str]
    """The texts of a multiple choice by letter; empty where there is none."""
    verify: bool = False
    on_text: OnText | None = None


@dataclass(frozen=True)
class PutExport:
    """An export as it was asked for: see `Video.export`."""

    query: str
    path: str | Path
    settings: list[str]
    copy: bool
    say: Callable[[str], None]
