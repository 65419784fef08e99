"""What makes the relevance of one query, in one video, comparable with that of others.

A cosine of picture and text says little alone. Some texts are near to all pictures, some pictures
near to all texts, and of many tokens the best is high by chance. With b the mean embedding of texts
in general, m and C the mean and covariance of the embeddings of pictures in general,

    R(x, q) = (q - b) . (x - m) / (10 sqrt((q - b)' C (q - b)))

takes off what a picture x has in common with any text (x . b). It counts in standard deviations:
a tenth of how far x lies above pictures in general on the query's axis. All of it is linear in x,
so that it costs nothing for each token. Whether a video of n tokens shows what the query says is
then a logistic regression,

    log odds = slope * M + prior
    M = ln(mean of exp(SHARPNESS * R)) / SHARPNESS
    prior = bias + peak * top - absent * k

M is a soft maximum: the best token counts most, and others that are nearly as good add to it. So a
short scene makes a long video likelier to match even if another scene looks a little more like the
query. It is a mean because the best of many tokens is high by chance. With the sum in its place and
ln n as a feature, the fit gives that feature the weight of a mean.

Some things have an unmistakable look and others do not: `top` is the R that the best few of
`general`, a sample of pictures in general, reach. Where a detector has given things names, a thing
counts by its name as well: with a its `seal.encode.names.evidence`,

    R + named * a

takes the place of R. What the detector knows and has not named is hardly there: k is how far the
query asks for a name that the detector knows, 0 where no detector has looked.

`training/mini/verdict.py` fits these numbers: so many of its videos match as do so by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seal.types import Float32

UNIT = 10.0
"""A relevance of 1 is this many standard deviations. Cosines of these encoders spread by about a
tenth, so that relevance keeps their scale."""
SHARPNESS = 40.0
"""A token that is a tenth (one standard deviation) less relevant adds e^4 times less to M."""
_TOP = 500
"""`top` is the mean over one of so many pictures in general."""
ARRAYS = ("texts", "pictures", "covariance", "general")
"""What is measured on texts and pictures in general."""
NUMBERS = ("slope", "bias", "peak", "named", "absent")
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
    general: Float32
    """[m, d] embeddings of pictures in general."""
    slope: float
    bias: float
    peak: float
    named: float
    absent: float

    @staticmethod
    def load(path: Path) -> Calibration:
        """From an .npz of these fields by name."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = [stored[name].astype(np.float32) for name in ARRAYS]
            numbers = [float(stored[name]) for name in NUMBERS]
        return Calibration(*arrays, *numbers)

    def line(self, query: Float32) -> tuple[Float32, float]:
        """w [d] and c, such that R(x, query) = w . x + c of every picture's embedding x."""
        own = query - self.texts
        spread = math.sqrt(float(own @ self.covariance @ own))
        direction: Float32 = own / np.float32(UNIT * spread)
        return direction, -float(direction @ self.pictures)

    def top(self, query: Float32) -> float:
        """How near pictures in general come to a query [d] at most."""
        direction, offset = self.line(query)
        near = self.general @ direction
        few = max(1, len(near) // _TOP)
        return float(np.partition(near, -few)[-few:].mean()) + offset

    def prior(self, query: Float32, known: float = 0.0) -> float:
        """The log odds of a query [d] before its tokens are looked at; `known` is k."""
        return self.bias + self.peak * self.top(query) - self.absent * known

    def probability(self, relevance: Float32, prior: float, count: int | None = None) -> float:
        """The probability that one of these tokens [n] shows what a query of this `prior` says;
        0 without tokens.

        `count` is the number of tokens they were taken from, where they are the best of more.
        """
        if not len(relevance):
            return 0.0
        odds = self.slope * soft_maximum(relevance, count or len(relevance)) + prior
        return 1 / (1 + math.exp(-odds))

    def threshold(self, probability: float, prior: float, count: int) -> float:
        """The relevance with which one of `count` tokens reaches this probability by itself."""
        if not 0 < probability < 1:
            return math.inf if probability >= 1 else -math.inf
        odds = math.log(probability / (1 - probability))
        return (odds - prior) / self.slope + math.log(max(count, 1)) / SHARPNESS


def soft_maximum(relevance: Float32, count: int) -> float:
    """M of `count` tokens, of which these [n], one at least, are the best."""
    best = float(relevance.max())
    total = float(np.exp(SHARPNESS * (relevance - best)).sum())
    return best + math.log(total / count) / SHARPNESS
