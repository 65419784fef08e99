"""What every interface gives back about the videos of a store, rather than about a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from seal import kinds
from seal.clock import clock, span_clock
from seal.printing import printable
from seal.results import Result

NOT_LOOKED_AT = "not looked at"
"""How the reason of a gap begins that a quick run has left out."""


@dataclass(frozen=True)
class DeadLetter:
    """A part of a video that could not be indexed."""

    part: int
    start_s: float
    end_s: float
    reason: str
    tries: int
    """How often the part was tried in one run."""

    def to_json(self) -> dict[str, Any]:
        """The dead letter as every interface gives it."""
        return asdict(self)

    def __str__(self) -> str:
        where = f"part {self.part} ({span_clock(self.start_s, self.end_s)})"
        times = "once" if self.tries == 1 else f"{self.tries} times"
        return f"{where}, tried {times}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Share(Result):
    """What one run has done of a video: of all of its parts, or of those of a shard."""

    video: str
    """The id; "" where the shard has no part of the video, which it then has not read."""
    path: str
    parts: int | None
    """How many the video has; None where nobody can know before it is read."""
    own: int
    """How many of them were this run's to do, those that were stored before included."""
    is_complete: bool
    """Whether the video is committed."""
    dead: Sequence[DeadLetter] = ()
    """The parts of its own that failed."""
    shard: str = "1/1"
    is_new: bool = True
    """False where the video was complete already, with these options."""

    @property
    def failure(self) -> str:
        """Why the video is not complete."""
        reasons = "; ".join(map(str, self.dead))
        return (
            f"{self.path}: {len(self.dead)} of {self.parts} parts could not be indexed: {reasons};"
            " the others are stored, and the same command tries these again"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "video": self.video or None,
            "path": self.path,
            "shard": self.shard,
            "parts": self.parts,
            "own": self.own,
            "complete": self.is_complete,
            "dead": [letter.to_json() for letter in self.dead],
        }

    def __str__(self) -> str:
        of = "" if self.parts is None else f" of {self.parts}"
        state = "complete" if self.is_complete else "unfinished"
        dead = f", {len(self.dead)} failed" if self.dead else ""
        return (
            f"{self.video or '-'}  shard {self.shard}: {self.own}{of} parts{dead};"
            f" the video is {state}  {printable(self.path)}"
        )


