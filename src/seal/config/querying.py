"""Options of queries and of streaming. None of them changes the stored tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from seal import kinds
from seal.errors import OptionError
from seal.settings import check


@dataclass(frozen=True)
class AttentionOptions:
    """Which tokens a query gets (section 3.2)."""

    budget: int = 16
    """The number of selected tokens (|T_s|), or the sum of their costs at most."""
    cost: Mapping[str, float] = field(default_factory=dict)
    """Kind -> the share of the budget that a token of this kind takes, where the share differs from
    `Kind.cost`. The option cost_KIND sets it. The unit is the answerer's, such as pictures."""
    objective: str = "seal"
    solver: str = "swaps"
    alpha: float = 0.9
    """The weight of relevance against diversity, in [0, 1]; the paper's value."""
    s_min: float = 0.5
    """Similarities S are clipped to [s_min, 1], because 1/S has a pole at 0. With the default, 1/S
    lies in [1, 2], and an odd token has no advantage over a token that is merely different:
    docs/paper.md has the cosines of real tokens."""
    answer_weight: float | None = None
    """Seal: the weight, in [0, 1], of tokens that answer the query without repeating each other,
    against the coverage of the whole video. By default it follows from the question."""
    redundancy: float = 4.0
    """Seal: how much the mean S^4 of the pairs of chosen tokens takes off."""
    word_redundancy: float = 0.02
    """Seal: the share, in [0, 1], of this that counts for pairs of tokens found by their words."""
    neighbour_weight: float = 0.1
    """Seal: the share, in [0, 0.5], that each neighbour in time has of a token's relevance."""
    query_weight: float = 0.45
    """Coverage and seal: the share of the weight that goes to tokens that are relevant to the
    query. The rest goes to all tokens alike."""
    relevance_exponent: float = 4.0
    """Coverage and seal: the least exponent of relevance. The higher it is, the less weight a
    slightly relevant token has."""
    effective_size: float = 5.0
    """Coverage and seal: the largest effective sample size of the query's weight for each chosen
    token. The relevance exponent grows until this bound holds."""
    chosen_weight: float = 0.01
    """Coverage: the weight of the relevance of the chosen tokens, against the weight of everything
    that the chosen tokens represent."""
    similarity_exponent: float = 2.0
    """Coverage and seal: the exponent of similarity. The higher it is, the less a token represents
    unlike tokens."""
    time_weight: float = 0.2
    """Coverage and seal: in [0, 1]; a token represents a token of a distant time by this much less.
    """
    time_bandwidth_s: float = 50.0
    """Coverage and seal: the distance in time at which `time_weight` has faded to 1/e."""
    variance_exponent: float = 6.0
    """Seal: the exponent of the variance around a time. The higher it is, the less weight
    long stretches without change have."""
    variance_window_s: float = 1800.0
    """Seal: the variance at a time is computed over the tokens up to this long before and after."""
    candidates: int = 4096
    """The number of tokens that a selection is made from. Over all videos of a store they are the
    most relevant tokens. In one video, coverage and seal take the most relevant tokens and a sample
    of the others."""
    memory: int = 1024
    """Streaming: the size of the sample of the tokens that have left the window."""
    exchanges: int = 64
    """The number of exchanges that the solver `swaps` tries after its greedy start. A choice of 128
    tokens needs about 30."""
    certify_s: float = 0.0
    """The time in which the upper bound is tightened further."""

    def __post_init__(self) -> None:
        check(self, self.budget >= 1, "budget must be at least 1")
        for name, cost in self.cost.items():
            if not 0 < cost < math.inf:
                raise OptionError(f"cost_{name} must be above 0 and finite; got {cost}")
        changed = {name: cost for name, cost in self.cost.items() if cost != kinds.get(name).cost}
        object.__setattr__(self, "cost", changed)
        check(self, 0 <= self.alpha <= 1, "alpha must lie in [0, 1]")
        check(self, 0 < self.s_min <= 1, "s_min must lie in (0, 1]")
        weight = self.answer_weight
        check(self, weight is None or 0 <= weight <= 1, "answer_weight must lie in [0, 1]")
        check(self, self.redundancy >= 0, "redundancy must be at least 0")
        check(self, 0 <= self.word_redundancy <= 1, "word_redundancy must lie in [0, 1]")
        check(self, 0 <= self.neighbour_weight <= 0.5, "neighbour_weight must lie in [0, 0.5]")
        check(self, 0 <= self.query_weight <= 1, "query_weight must lie in [0, 1]")
        check(self, self.relevance_exponent > 0, "relevance_exponent must be above 0")
        check(self, self.effective_size > 0, "effective_size must be above 0")
        check(self, 0 <= self.chosen_weight <= 1, "chosen_weight must lie in [0, 1]")
        check(self, self.similarity_exponent > 0, "similarity_exponent must be above 0")
        check(self, 0 <= self.time_weight <= 1, "time_weight must lie in [0, 1]")
        check(self, self.time_bandwidth_s > 0, "time_bandwidth_s must be above 0")
        check(self, self.variance_exponent >= 0, "variance_exponent must be at least 0")
        check(self, self.variance_window_s > 0, "variance_window_s must be above 0")
        check(self, self.candidates >= 1, "candidates must be at least 1")
        check(self, self.memory >= 1, "memory must be at least 1")
        check(self, self.exchanges >= 0, "exchanges must be at least 0")
        check(self, self.certify_s >= 0, "certify_s must be at least 0")


