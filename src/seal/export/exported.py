"""What an export gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.printing import printable
from seal.results import Found, Result, match_json, match_lines
from seal.rows import moments_json
from seal.types import Span


@dataclass(frozen=True)
class Clip:
    """A file that shows one moment."""

    path: Path
    span: Span
    """What it shows, in presentation times of the video. A copy begins before its moment."""


@dataclass(frozen=True, eq=False)
class Exported(Result):
    """Moments that were written to a file, or to a folder of clips."""

    output: Path
    found: Found
    videos: Sequence[str]
    """The ids of the videos that were asked."""
    clips: Sequence[Clip] = ()
    """One for each moment, where clips were wanted."""

    def to_json(self) -> dict[str, Any]:
        rows = moments_json(self.found.moments)
        for row, clip in zip(rows, self.clips, strict=False):
            row["clip"] = {
                "path": str(clip.path),
                "start_s": clip.span.start_s,
                "end_s": clip.span.end_s,
            }
        return {
            "output": str(self.output),
            "videos": list(self.videos),
            "match": match_json(self.found.match),
            "moments": rows,
        }

    def __str__(self) -> str:
        count = len(self.found)
        lines = [f"{printable(str(self.output))}: {count} moment{'' if count == 1 else 's'}"]
        for clip, moment in zip(self.clips, self.found.moments, strict=False):
            early_s = moment.span.start_s - clip.span.start_s
            early = f" (begins {early_s:.1f} s before its moment)" if early_s >= 0.05 else ""
            lines.append(f"{printable(str(clip.path))}{early}")
        return "\n".join([*lines, *match_lines(self.found.match)])
