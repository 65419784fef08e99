"""Moments as an edit decision list in the format CMX 3600, which editing programs read.

An event is a line with its number, the reel, the track, "C" for a cut, and four timecodes. These
are in and out of the source, in and out of the edited film. Lines that begin with an asterisk are
comments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import PurePath

from seal.errors import OptionError
from seal.export.cues import title
from seal.export.order import by_video
from seal.export.timecode import FrameRate, rate_of
from seal.printing import printable
from seal.results import Found
from seal.store import VideoRecord

# Events have three digits, reels eight characters, and titles seventy.
_MOST_EVENTS = 999
_REEL_LENGTH = 8
_TITLE_LENGTH = 70
# Edited films customarily begin after an hour, so that something can be put before them.
_BEGINS_S = 3600
# Reels of these names are black, colour bars and tapes that nobody named.
_RESERVED = ("AX", "BL", "BLACK", "BARS")


def edl(found: Found, videos: Mapping[str, VideoRecord]) -> bytes:
    """The moments one after another: by video, and those of a video in order of time.

    Source timecodes count from the first picture of the video, the film begins at 01:00:00:00.
    Raises OptionError for a video without a known, constant frame rate, for videos of several
    rates and for more than 999 moments.
    """
    ordered = by_video(found, videos)
    if len(ordered) > _MOST_EVENTS:
        raise OptionError(
            f"a CMX 3600 list has at most {_MOST_EVENTS} events, and these are {len(ordered)}"
            " moments: export fewer with --top, or as .otio or .csv"
        )
    records = list({moment.video: videos[moment.video] for _, moment in ordered}.values())
    rate = _common_rate(records)
    reels = _reels(records)
    name = printable(found.query).encode("ascii", "replace").decode()[:_TITLE_LENGTH]
    lines = [f"TITLE: {name}", f"FCM: {'DROP FRAME' if rate.drops else 'NON-DROP FRAME'}"]
    at = _first_frame(rate)
    for number, (rank, moment) in enumerate(ordered, 1):
        record = videos[moment.video]
        first, end = rate.frames(moment.span, record.start_s)
        times = (first, end, at, at + end - first)
        timecodes = " ".join(rate.timecode(frame) for frame in times)
        lines += [
            "",
            f"{number:03d}  {reels[record.id]:{_REEL_LENGTH}} V     C        {timecodes}",
            f"* FROM CLIP NAME: {printable(PurePath(record.path).name)}",
            f"* COMMENT: {printable(title(found, rank, moment))}",
        ]
        at += end - first
    return "".join(f"{line}\r\n" for line in lines).encode()


def _common_rate(records: Sequence[VideoRecord]) -> FrameRate:
    """The frame rate of all videos; 25 a second where there is none. Raises OptionError."""
    rates = dict[FrameRate, str]()
    for record in records:
        rate = rate_of(record)
        if rate is None or not rate.has_timecode:
            stated = (
                "not known" if record.rate_hz is None else f"{record.rate_hz:.6g} Hz on average"
            )
            raise OptionError(
                f"{record.path}: an .edl counts frames, and the frame rate of this video varies or"
                f" has no timecode ({stated}); export it as .otio or .csv"
            )
        rates.setdefault(rate, record.path)
    if len(rates) > 1:
        listed = ", ".join(f"{path} has {float(rate.hz):.5g} Hz" for rate, path in rates.items())
        raise OptionError(
            f"an .edl has one frame rate, and these videos have several ({listed}): export each"
            " video by itself, or as .otio or .csv"
        )
    return next(iter(rates), FrameRate(Fraction(25)))


def _first_frame(rate: FrameRate) -> int:
    """The frame whose timecode is 01:00:00:00."""
    return _BEGINS_S * rate.counted - rate.drops * 54


def _reels(records: Sequence[VideoRecord]) -> dict[str, str]:
    """Video -> a reel name of its own, from the name of its file."""
    reels = dict[str, str]()
    for record in records:
        name = re.sub(r"[^A-Z0-9]+", "_", PurePath(record.path).stem.upper()).strip("_")
        name, number = name[:_REEL_LENGTH] or "REEL", 1
        unique = name
        while unique in (*reels.values(), *_RESERVED):
            number += 1
            unique = f"{name[: _REEL_LENGTH - len(str(number))]}{number}"
        reels[record.id] = unique
    return reels