@dataclass(frozen=True, eq=False)
class Indexed(Result):
    """A video in the store; `video` is its id."""

    video: str
    path: str
    duration_s: float
    tokens: Mapping[str, int]
    """kind -> number."""
    gaps: Sequence[tuple[float, float, str]]
    """start_s, end_s and reason of each stretch that could not be read."""
    notes: Sequence[tuple[float, str]]
    """time_s and text of what was noticed, such as a clock that restarts."""
    profile: str
    seconds: float
    """How long indexing took."""
    is_quick: bool
    """Only the codec's keyframes were looked at so far."""

    @property
    def realtime_factor(self) -> float:
        """Seconds of video indexed in a second; 0 where the time is not known."""
        return self.duration_s / self.seconds if self.seconds else 0.0

    @property
    def lost(self) -> list[tuple[float, float, str]]:
        """The gaps that could not be read."""
        return [gap for gap in self.gaps if not gap[2].startswith(NOT_LOOKED_AT)]

    def to_json(self) -> dict[str, Any]:
        return {
            "video": self.video,
            "path": self.path,
            "duration_s": self.duration_s,
            "tokens": dict(self.tokens),
            "profile": self.profile,
            "stage": "quick" if self.is_quick else "complete",
            "gaps": [list(gap) for gap in self.gaps],
            "notes": [list(note) for note in self.notes],
            "seconds": self.seconds,
            "realtime_factor": self.realtime_factor,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Indexed:
        """What `to_json` has written."""
        names = ("video", "path", "duration_s", "tokens", "profile", "seconds")
        return Indexed(
            gaps=[(start_s, end_s, reason) for start_s, end_s, reason in values["gaps"]],
            notes=[(time_s, text) for time_s, text in values["notes"]],
            is_quick=values["stage"] == "quick",
            **{name: values[name] for name in names},
        )

    def line(self) -> str:
        """The video on a line of a terminal."""
        order = [*kinds.known()]
        there = [*filter(self.tokens.__contains__, order), *(self.tokens.keys() - {*order})]
        counts = ", ".join(f"{self.tokens[kind]} {kind}" for kind in there)
        stage = "  quick: `seal index` completes it" if self.is_quick else ""
        lost_s = sum(end_s - start_s for start_s, end_s, _ in self.lost)
        lost = f"  {clock(lost_s)} could not be read" if self.lost else ""
        about = f"{self.video}  {clock(self.duration_s)}  {counts}{lost}{stage}"
        return f"{about}  {printable(self.path)}"

    def __str__(self) -> str:
        return f"{self.line()}  {self.realtime_factor:.1f}x real time"


@dataclass(frozen=True, eq=False)
class Begun(Result):
    """A video that was begun and is not committed; `video` is its id."""

    video: str
    path: str
    parts: int | None
    """How many parts are stored; None where a server does not say."""
    dead: Sequence[DeadLetter] = ()
    """The parts that failed when they were last tried."""

    def to_json(self) -> dict[str, Any]:
        return {
            "video": self.video,
            "path": self.path,
            "stage": "unfinished",
            "stored_parts": self.parts,
            "dead": [letter.to_json() for letter in self.dead],
        }

    def __str__(self) -> str:
        stored = "" if self.parts is None else f", {self.parts} part{'s'[: self.parts != 1]} stored"
        how = "`seal index` goes on, `seal remove` drops it"
        lines = [f"{self.video}  unfinished{stored}: {how}  {printable(self.path)}"]
        return "\n".join([*lines, *(f"  {printable(str(letter))}" for letter in self.dead)])


@dataclass(frozen=True, eq=False)
class BegunListing(Result):
    """The videos of a library that were begun and are not committed, in the order of their ids."""

    videos: Sequence[Begun]

    def to_json(self) -> list[dict[str, Any]]:
        return [video.to_json() for video in self.videos]

    def __str__(self) -> str:
        return "\n".join(map(str, self.videos)) or "no unfinished videos"


@dataclass(frozen=True, eq=False)
class Listing(Result):
    """The videos of a library, in the order of indexing."""

    videos: list[Indexed]
    unfinished: Sequence[tuple[str, str]] = ()
    """Id and path of each video that was begun and is not committed; the JSON leaves them out."""
    dead: Mapping[str, Sequence[DeadLetter]] = field(default_factory=dict)
    """Id -> the parts of an unfinished video that failed when they were last tried."""
    stored: Mapping[str, int] = field(default_factory=dict)
    """Id -> the number of stored parts of an unfinished video; a server does not say."""

    @property
    def begun(self) -> BegunListing:
        """The unfinished videos with all that is known of them."""
        return BegunListing(
            [
                Begun(video, path, self.stored.get(video), self.dead.get(video, ()))
                for video, path in self.unfinished
            ]
        )

    def to_json(self) -> list[dict[str, Any]]:
        return [video.to_json() for video in self.videos]

    @staticmethod
    def from_json(
        rows: Sequence[Mapping[str, Any]], unfinished: Sequence[tuple[str, str]] = ()
    ) -> Listing:
        """What `to_json` has written."""
        return Listing([Indexed.from_json(row) for row in rows], unfinished)

    def __str__(self) -> str:
        lines = [video.line() for video in self.videos]
        lines += map(str, self.begun.videos)
        return "\n".join(lines or ["no videos; index some with `seal index PATH`"])

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Any:
        return iter(self.videos)


@dataclass(frozen=True, eq=False)
class Removed(Result):
    """Videos that are no longer in the store."""

    videos: list[tuple[str, str]]
    """Id and path of each."""

    def to_json(self) -> list[dict[str, Any]]:
        return [{"video": video, "path": path} for video, path in self.videos]

    @staticmethod
    def from_json(rows: Sequence[Mapping[str, Any]]) -> Removed:
        """What `to_json` has written."""
        return Removed([(row["video"], row["path"]) for row in rows])

    def __str__(self) -> str:
        return "\n".join(f"removed {video} ({printable(path)})" for video, path in self.videos)


@dataclass(frozen=True, eq=False)
class Optimized(Result):
    """A store from which the space of everything that was removed is given back."""

    bytes_before: int
    bytes_after: int

    def to_json(self) -> dict[str, Any]:
        return {"bytes_before": self.bytes_before, "bytes_after": self.bytes_after}

    def __str__(self) -> str:
        return f"{self.bytes_before / 1e6:,.1f} MB before, {self.bytes_after / 1e6:,.1f} MB now"
