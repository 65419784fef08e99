"""Records of whole videos, as the store keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from seal.inventory import DeadLetter
from seal.types import is_count, is_real

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
    is_quick: bool = False
    """Only pictures that the codec stores whole were looked at, for scene tokens alone."""
    language: str = ""
    """ISO 639-1 of what is said, such as "en"; empty where it is not known."""
    meaning: str = ""
    """The fingerprint of the encoder of sentences that gave its words a second embedding; empty
    where none did."""
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
        """Read what `to_json` wrote. Raises ValueError, which names the field, for another value
        than SEAL writes."""
        try:
            values = json.loads(text)
            gaps = to_gaps(values["gaps"])
            notes = tuple((at, text) for at, text in values.get("notes", ()))
            record = VideoRecord(**values | {"gaps": gaps, "notes": notes})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a video's record: {error}") from error
        for names, wanted, is_valid in _RULES:
            for name in names:
                if not is_valid(value := getattr(record, name)):
                    raise ValueError(f"{name} must be {wanted}, got {_short(value)}")
        return record


def to_gaps(values: Iterable[Any]) -> tuple[Gap, ...]:
    """Gaps as JSON keeps them. Raises TypeError or ValueError if `values` are something else."""
    gaps = tuple((start, end, why) for start, end, why in values)
    for start, end, why in gaps:
        if not (is_real(start) and is_real(end) and start <= end and isinstance(why, str)):
            gap = _short((start, end, why))
            raise ValueError(f"a gap must be a start, an end at or after it and a reason: {gap}")
    return gaps


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


_SHOWN = 60
"""Characters of a wrong value that an error shows."""
_RULES: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (("id",), "a name", lambda value: isinstance(value, str) and value != ""),
    (
        (
            *("path", "location", "content_id", "codec", "profile", "encoder", "indexed_at"),
            *("language", "meaning"),
        ),
        "text",
        lambda value: isinstance(value, str),
    ),
    (("start_s",), "a finite number of seconds", is_real),
    (
        ("duration_s", "seconds"),
        "a finite number of seconds of at least 0",
        lambda value: is_real(value) and value >= 0,
    ),
    (("width", "height"), "a number of pixels", is_count),
    (
        ("notes",),
        "times in seconds with texts",
        lambda notes: all(is_real(at) and isinstance(text, str) for at, text in notes),
    ),
    (
        ("rate_hz",),
        "a finite number above 0, or null",
        lambda value: value is None or (is_real(value) and value > 0),
    ),
    (("size_bytes",), "a number of bytes, or null", lambda v: v is None or is_count(v)),
    (("encoder_options", "options"), "options by name", _is_mapping),
    (
        ("keys",),
        "keys by kind",
        lambda value: _is_mapping(value) and all(isinstance(key, str) for key in value.values()),
    ),
)
"""Names of fields, what their values have to be, and whether a value is that."""


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
    dead: tuple[DeadLetter, ...] = ()
    """The parts that failed when they were last tried."""
