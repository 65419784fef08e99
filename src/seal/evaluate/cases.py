"""Questions whose answers are known, and every way to choose tokens asked all of them.

A benchmark of selection gives a `Case` for each question; a `Comparison` has each method choose
from the same candidates and scores the choices. The cases are values of their own, so that
whatever is fitted can go through them as often as it needs to.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seal.attention import Candidates
from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.methods import Method
from seal.types import Int64, Mask


@dataclass(frozen=True, eq=False)
class Case(ABC):
    """A question about a video: what there is to choose from, and how good a choice is."""

    question: str
    unit: str
    """What intervals are over: cases of one unit are drawn together."""
    group: str
    """The video that the question is about: cases of one group are fitted on, or tested on."""
    candidates: Candidates
    sizes: Mapping[str, int]
    """How many tokens to choose, by the name of the budget; of one budget alone it may be ""."""

    @abstractmethod
    def scores(self, rows: Int64) -> dict[str, float]:
        """Each metric of a choice: different rows of the candidates."""


@dataclass(frozen=True, eq=False)
class SpanCase(Case):
    """A question that certain spans of the video answer."""

    spans: Mask
    """[s, n] which of the n candidates lie in each of the s >= 1 true spans; each holds one."""

    def scores(self, rows: Int64) -> dict[str, float]:
        """Precision: the share of the chosen tokens that lie in a true span; 0 of no choice.
        Recall: the share of the tokens of all true spans that are chosen.
        Hit: the share of the true spans of which at least one token is chosen.
        """
        chosen = self.spans[:, rows]
        right = int(chosen.any(0).sum())
        return {
            "precision": right / max(len(rows), 1),
            "recall": right / int(self.spans.any(0).sum()),
            "hit": float(chosen.any(1).mean()),
        }


Fit = Callable[[Sequence[Case]], Mapping[str, Method]]
"""From cases to learn from to methods that have learnt from them, by their names."""


def leave_one_out(
    cases: Iterable[Case], fit: Fit
) -> Iterator[tuple[Mapping[str, Method], list[Case]]]:
    """For every group, what is fitted on the cases of all other groups, and the group's cases.

    Raises DataError if there is one group alone.
    """
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    if len(groups) == 1:
        raise DataError(f"nothing is left to learn from without {', '.join(groups)}")
    for left_out, own in groups.items():
        yield fit([case for name, some in groups.items() if name != left_out for case in some]), own


class Comparison:
    """The scores of several methods for the same questions, question by question."""

    def __init__(self) -> None:
        self._units: list[str] = []
        self._scores: dict[str, dict[str, list[float]]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, unit: str, scores: Mapping[str, Mapping[str, float]]) -> None:
        """One question: what each method scores by each metric. Intervals are over units."""
        self._units.append(unit)
        for name, found in scores.items():
            mine = self._scores.setdefault(name, {})
            for metric, score in found.items():
                mine.setdefault(metric, []).append(score)

    def ask(self, methods: Mapping[str, Method], *cases: Case) -> dict[str, dict[str, float]]:
        """Have every method choose at every budget of one or more cases of one unit.

        What is added, and returned, is their mean; metrics are METRIC@BUDGET, or METRIC alone where
        the budget has no name.
        """
        found: dict[str, dict[str, float]] = {}
        for name, method in methods.items():
            scores: dict[str, list[float]] = {}
            for case in cases:
                for budget, size in case.sizes.items():
                    began = time.perf_counter()
                    rows = method(case.candidates, size)
                    spent = time.perf_counter() - began
                    self._seconds[name] = self._seconds.get(name, 0.0) + spent
                    for metric, score in case.scores(rows).items():
                        scores.setdefault(f"{metric}{budget and '@'}{budget}", []).append(score)
            found[name] = {metric: float(np.mean(each)) for metric, each in scores.items()}
        self.add(cases[0].unit, found)
        return found

    def scores(self, name: str, metric: str) -> list[float]:
        """What a method scores by a metric, in the order in which the questions were added."""
        return self._scores[name][metric]

    def figures(self, default: str) -> dict[str, Any]:
        """`methods`: by method and metric the mean over all questions with its interval, and the
        seconds that all choices took. `ahead`: by how much the method `default` is ahead of every
        other one, question by question; empty where it is not compared.

        Returns plain values: see `seal eval qmsum --json`.
        """
        mine = self._scores.get(default)
        return {
            "methods": {
                name: {metric: self._estimate(scores) for metric, scores in found.items()}
                | ({"seconds": self._seconds[name]} if name in self._seconds else {})
                for name, found in self._scores.items()
            },
            "ahead": {
                name: {
                    metric: self._estimate(np.subtract(mine[metric], scores))
                    for metric, scores in found.items()
                }
                for name, found in self._scores.items()
                if mine is not None and name != default
            },
        }

    def _estimate(self, scores: Any) -> dict[str, float]:
        return bootstrap(scores, self._units)._asdict()
