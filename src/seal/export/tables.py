"""Moments as CSV (RFC 4180) and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from seal.printing import json_line, printable_lines
from seal.results import Found
from seal.rows import moments_json
from seal.store import VideoRecord

_COLUMNS = ("video", "path", "start_s", "end_s", "score", "token", "found_by", "text")
# A spreadsheet takes a cell that begins with one of these for a formula, which may do anything.
_FORMULA = ("=", "+", "-", "@", "\t")


def table(found: Found, videos: Mapping[str, VideoRecord]) -> bytes:
    """CSV in UTF-8 with a line of names: the keys of `moments_json` and the path of the video.

    Best first. A text that a spreadsheet would take for a formula follows an apostrophe.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, restval="")
    writer.writeheader()
    for moment, row in zip(found.moments, moments_json(found.moments), strict=True):
        values = row | {"path": videos[moment.video].path, "found_by": moment.found_by}
        writer.writerow({key: _cell(value) for key, value in values.items()})
    return file.getvalue().encode()


def _cell(value: object) -> object:
    """A number as it is, and a text that is nothing but a text."""
    if not isinstance(value, str):
        return value
    text = printable_lines(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def values(found: Found, videos: Mapping[str, VideoRecord]) -> bytes:
    """What `seal find --json` prints."""
    return f"{json_line(found.to_json())}\n".encode()
