"""What indexing will cost, before anything is indexed: hours, parts, storage, passes and time.

Only lengths are looked at. With a measurement, one part from the middle of the first video is
indexed and thrown away, and the rest is taken to be like it.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.clock import clock
from seal.config import Options
from seal.decompose import Models
from seal.errors import VideoError
from seal.ingest.plan import Plan, are_apart
from seal.ingest.shard import WHOLE
from seal.ingest.work import index_part
from seal.printing import printable
from seal.results import Result
from seal.video import open_video, shown
from seal.video.source import has_no_end, is_pipe

_SHAPES = {"mini": (256, 1), "clip": (768, 1), "siglip": (768, 1), "blip2": (256, 32)}
"""Dimension and facets of the encoders with their default weights."""
_TOKEN_BYTES = 200
"""What a token has beside its vectors: ids, times, box and words."""
_JPEG_BYTES = 0.2
"""Of a pixel of a stored picture."""
_WIDE = 16 / 9
_NETWORKS = {"segment": ("sam", "sam2", "sam3"), "track": ("sam2",)}
"""The back ends of these stages that run a network; the others are classical, or ask a detector."""


@dataclass(frozen=True)
class MeasuredPart:
    """What one part has cost."""

    length_s: float
    seconds: float
    """By one process, models loaded."""
    tokens: Mapping[str, int]
    """kind -> number."""
    size_bytes: int
    """Vectors, pictures and words."""


@dataclass(frozen=True, eq=False)
class CostEstimate(Result):
    """What it will cost to index some videos."""

    profile: str
    videos: int
    length_s: float
    parts: int
    passes: Mapping[str, int]
    """stage -> pictures that its network looks at: at most, and by a measurement about."""
    size_bytes: int | None
    """None where nobody knows the vectors of the encoder."""
    speed: float | None
    """Seconds of video that one process indexes in a second; None where it is not known."""
    workers: int
    busiest_s: float
    """Seconds of video that pass until the last of the processes of one command is done."""
    shared_s: float
    """The same of as many commands, each with a shard."""
    unknown: tuple[tuple[str, str], ...]
    """Sources without a length, such as cameras, and those that cannot be read, with the reason."""
    unreadable: int
    """How many of the unknown cannot be read."""
    is_measured: bool

    @property
    def seconds(self) -> float | None:
        """How long one command takes with that many workers; the largest share decides."""
        return self.busiest_s / self.speed if self.speed and self.parts else None

    @property
    def shared_seconds(self) -> float | None:
        """How long that many shards take, which wait for no video that is read in one piece."""
        return self.shared_s / self.speed if self.speed and self.parts else None

    def to_json(self) -> dict[str, Any]:
        return {
            "profile": self.profile,
            "videos": self.videos,
            "hours": self.length_s / 3600,
            "parts": self.parts,
            "passes": dict(self.passes),
            "bytes": self.size_bytes,
            "speed": self.speed,
            "workers": self.workers,
            "seconds": self.seconds,
            "shared_seconds": self.shared_seconds,
            "unknown": [{"path": path, "reason": reason} for path, reason in self.unknown],
            "measured": self.is_measured,
        }

    def __str__(self) -> str:
        most = "about {}" if self.is_measured else "at most {}; those of actions are not counted"
        passes = ", ".join(f"{count:,} {stage}" for stage, count in self.passes.items())
        size = "an unknown size" if self.size_bytes is None else _megabytes(self.size_bytes)
        if self.seconds is None:
            took = (
                f"unknown, because the speed of {self.profile} on this machine is: --measure"
                " indexes one part to find it, or give --speed"
            )
        else:
            took = (
                f"{clock(self.seconds, tenths=False)} with {self.workers} processes, at"
                f" {self.speed:.2f}x real time each"
            )
        lines = [
            f"videos          {self.videos}, which last {clock(self.length_s, tenths=False)}",
            f"parts           {self.parts:,}",
            f"storage         {most.format(size)}",
            f"forward passes  {most.format(passes) if passes else 'none'}",
            f"time            {took}",
        ]
        if self.seconds is not None and self.shared_seconds != self.seconds:
            shared = clock(self.shared_seconds or 0.0, tenths=False)
            lines.append(
                f"                {shared} by --shard: videos that cannot be cut at the same time"
            )
        lines += [f"not counted     {printable(path)}: {why}" for path, why in self.unknown]
        return "\n".join(lines)


def _megabytes(size_bytes: float) -> str:
    """In megabytes, with a tenth where that is much of it."""
    size = size_bytes / 1e6
    return f"{size:,.0f} MB" if size >= 10 else f"{max(size, 0.1):.1f} MB"


def estimate(
    sources: Iterable[str | Path],
    options: Options,
    *,
    workers: int = 1,
    speed: float | None = None,
    measure: bool = False,
) -> CostEstimate:
    """Look at the lengths of `sources`. `speed` is that of one process, which `measure` measures.

    A source that cannot be read, or has no length, is counted apart. Raises what loading models
    does, with `measure`.
    """
    lengths_s, unknown, unreadable = list[float](), list[tuple[str, str]](), 0
    parts = list[tuple[float, bool]]()
    measured: MeasuredPart | None = None
    for source in sources:
        if has_no_end(source) or is_pipe(source):
            unknown.append((shown(source), "it has no length before it is read"))
            continue
        try:
            with open_video(source, options.video) as video:
                starts_s = video.part_starts(options.video.part_s)
                length_s = video.info.duration_s
                if length_s is None:
                    unknown.append((shown(source), "its container states no length"))
                    continue
                if measure and measured is None:
                    measured = _measured(source, video, tuple(starts_s), options)
        except VideoError as error:
            unknown.append((shown(source), str(error).removeprefix(f"{shown(source)}: ")))
            unreadable += 1
            continue
        limit_s = options.video.max_duration_s
        lengths_s.append(length_s if limit_s is None else min(length_s, limit_s))
        part_s = lengths_s[-1] / len(starts_s)
        parts += [(part_s, are_apart(video.info, len(starts_s), options.video.part_s))] * len(
            starts_s
        )
    total_s = sum(lengths_s)
    passes = _passes(options, total_s, len(lengths_s), measured)
    if measured is None:
        size = _stored(options, passes)
    else:
        size = int(measured.size_bytes * total_s / measured.length_s)
        speed = measured.length_s / measured.seconds
    return CostEstimate(
        profile=options.profile,
        videos=len(lengths_s),
        length_s=total_s,
        parts=len(parts),
        passes={stage: count for stage, count in passes.items() if count},
        size_bytes=size,
        speed=speed,
        workers=workers,
        busiest_s=_last_end_s(parts, workers),
        shared_s=_last_end_s([(part_s, True) for part_s, _ in parts], workers),
        unknown=tuple(unknown),
        unreadable=unreadable,
        is_measured=measured is not None,
    )


def _last_end_s(parts: Iterable[tuple[float, bool]], workers: int) -> float:
    """When the last part ends, if a second of video takes a second and each free process takes the
    next part. Of each part: its length, and whether other processes can do it; a video that the
    command reads itself holds up the videos after it."""
    ends_s, held_s = [0.0] * workers, 0.0
    for part_s, is_shareable in parts:
        end_s = max(ends_s[0], held_s) + part_s
        heapq.heapreplace(ends_s, end_s)
        held_s = held_s if is_shareable else end_s
    return max(ends_s)


def _passes(
    options: Options, total_s: float, videos: int, measured: MeasuredPart | None
) -> dict[str, int]:
    """stage -> how many pictures its network looks at."""
    scenes, keyframes_s = options.scenes, options.objects.interval_s
    keyframes = total_s / keyframes_s
    frames = total_s * options.video.rate_hz
    scene_count = videos * scenes.count if scenes.count else total_s / scenes.interval_s
    passes = dict.fromkeys(("detect", "segment", "track", "encode"), 0.0)
    if options.detect.backend != "none":
        passes["detect"] = keyframes + frames
    if options.segment.backend in _NETWORKS["segment"]:
        passes["segment"] = keyframes
    if options.track.backend in _NETWORKS["track"]:
        passes["track"] = frames
        passes["segment"] += total_s / options.track.prompt_interval_s
    if measured is None:
        passes["encode"] = scene_count + keyframes * options.objects.max_per_keyframe
    else:
        counts, share = measured.tokens, total_s / measured.length_s
        crops = counts.get("object", 0) + options.actions.frames * counts.get("action", 0)
        passes["encode"] = scene_count + crops * share
    return {stage: round(count) for stage, count in passes.items()}


def _stored(options: Options, passes: Mapping[str, int]) -> int | None:
    """Bytes of the tokens that are counted in `passes`, with a picture for each keyframe."""
    shape = _SHAPES.get(options.encode.backend)
    if shape is None:
        return None
    dimension, facets = shape
    vectors = 4 * dimension * (1 if facets == 1 else 1 + facets)
    tokens = passes["encode"]
    pictures = tokens / (1 + options.objects.max_per_keyframe)
    jpeg = _JPEG_BYTES * _WIDE * options.video.short_side_px**2
    return int(tokens * (vectors + _TOKEN_BYTES) + pictures * jpeg)


def _measured(
    source: str | Path, video: Any, starts_s: tuple[float, ...], options: Options
) -> MeasuredPart:
    """Index the part in the middle, and time it."""
    models = Models.load(options)
    plan = Plan(
        source=str(source),
        files=video.files,
        video_id="",
        options=options,
        info=video.info,
        starts_s=starts_s,
        keys=models.keys(options),
        done=frozenset(),
        shard=WHOLE,
    )
    number = len(starts_s) // 2
    start_s, end_s = plan.span_s(number)
    began = time.monotonic()
    part = index_part(plan, number, models)
    seconds = time.monotonic() - began
    tokens = part.tokens
    vectors = tokens.embeddings.nbytes + (tokens.facets.nbytes if tokens.facets.shape[1] > 1 else 0)
    return MeasuredPart(
        length_s=end_s - start_s,
        seconds=seconds,
        tokens={kind: int((tokens.kinds == kind).sum()) for kind in set(tokens.kinds.tolist())},
        size_bytes=vectors + sum(map(len, part.pictures.values())) + _TOKEN_BYTES * len(tokens),
    )
