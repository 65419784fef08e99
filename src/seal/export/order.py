"""The order in which moments follow each other in an edited film."""

from __future__ import annotations

from collections.abc import Mapping

from seal.results import Found
from seal.store import VideoRecord
from seal.types import Moment


def by_video(found: Found, videos: Mapping[str, VideoRecord]) -> list[tuple[int, Moment]]:
    """Rank, from 1, and moment: by video in the order of `videos`, and there in order of time."""
    place = {video: number for number, video in enumerate(videos)}
    return sorted(
        enumerate(found.moments, 1),
        key=lambda each: (place[each[1].video], each[1].span.start_s, each[1].span.end_s),
    )
