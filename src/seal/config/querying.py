"""What is done with tokens, which stay as they are."""

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
    """How many tokens are selected (|T_s|), or what they may cost in all."""
    cost: Mapping[str, float] = field(default_factory=dict)
    """How much of the budget a token of a kind takes, set as cost_KIND, where that differs from
    `Kind.cost`. The unit is the answerer's, such as pictures."""
    objective: str = "seal"
    solver: str = "swaps"
    alpha: float = 0.9
    """The weight of relevance against diversity, in [0, 1]; the paper's value."""
    s_min: float = 0.5
    """Similarities are clipped to [s_min, 1] before 1/S, which explodes at 0 and turns negative
    below it. So 1/S lies in [1, 2]: tokens less alike than this are different enough, and none is
    chosen for being odd."""
    query_weight: float = 0.45
    """Coverage and seal: the share of the weight that goes to tokens that are relevant to the
    query. The rest goes to all tokens alike."""
    relevance_exponent: float = 4.0
    """Coverage and seal: the least exponent of relevance. The higher it is, the less weight a
    slightly relevant token has."""
    effective_size: float = 5.0
    """Coverage and seal: the weight for the query goes to at most so many tokens for each chosen
    token (effective sample size). The relevance exponent grows until that holds."""
    chosen_weight: float = 0.01
    """Coverage and seal: the weight of the relevance of the chosen tokens themselves, against that
    of everything they represent."""
    similarity_exponent: float = 2.0
    """Coverage and seal: the exponent of similarity. The higher it is, the less a token represents
    unlike tokens."""
    time_weight: float = 0.2
    """Coverage and seal: how much less a token represents a token of another time, in [0, 1]."""
    time_bandwidth_s: float = 50.0
    """Coverage and seal: the distance in time at which `time_weight` has faded to 1/e."""
    variance_exponent: float = 6.0
    """Seal: the exponent of the variance around a time. The higher it is, the less weight
    long stretches without change have."""
    variance_window_s: float = 1800.0
    """Seal: the variance is that of the tokens so long before and after a time."""
    candidates: int = 4096
    """Over all videos of a store, so many of the most relevant are chosen from. Coverage and seal
    choose from about so many in a video: the most relevant, and some that stand for the rest."""
    memory: int = 1024
    """Streaming: how many tokens of what has left the window are remembered, as a sample of it."""
    exchanges: int = 64
    """How often the solver `swaps` looks for a better token after its greedy start; choices of 128
    need about 30."""
    certify_s: float = 0.0
    """How long the bound may be tightened beyond what costs little."""

    def __post_init__(self) -> None:
        check(self, self.budget >= 1, "budget must be at least 1")
        for name, cost in self.cost.items():
            if not cost > 0:
                raise OptionError(f"cost_{name} must be above 0; got {cost}")
        changed = {name: cost for name, cost in self.cost.items() if cost != kinds.get(name).cost}
        object.__setattr__(self, "cost", changed)
        check(self, 0 <= self.alpha <= 1, "alpha must lie in [0, 1]")
        check(self, 0 < self.s_min <= 1, "s_min must lie in (0, 1]")
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
            "chosen_weight",
            "similarity_exponent",
            "time_weight",
            "time_bandwidth_s",
        ),
        _PLACES,
    ),
    **dict.fromkeys(("variance_exponent", "variance_window_s"), ("seal",)),
}
"""Options in the formulas of some objectives only."""


@dataclass(frozen=True)
class FindOptions:
    """From the relevance of tokens over time to moments, without training."""

    top: int = 5
    """How many moments are returned at most."""
    smoothing_s: float = 2.0
    """Standard deviation of the Gaussian that spreads a token's relevance over time."""
    min_probability: float = 0.5
    """A video matches a query from this probability on."""
    head: str | None = None
    """A trained localisation head that finds the moments: a folder, or a name on the hub."""

    def __post_init__(self) -> None:
        check(self, self.top >= 1, "top must be at least 1")
        check(self, self.smoothing_s > 0, "smoothing_s must be above 0")
        check(self, 0 <= self.min_probability <= 1, "min_probability must lie in [0, 1]")


@dataclass(frozen=True)
class WatchOptions:
    """Streaming mode: how a source is watched, whatever its tokens are made with."""

    window_s: float = 60.0
    """Tokens are made and chosen from so much at a time; memory is proportional to it. A window's
    end ends its tracklets."""
    budget: int = 64
    """How many tokens are kept for each query."""
    give_up_s: float = 300.0
    """A source that is lost is tried again for so long."""

    def __post_init__(self) -> None:
        check(self, 1 <= self.window_s < math.inf, "window_s must be at least 1")
        check(self, self.budget >= 1, "budget must be at least 1")
        check(self, self.give_up_s >= 0, "give_up_s must be at least 0")
