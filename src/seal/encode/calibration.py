"""What makes the relevance of one query, in one video, comparable with that of others.

A cosine of picture and text says little alone: some texts are near to all pictures, some pictures
near to all texts, and of many tokens the best is high by chance. With b the mean embedding of texts
in general, m and C the mean and covariance of the embeddings of pictures in general,

    R(x, q) = (q - b) . (x - m) / (10 sqrt((q - b)' C (q - b)))

takes off what a picture x has in common with any text (x . b) and counts in standard deviations:
a tenth of how far x lies above pictures in general on the query's axis. All of it is linear in x,
so that it costs nothing for each token. Whether a video of n tokens shows what the query says is
then a logistic regression on its best token,

    log odds = slope * max R + crowd * ln n + bias,    crowd < 0

Where a detector has given things names, a thing counts by its name as well. With p how likely it
has that name and a how far the query asks for the name, 0 to 1,

    R + named * p * a

takes the place of R. What the detector knows and has not named is hardly there: with k the largest
a over all names that the detector knows, the log odds are less by absent * k.

`training/mini/verdict.py` fits these numbers: so many of its videos match as do so by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seal.types import Float32

UNIT = 10.0
"""Standard deviations in a relevance of 1: cosines of these encoders spread by about a tenth, so
that R stays on their scale."""


NUMBERS = ("slope", "crowd", "bias", "named", "absent")
"""What is fitted to videos of which it is known what they show."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Statistics of one encoder; see the module's text for the formulas."""

    texts: Float32
    """b, [d]."""
    pictures: Float32
    """m, [d]."""
    covariance: Float32
    """C, [d, d]."""
    slope: float
    crowd: float
    bias: float
    named: float
    absent: float

    @staticmethod
    def load(path: Path) -> Calibration:
        """From an .npz of these fields by name."""
        with np.load(path, allow_pickle=False) as stored:
            texts, pictures, covariance = (
                stored[name].astype(np.float32) for name in ("texts", "pictures", "covariance")
            )
            numbers = [float(stored[name]) for name in NUMBERS]
        return Calibration(texts, pictures, covariance, *numbers)

    def line(self, query: Float32) -> tuple[Float32, float]:
        """w [d] and c, such that R(x, query) = w . x + c of every picture's embedding x."""
        own = query - self.texts
        spread = math.sqrt(float(own @ self.covariance @ own))
        direction: Float32 = own / np.float32(UNIT * spread)
        return direction, -float(direction @ self.pictures)

    def probability(
        self, relevance: Float32, count: int | None = None, known: float = 0.0
    ) -> float:
        """The probability that one of these tokens [n] shows what the query says; 0 without tokens.

        `count` is the number of tokens they were taken from, where they are the best of more, and
        `known` is k, 0 where no detector has looked.
        """
        if not len(relevance):
            return 0.0
        before = self._of_many(count or len(relevance), known)
        return 1 / (1 + math.exp(-self.slope * float(relevance.max()) - before))

    def threshold(self, probability: float, count: int, known: float = 0.0) -> float:
        """The relevance that the best of `count` tokens needs for this probability."""
        if not 0 < probability < 1:
            return math.inf if probability >= 1 else -math.inf
        odds = math.log(probability / (1 - probability))
        return (odds - self._of_many(count, known)) / self.slope

    def _of_many(self, count: int, known: float) -> float:
        """The log odds of `count` tokens whose best has no relevance."""
        return self.crowd * math.log(count) + self.bias - self.absent * known
