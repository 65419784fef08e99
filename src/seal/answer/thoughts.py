"""The thoughts that a model writes before its answer: they are taken off where text enters.

Models mark their thoughts in different ways, and many servers leave the marks in the text. Where
the chat template has written the opening mark, the text holds the closing one alone.
"""

from __future__ import annotations

import re

_WORDS = r"think|thinking|thoughts?|reason|reasoning|seed:think"
# In this order: Qwen, DeepSeek, GLM, InternVL, Seed; Magistral; Kimi-VL; Sky-T1; gpt-oss.
_BEGIN = (
    rf"<(?:{_WORDS})>|\[THINK\]|◁think▷|<\|begin_of_thought\|>"
    r"|<\|channel\|>(?:analysis|commentary)<\|message\|>"
)
_END = (
    rf"</(?:{_WORDS})>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
    r"|<\|channel\|>final<\|message\|>"
)
_MARK = re.compile(rf"(?P<begin>{_BEGIN})|(?P<end>{_END})", re.IGNORECASE)
_BEGUN = re.compile(
    r"<(?:[^<>]*|\|[^<>]*\|>[^<>]*(?:<[^<>]*)?)\Z|\[/?[A-Z]*\Z|◁[^▷]*\Z", re.IGNORECASE
)
"""What may become a mark."""
_LONGEST = 40
"""Characters: no mark is longer."""


class Spoken:
    """What a model says, of text that comes piece by piece with its thoughts."""

    def __init__(self) -> None:
        self.thought = False
        """Whether there were thoughts."""
        self._text: list[str] = []
        self._held = ""
        self._inside = False

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._text)

    def hear(self, piece: str) -> str:
        """What a piece adds to what was said.

        A mark that ends thoughts whose beginning had none makes thoughts of all that came before
        it: then `text` forgets what this method returned before.
        """
        self._held += piece
        before = self._text
        said = list[str]()
        while mark := _MARK.search(self._held):
            head, self._held = self._held[: mark.start()], self._held[mark.end() :]
            if mark["end"] and not self._inside:
                before, said = [], []
            elif not self._inside:
                said.append(head)
            self.thought, self._inside = True, bool(mark["begin"])
        split = _safe(self._held)
        if not self._inside:
            said.append(self._held[:split])
        self._held = self._held[split:]
        self._text = [*before, "".join(said)]
        return self._text[-1]

    def finish(self) -> str:
        """What was held back because it could have become a mark."""
        left = "" if self._inside else self._held
        self._held = ""
        self._text.append(left)
        return left


def without_thoughts(text: str) -> str:
    """The text that a model wrote, without its thoughts."""
    spoken = Spoken()
    spoken.hear(text)
    spoken.finish()
    return spoken.text


def _safe(text: str) -> int:
    """Where the part of a text begins that may be the beginning of a mark."""
    start = max(0, len(text) - _LONGEST)
    found = _BEGUN.search(text[start:])
    return start + found.start() if found else len(text)
