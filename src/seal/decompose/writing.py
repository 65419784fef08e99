"""Text tokens: lines of text in the picture, for as long as they stay."""

from __future__ import annotations

from typing import Any

from seal.config import Options, deciding
from seal.decompose.draft import Draft
from seal.decompose.maker import Maker, Models, PartContext
from seal.video import Frame
from seal.words import Transcript


class Writing(Maker):
    """One token for each line of text that stays."""

    @classmethod
    def of(cls, part: PartContext) -> Writing:
        return cls()

    @classmethod
    def deciding(
        cls, options: Options, models: Models, subtitles: Transcript | None
    ) -> list[Any] | None:
        if models.reader is None:
            return None
        return [deciding(options.text), models.reader.fingerprint, deciding(options.read)]

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        return []
