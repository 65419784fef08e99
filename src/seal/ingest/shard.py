"""The share of one of several processes that index the same videos and know nothing of each other.

Each (video, part) pair has one owner, which all processes find without a word. Part p of the video
at place v in the list belongs to shard (o(v) + p) mod n, where o(v) = floor(n frac(v phi)) and phi
is the golden ratio. The starts o(v) lie evenly on the circle of n shards, however long the list is
(Weyl's equidistribution, with the lowest discrepancy that a single number gives). So shards have
equal shares, whether videos have one part each or a thousand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seal.errors import OptionError

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Shard:
    """One of `count` shares of a list of videos; `number` begins at 1."""

    number: int
    count: int
    place: int = 0
    """The place of the video in the list, from 0."""

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard that "3/64" means. Raises OptionError."""
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count:
            raise OptionError(
                f"a shard is NUMBER/COUNT, from 1/64 to 64/64 for 64 of them; got {text!r}"
            )
        return Shard(number, count)

    def has(self, part: int) -> bool:
        """Whether this shard owns a part of the video."""
        start = int(self.count * (self.place * _GOLDEN % 1))
        return (start + part) % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard(1, 1)
"""All parts of all videos."""
