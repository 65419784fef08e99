"""What the store knows of a video as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Gap = tuple[float, float, str]
"""start_s, end_s, reason: a stretch of the video that could not be read."""


@dataclass(frozen=True)
class VideoRecord:
    """One indexed video and everything that decided its tokens; all of it JSON-able."""

    id: str
    path: str
    """As the user gave it."""
    location: str
    """Absolute path or URL."""
    content_id: str
    """Hash of the content: the same bytes elsewhere are the same video."""
    duration_s: float
    """As the container states it, or as long as it was read where it does not say."""
    start_s: float
    """Presentation time of the first picture."""
    width: int
    """Pixels of the upright picture, as is `height`."""
    height: int
    codec: str
    rate_hz: float | None
    """Nominal pictures per second; None where they vary or the container does not say."""
    profile: str
    encoder: str
    """The encoder's fingerprint: algorithm and weights."""
    encoder_options: Mapping[str, Any]
    """`seal.config.as_dict` of the encoder's options: a query loads the very same encoder."""
    options: Mapping[str, Any]
    """The options of all stages, by stage."""
    indexed_at: str
    """When indexing ended, ISO 8601 with time zone."""
    seconds: float
    """How long indexing took."""
    size_bytes: int | None = None
    """Of the file; None for what has no size. A file of another size is another video."""
    gaps: tuple[Gap, ...] = ()
    """`Store.finish` adds those that were given to `Store.add`."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """kind -> key of the tokens stored; set by `Store.finish`."""

    def to_json(self) -> str:
        """JSON in plain ASCII: file names that are not valid Unicode survive."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> VideoRecord:
        """What `to_json` wrote. Raises ValueError if it is something else."""
        try:
            values = json.loads(text)
            gaps = tuple((float(start), float(end), str(why)) for start, end, why in values["gaps"])
            return VideoRecord(**values | {"gaps": gaps})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a video's record: {error}") from error


@dataclass(frozen=True)
class Progress:
    """What is stored of a video under the keys asked for."""

    done: frozenset[tuple[str, int]]
    """(kind, part) pairs that need no work."""
    complete: frozenset[str]
    """Kinds that are committed as a whole."""
