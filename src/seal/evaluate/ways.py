"""The ways to choose evidence that benchmarks of questions compare.

`seal` is what `seal ask` does. The others choose frames (scene tokens), as their papers do: so many
that they cost as much. An ablation asks the same questions once for each `Variant` of `seal`: with
some kinds of token alone, or with another weight of relevance.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import Any, Protocol

import numpy as np

from seal import backends, kinds
from seal.answer.evidence import Evidence, gather, searched_by
from seal.attention import Budget, Candidates
from seal.attention.candidates import costs
from seal.attention.streaming import stream_pick, windows_of
from seal.config import NoAnswer
from seal.config.querying import OBJECTIVES_WITH
from seal.errors import OptionError
from seal.scope import Scope
from seal.types import Int64, Mask


class Choose(Protocol):
    """How evidence is chosen: `seal.answer.evidence.gather` and all that is compared with it."""

    def __call__(
        self,
        scope: Scope,
        question: str,
        budget: float,
        *,
        shown: Int64 | None = None,
        new: float = np.inf,
        exclude: Mask | None = None,
    ) -> Evidence: ...


SEAL, UNIFORM = "seal", "uniform"
ALIASES = {"topk": "top-k", "bolt": "inverse-transform"}
"""Other names of baselines, by which their papers are known."""

_MOST = 101
"""So many values of alpha are compared at most: 0 to 1 in steps of 0.01."""


def ways(wanted: Iterable[str]) -> dict[str, Choose]:
    """The ways of these names, in their order: `seal`, or a baseline of `seal.backends`.

    Raises OptionError, listing the valid names, for an unknown one.
    """
    valid = [SEAL, *backends.names("baseline"), *ALIASES]
    found: dict[str, Choose] = {}
    for name in wanted:
        if name not in valid:
            raise OptionError(f"unknown method {name!r}; valid: {', '.join(valid)}")
        if name == SEAL:
            found[name] = gather
        elif name == UNIFORM:
            found[name] = Uniform()
        else:
            found[name] = Frames(backends.resolve("baseline", ALIASES.get(name, name)))
    return found


class Way(ABC):
    """A way that chooses anew from what is neither in the prompt already nor excluded."""

    def __call__(
        self,
        scope: Scope,
        question: str,
        budget: float,
        *,
        shown: Int64 | None = None,
        new: float = np.inf,
        exclude: Mask | None = None,
    ) -> Evidence:
        """Costs and options are those of `gather`."""
        free = np.ones(len(scope.tokens), bool)
        for taken in (shown, exclude):
            if taken is not None:
                free[taken] = False
        scores = scope.relevance(self.searched_by(question, scope.options.answer))
        candidates = scope.candidates(scores, question)
        rows = self.rows(scope, candidates, np.flatnonzero(free), min(budget, new))
        return Evidence(rows[np.argsort(scope.start_s[rows], kind="stable")], scores, [])

    def searched_by(self, question: str, options: NoAnswer) -> str:
        """The text that relevance is to."""
        return searched_by(question, options)

    @abstractmethod
    def rows(self, scope: Scope, candidates: Candidates, free: Int64, amount: float) -> Int64:
        """The rows chosen, of `free`, for no more than `amount`; all tokens are candidates."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What it does, for a manifest: its selector, and the selector's own options."""


def _frames(scope: Scope, free: Int64, amount: float) -> tuple[Int64, int]:
    """The frames (scene tokens) among rows, and how many of them cost no more than `amount`."""
    frames = free[scope.tokens.where(lambda kind: kind.uniform)[free]]
    price = costs(scope.tokens, scope.options.attention)[frames].max(initial=1)
    return frames, max(0, int(amount / price))


@dataclass(frozen=True)
class Uniform(Way):
    """Scenes an equal time apart, whatever is asked."""

    def rows(self, scope: Scope, candidates: Candidates, free: Int64, amount: float) -> Int64:
        scenes, count = _frames(scope, free, amount)
        order = scenes[np.argsort(scope.start_s[scenes], kind="stable")]
        count = min(count, len(order))
        rows: Int64 = order[((np.arange(count) + 0.5) / max(count, 1) * len(order)).astype(int)]
        return rows

    def describe(self) -> dict[str, Any]:
        return {"selector": "uniform", "of": "frames"}


@dataclass(frozen=True)
class Frames(Way):
    """Frames that a baseline chooses for the whole question."""

    baseline: Callable[[Candidates, int], Int64]

    def searched_by(self, question: str, options: NoAnswer) -> str:
        return question

    def rows(self, scope: Scope, candidates: Candidates, free: Int64, amount: float) -> Int64:
        frames, count = _frames(scope, free, amount)
        return frames[self.baseline(candidates.take(frames), count)]

    def describe(self) -> dict[str, Any]:
        parameters = inspect.signature(self.baseline).parameters.values()
        defaults = {
            each.name: each.default for each in parameters if each.default is not each.empty
        }
        return {"selector": self.baseline.__name__, "of": "frames", **defaults}


