"""Temporal localisation: are the moments found those that are meant?

    R@k IoU=m   the share of queries of which one of the first k moments overlaps the truth enough
    mean IoU    how well the first moment overlaps the truth, mean over the queries

The rules are those of the official script of Ego4D-NLQ (`NLQ/VSLNet/utils/evaluate_ego4d_nlq.py` in
EGO4D/episodic-memory; Grauman et al., CVPR 2022), and differ from what one might expect:

- Enough is an IoU above m. Others, as most on Charades-STA, TACoS, ActivityNet Captions and
  QVHighlights, mean at least m: `inclusive`.
- The best moment is the first; scores do not matter, nor does it matter if moments overlap. - An
instant against the same instant is 0 / 0, not a number. It is no hit at any threshold. If it is
  the first moment of any query, then the mean IoU of all is not a number either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal.errors import OptionError
from seal.types import pairwise_span_iou


@dataclass(frozen=True)
class Rules:
    """What counts as found. Raises OptionError for ranks below 1, or an IoU outside [0, 1]."""

    top: tuple[int, ...] = (1, 3, 5)
    """k: of so many moments one has to be right."""
    iou: tuple[float, ...] = (0.01, 0.3, 0.5)
    """m: so well it has to overlap the truth."""
    inclusive: bool = False
    """Whether an IoU of exactly m is enough."""

    def __post_init__(self) -> None:
        if not self.top or min(self.top) < 1:
            raise OptionError(f"ranks must be at least 1, got {self.top}")
        if not self.iou or not all(0 <= least <= 1 for least in self.iou):
            raise OptionError(f"an IoU to reach must lie in [0, 1], got {self.iou}")

    @property
    def names(self) -> list[str]:
        """ "R@1 IoU=0.3" of every rank and IoU, in the order of `Score.hits` when flattened."""
        return [f"R@{top} IoU={least}" for top in self.top for least in self.iou]


class Score(NamedTuple):
    """How well one query was answered."""

    hits: NDArray[np.bool_]
    """[ranks, IoUs] whether one of so many moments overlaps the truth so well."""
    iou: float
    """That of the first moment; NaN as in the module's text."""


def score(predicted: ArrayLike, truth: ArrayLike, rules: Rules) -> Score:
    """How well the spans `predicted` [n, 2], best first, n >= 1, match one of `truth` [m, 2]."""
    overlap = np.fmax.reduce(pairwise_span_iou(predicted, truth), axis=1)
    reached = np.greater_equal if rules.inclusive else np.greater
    enough = reached.outer(overlap, rules.iou)
    return Score(np.stack([enough[:top].any(0) for top in rules.top]), float(overlap[0]))


def missed(rules: Rules) -> Score:
    """The score of a query without any answer."""
    return Score(np.zeros((len(rules.top), len(rules.iou)), bool), 0.0)


def recall(scores: Sequence[Score], rules: Rules) -> dict[str, float]:
    """The share of hits by name (`Rules.names`), NaN without any score."""
    hits = np.array([score.hits.ravel() for score in scores]).reshape(-1, len(rules.names))
    return dict(zip(rules.names, (_mean(column) for column in hits.T), strict=True))


def mean_iou(scores: Sequence[Score]) -> float:
    """NaN if one of them is, or without any."""
    return _mean(np.array([score.iou for score in scores]))


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