_PAIRS, _PLACES = ("paper", "normalised"), ("coverage", "seal")
OBJECTIVES_WITH = {
    **dict.fromkeys(("alpha", "s_min"), _PAIRS),
    **dict.fromkeys(
        (
            "query_weight",
            "relevance_exponent",
            "effective_size",
            "similarity_exponent",
            "time_weight",
            "time_bandwidth_s",
        ),
        _PLACES,
    ),
    "chosen_weight": ("coverage",),
    **dict.fromkeys(
        (
            "answer_weight",
            "redundancy",
            "word_redundancy",
            "neighbour_weight",
            "variance_exponent",
            "variance_window_s",
        ),
        ("seal",),
    ),
}
"""Options in the formulas of some objectives only."""


@dataclass(frozen=True)
class FindOptions:
    """From the relevance of tokens over time to moments, without training."""

    top: int = 5
    """How many moments are returned at most."""
    smoothing_s: float = 2.0
    """Standard deviation of the Gaussian that spreads a token's relevance over time."""
    min_probability: float = 0.4
    """A video is likely to match a query if the probability of a match is at least this."""
    unsure_probability: float = 0.02
    """Below this probability it is unlikely to match. In between nobody can tell."""
    head: str | None = None
    """A trained localisation head that finds the moments: a folder, or a name on the hub."""
    head_budget: int | None = None
    """The number of positions that the head looks at; by default as many as it was trained with."""
    device: str = "auto"
    """Where the head runs: "auto" is a CUDA device where there is one."""

    def __post_init__(self) -> None:
        check(self, self.top >= 1, "top must be at least 1")
        check(self, self.smoothing_s > 0, "smoothing_s must be above 0")
        enough = self.head_budget is None or self.head_budget >= 1
        check(self, enough, "head_budget must be at least 1")
        check(self, 0 <= self.min_probability <= 1, "min_probability must lie in [0, 1]")
        check(self, 0 <= self.unsure_probability <= 1, "unsure_probability must lie in [0, 1]")


def read_by_heads(key: str) -> bool:
    """Whether a trained head alone reads the option."""
    return key.startswith("head.") or key in ("find.head_budget", "find.device")


@dataclass(frozen=True)
class WatchOptions:
    """Streaming: how a source is watched. These options do not depend on the models."""

    window_s: float = 60.0
    """The length of a window. Memory is proportional to this length, and the end of a window ends
    all of its tracklets."""
    budget: int = 64
    """The number of tokens that are kept for each query."""
    give_up_s: float = 300.0
    """Give up on a lost source after this many seconds."""
    answer_every_s: float = 60.0
    """With an answerer: a question is asked anew after this many seconds of the source at the
    earliest, if the tokens that are chosen for it have changed."""

    def __post_init__(self) -> None:
        check(self, 1 <= self.window_s < math.inf, "window_s must be at least 1")
        check(self, self.budget >= 1, "budget must be at least 1")
        check(self, self.give_up_s >= 0, "give_up_s must be at least 0")
        check(self, self.answer_every_s >= 0, "answer_every_s must be at least 0")