@dataclass(frozen=True)
class Streamed(Way):
    """The tokens that attention chooses window by window, as `seal watch` does: in fixed memory.

    A stream cannot look back for what a question says of time and cause, so that these words are
    read as any others.
    """

    window_s: float

    def rows(self, scope: Scope, candidates: Candidates, free: Int64, amount: float) -> Int64:
        attention = scope.options.attention
        rows = stream_pick(
            candidates.take(free),
            attention,
            windows_of(scope.start_s[free], self.window_s),
            Budget(amount, costs(scope.tokens, attention)[free]),
        )
        return free[rows]

    def describe(self) -> dict[str, Any]:
        how = {"mode": "streaming", "window_s": self.window_s}
        return {"selector": "attention", "of": "all kinds", **how}


@dataclass(frozen=True)
class Variant:
    """`seal` with some kinds of token alone, or with another weight of relevance."""

    kinds: tuple[str, ...] = ()
    """None stands for all."""
    alpha: float | None = None
    _varied: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name under which figures are listed."""
        return variant_name(SEAL, self.kinds, self.alpha)

    def __call__(
        self,
        scope: Scope,
        question: str,
        budget: float,
        *,
        exclude: Mask | None = None,
        **more: Any,
    ) -> Evidence:
        """As `gather`. Raises OptionError if the objective of the scope does not read alpha."""
        if self.kinds:
            others = ~np.isin(scope.tokens.kinds, self.kinds)
            exclude = others if exclude is None else exclude | others
        return gather(self._scope(scope), question, budget, exclude=exclude, **more)

    def describe(self) -> dict[str, Any]:
        """What differs from the default, for the JSON."""
        changed = {} if self.alpha is None else {"attention.alpha": self.alpha}
        return {"selector": "attention", "of": ",".join(self.kinds) or "all kinds", **changed}

    def _scope(self, scope: Scope) -> Scope:
        """The scope with this variant's options; one for all questions about a video."""
        if self.alpha is None:
            return scope
        attention = scope.options.attention
        if attention.objective not in OBJECTIVES_WITH["alpha"]:
            valid = ", ".join(OBJECTIVES_WITH["alpha"])
            raise OptionError(
                f"--alpha has no effect on the objective {attention.objective}: set"
                f" attention.objective to one of {valid}"
            )
        if self._varied.get("of") is not scope:
            varied = copy.copy(scope)
            varied.options = replace(scope.options, attention=replace(attention, alpha=self.alpha))
            self._varied.update(of=scope, varied=varied)
        found: Scope = self._varied["varied"]
        return found


def variant_name(of: str, kinds: tuple[str, ...], alpha: float | None) -> str:
    """What a method is called with these kinds alone (none stands for all) and this alpha."""
    changed = [f"kinds={','.join(kinds)}"] if kinds else []
    changed += [] if alpha is None else [f"alpha={alpha:g}"]
    return " ".join([of, *changed])


def variants(kind_sets: str | None, alphas: str | None) -> dict[str, Choose]:
    """Each set of kinds with each alpha, by name: see `read_kinds` and `read_alphas`.

    Nothing where neither is given.
    """
    if kind_sets is None and alphas is None:
        return {}
    found = [Variant(*changed) for changed in ablations(kind_sets, alphas)]
    return {variant.name: variant for variant in found}


def ablations(
    kind_sets: str | None, alphas: str | None
) -> list[tuple[tuple[str, ...], float | None]]:
    """Each set of kinds with each alpha, as in `Variant`: see `read_kinds` and `read_alphas`."""
    sets = [()] if kind_sets is None else read_kinds(kind_sets)
    values = [None] if alphas is None else read_alphas(alphas)
    return list(product(sets, values))


def read_kinds(text: str) -> list[tuple[str, ...]]:
    """The sets of kinds in "scene|scene,object|all"; the empty one stands for all.

    Raises OptionError, listing the valid names, for an unknown kind.
    """
    sets = []
    for part in text.split("|"):
        names = tuple(name.strip() for name in part.split(","))
        sets.append(() if names == ("all",) else tuple(kinds.get(name).name for name in names))
    return list(dict.fromkeys(sets))


def read_alphas(text: str) -> list[float]:
    """The values in "0:1:0.1", first, last and step, or in "0,0.5,0.9". Raises OptionError."""
    wrong = f"expected FIRST:LAST:STEP or values between 0 and 1, such as 0:1:0.1, got {text!r}"
    try:
        numbers = [Decimal(part) for part in text.replace(":", ",").split(",")]
    except InvalidOperation:
        raise OptionError(wrong) from None
    if not all(number.is_finite() for number in numbers):
        raise OptionError(wrong)
    if ":" in text:
        # Decimal: 0.1 three times is 0.3 then, and the last value is met.
        if len(numbers) != 3 or "," in text or numbers[2] <= 0 or numbers[1] < numbers[0]:
            raise OptionError(wrong)
        first, last, step = numbers
        count = min(int((last - first) / step) + 1, _MOST + 1)
        numbers = [first + i * step for i in range(count)]
    if len(numbers) > _MOST or not all(0 <= number <= 1 for number in numbers):
        raise OptionError(wrong)
    return [float(number) for number in dict.fromkeys(numbers)]


def describe(ways: Mapping[str, Choose]) -> dict[str, dict[str, Any]]:
    """What each way does, for a manifest: its selector, and the selector's own options."""
    return {
        name: way.describe()
        if isinstance(way, Way | Variant)
        else {"selector": "attention", "of": "all kinds"}
        for name, way in ways.items()
    }
