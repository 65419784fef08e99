"""Moments as an OpenTimelineIO timeline, for editing programs that read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from seal.dependencies import dependency
from seal.export.cues import title
from seal.export.order import by_video
from seal.export.timecode import rate_of
from seal.lookup import original
from seal.printing import printable
from seal.results import Found
from seal.rows import moments_json
from seal.store import VideoRecord
from seal.types import Span
from seal.video import is_address

# The clock of MPEG. Milliseconds and its own ticks are whole numbers of it, and all else is within
# 6 µs.
_TICKS_HZ = 90_000


def otio(found: Found, videos: Mapping[str, VideoRecord]) -> bytes:
    """A timeline with one track: a clip for each moment, by video and in order of time.

    Times count from the first picture of a video: in whole frames where its frame rate is constant,
    otherwise in ticks of 1/90,000 s. Each clip has a marker with rank, score and words, and its
    media reference is missing where the video is not at hand. Raises BackendError without the
    package OpenTimelineIO.
    """
    library = dependency("opentimelineio", "export").require("exporting .otio")
    timeline = library.schema.Timeline(printable(found.query))
    track = library.schema.Track("moments", kind=library.schema.TrackKind.Video)
    timeline.tracks.append(track)
    rows = moments_json(found.moments)
    for rank, moment in by_video(found, videos):
        record = videos[moment.video]
        shown = _range(library, record, moment.span)
        clip = library.schema.Clip(
            printable(PurePath(record.path).name),
            media_reference=_media(library, record),
            source_range=shown,
            metadata={"seal": rows[rank - 1] | {"rank": rank}},
        )
        clip.markers.append(
            library.schema.Marker(
                name=printable(title(found, rank, moment)),
                marked_range=shown,
                color=library.schema.MarkerColor.GREEN,
                metadata={"seal": {"query": printable(found.query)}},
            )
        )
        track.append(clip)
    written: str = library.adapters.write_to_string(timeline, "otio_json")
    return f"{written}\n".encode()


def _range(library: Any, record: VideoRecord, span: Span) -> Any:
    """A span of a video as OpenTimelineIO counts it, from the first picture."""
    rate = rate_of(record)
    if rate is None:
        hz = float(_TICKS_HZ)
        first, end = (
            round((at_s - record.start_s) * _TICKS_HZ) for at_s in (span.start_s, span.end_s)
        )
    else:
        hz = rate.hz.numerator / rate.hz.denominator
        first, end = rate.frames(span, record.start_s)
    time = library.opentime
    return time.TimeRange(time.RationalTime(first, hz), time.RationalTime(end - first, hz))


def _media(library: Any, record: VideoRecord) -> Any:
    """Where the whole video lies, or that it is missing."""
    whole = Span(record.start_s, record.start_s + record.duration_s)
    available = _range(library, record, whole)
    where = original(record)
    if not where:
        return library.schema.MissingReference(available_range=available)
    url = where if is_address(where) else Path(where).as_uri()
    return library.schema.ExternalReference(url, available)
