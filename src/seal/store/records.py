"""Records of whole videos, as the store keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Gap = tuple[float, float, str]
"""A stretch of the video that could not be read: start_s, end_s, reason."""
Note = tuple[float, str]
"""time_s and text, such as where the clock of the source restarts."""


@dataclass(frozen=True)
class VideoRecord:
    """One indexed video and everything that decided its tokens. All fields fit into JSON."""

    id: str
    path: str
    """As the user gave it."""
    location: str
    """Absolute path or URL."""
    content_id: str
    """A hash of the content: a copy of a file is the same video."""
    duration_s: float
    """The length that was read, with the gaps in it."""
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
    """`seal.config.as_dict` of the encoder's options, from which a query loads the same encoder."""
    options: Mapping[str, Any]
    """The options of all stages, by stage."""
    indexed_at: str
    """When indexing ended, ISO 8601 with time zone."""
    seconds: float
    """How long indexing took."""
    size_bytes: int | None = None
    """The size of the file; None for a source without a size. A file of another size is another
    video."""
    gaps: tuple[Gap, ...] = ()
    """`Store.finish` adds the gaps that `Store.add` was given."""
    notes: tuple[Note, ...] = ()
    """What a user has to know about the source."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """kind -> key of the stored tokens; set by `Store.finish`."""

    def to_json(self) -> str:
        """JSON in plain ASCII: file names that are not valid Unicode survive."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> VideoRecord:
        """Read what `to_json` wrote. Raises ValueError if `text` is something else."""
        try:
            values = json.loads(text)
            gaps = tuple((float(start), float(end), str(why)) for start, end, why in values["gaps"])
            notes = tuple((float(at), str(text)) for at, text in values.get("notes", ()))
            return VideoRecord(**values | {"gaps": gaps, "notes": notes})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a video's record: {error}") from error


@dataclass(frozen=True)
class Stored:
    """The share of a video that is stored under the keys asked for."""

    done: frozenset[tuple[str, int]]
    """(kind, part) pairs that need no work."""
    complete: frozenset[str]
    """Kinds that are committed as a whole."""


@dataclass(frozen=True)
class Unfinished:
    """A video that was begun and never committed."""

    id: str
    path: str
    """As the user gave it; "" where a store of SEAL 0.1 did not keep it."""
    done: Mapping[str, int]
    """kind -> number of parts stored, under whatever keys."""
