"""What a choice is made from, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from seal.config import AttentionOptions
from seal.errors import OptionError
from seal.types import Float32, Float64, Int64, Mask, Tokens, check_finite

_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Tokens as a selector sees them: what they are worth alone, how they differ, when they are."""

    relevance: Float32
    """[n] R to the query."""
    embeddings: Float32
    """[n, d] L2-normalised; S of two tokens is their dot product."""
    times_s: Float64
    """[n] the middle of each token, in seconds; in any order."""
    multiplicity: Float64 | None = None
    """[n] how many tokens each stands for, where they are a sample of more; otherwise 1."""
    query: str = ""
    """What is asked, in words, where the relevance is that to a text."""
    in_context: Float32 | None = None
    """[n] R with that of the tokens around, for an objective that looks at these."""
    by_words: Mask | None = None
    """[n] whether the R of each token counts its words (`seal.attention.words`); otherwise none."""
    past: Candidates | None = None
    """Tokens that can no longer be chosen, or a sample of them, but that a choice has to represent:
    what streaming has left behind."""
    is_checked: bool = False
    """The embeddings are known to be finite, so that nobody looks through all of them again."""

    def __post_init__(self) -> None:
        """Raises OptionError for NaN and infinity, among which no order holds."""
        check_finite("relevance", self.relevance)
        if not self.is_checked:
            check_finite("embeddings", self.embeddings)
        check_finite("times", self.times_s)
        check_finite("multiplicities", self.multiplicities)

    def __len__(self) -> int:
        return len(self.relevance)

    @property
    def multiplicities(self) -> Float64:
        """[n] how many tokens each stands for."""
        return np.ones(len(self)) if self.multiplicity is None else self.multiplicity

    def everything(self) -> tuple[Float64, Float64]:
        """R of the candidates and of the past [m], and how many tokens each of these stands for."""
        parts = [self] if self.past is None else [self, self.past]
        relevance = np.concatenate([part.relevance for part in parts]).astype(np.float64)
        return relevance, np.concatenate([part.multiplicities for part in parts])

    @staticmethod
    def of(tokens: Tokens, relevance: Float32, query: str = "") -> Candidates:
        """All of `tokens`."""
        return Candidates(
            relevance,
            tokens.finite_embeddings,
            tokens.middle_s,
            query=query,
            by_words=has_words(tokens),
            is_checked=True,
        )

    def take(self, rows: Int64) -> Candidates:
        """The candidates of these rows alone; the past is left out."""
        multiplicity = None if self.multiplicity is None else self.multiplicity[rows]
        in_context = None if self.in_context is None else self.in_context[rows]
        by_words = None if self.by_words is None else self.by_words[rows]
        return Candidates(
            self.relevance[rows],
            self.embeddings[rows],
            self.times_s[rows],
            multiplicity,
            self.query,
            in_context,
            by_words,
            is_checked=True,
        )

    def ranked(self, rows: Int64 | None = None) -> Int64:
        """`rows`, or all, in the order in which equals are chosen: the more relevant first, of
        these the earlier, of these the lower row."""
        rows = np.arange(len(self)) if rows is None else np.sort(rows)
        order = np.lexsort((self.times_s[rows], -self.relevance[rows]))
        return rows[order]

    def first(self, rows: Int64) -> int:
        """The first of `rows`, at least one, in the order of `ranked`."""
        rows = rows[self.relevance[rows] == self.relevance[rows].max()]
        rows = rows[self.times_s[rows] == self.times_s[rows].min()]
        return int(rows.min())

    def sample(self, size: int, keep: Int64) -> tuple[Int64, Candidates]:
        """`size` rows to choose from instead of all, and their candidates.

        The kept tokens are `keep`, fewer than half of `size`. They are as many of the most relevant
        as a quarter of `size`, and of the others some in even steps through time, which stand for
        all of them.
        """
        first = np.zeros(len(self), bool)
        first[keep] = True
        first[np.argpartition(-self.relevance, size // 4)[: size // 4]] = True
        others = np.argsort(self.times_s, kind="stable")
        others = others[~first[others]]
        count = size - int(first.sum())
        spread = others[((np.arange(count) + 0.5) * (len(others) / count)).astype(np.int64)]
        rows = np.concatenate([np.flatnonzero(first), spread])
        multiplicity = self.multiplicities[rows]
        multiplicity[-count:] *= self.multiplicities[others].sum() / multiplicity[-count:].sum()
        return rows, replace(self.take(rows), multiplicity=multiplicity, past=self.past)


def has_words(tokens: Tokens) -> Mask:
    """[n] whether each token is said or written: its relevance counts its words."""
    is_text: Mask = (tokens.text != "") & tokens.where(lambda kind: kind.modality == "text")
    return is_text


@dataclass(frozen=True, eq=False)
class Budget:
    """What a choice may cost in all, what it has to hold and what it must not."""

    amount: float
    costs: Float64
    """[n] above 0: what each token takes of it, in the answerer's units."""
    include: Int64 = field(default_factory=lambda: _NO_ROWS)
    """Rows that every choice holds; they cost as the others do."""
    exclude: Int64 = field(default_factory=lambda: _NO_ROWS)
    """Rows that no choice holds."""
    part_of: Budget | None = None
    """The budget of the whole problem, where this is the budget of a part of it, such as a node of
    a search. The whole problem decides whether all choices are of one size."""

    def __post_init__(self) -> None:
        """Raises OptionError for an amount or a cost that is not a number, or a cost of 0."""
        check_finite("costs", self.costs)
        if np.isnan(self.amount) or not (self.costs > 0).all():
            raise OptionError(
                f"a budget needs a number and costs above 0, got {self.amount} and"
                f" {self.costs.min(initial=np.inf):g}"
            )

    @staticmethod
    def of(size: int, n: int) -> Budget:
        """Any `size` of n tokens."""
        return Budget(size, np.ones(n))

    @staticmethod
    def of_tokens(
        tokens: Tokens,
        options: AttentionOptions,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Budget:
        """`options.budget` for `tokens` of one video, of which some, by their ids, have to be
        chosen and others must not be.

        Raises OptionError for an id that no token has, and for one that is asked for and forbidden.
        """
        rows, never = _rows(tokens, include), _rows(tokens, exclude)
        both = tokens.ids[np.intersect1d(rows, never)].tolist()
        if both:
            raise OptionError(f"{', '.join(both)} cannot be included and excluded")
        return Budget(options.budget, costs(tokens, options), rows, never)

    def take(self, rows: Int64) -> Budget:
        """The budget for a choice among these rows; every row that it includes must be among
        them."""
        include, exclude = (np.flatnonzero(np.isin(rows, r)) for r in (self.include, self.exclude))
        return Budget(self.amount, self.costs[rows], include, exclude, self)

    def branch(self, include: Int64, exclude: Int64) -> Budget:
        """The budget for those of the choices that hold `include` and do not hold `exclude`."""
        return Budget(self.amount, self.costs, include, exclude, self)

    @cached_property
    def free(self) -> Int64:
        """Rows that a solver may add."""
        mask = np.ones(len(self.costs), bool)
        mask[self.include] = mask[self.exclude] = False
        return np.flatnonzero(mask)

    @cached_property
    def size(self) -> int:
        """The largest number of tokens that a choice can have."""
        spent = np.cumsum(np.sort(self.costs[self.free]))
        return len(self.include) + int((spent <= self.left(self.include)).sum())

    @cached_property
    def usual_size(self) -> int:
        """The number of tokens of average cost that the budget buys, `size` at most. Objectives
        use it as k; where all tokens cost the same it is `size`."""
        average = float(np.delete(self.costs, self.exclude).mean()) if self.size else 1.0
        bought = min(float(self.size), self.amount / average)
        return max(round(bought), len(self.include))

    @cached_property
    def uniform(self) -> bool:
        """Whether all that can be chosen cost the same: then every choice has `size` tokens, as in
        the paper. Otherwise a choice has any number of tokens that fit, or none."""
        if self.part_of is not None:
            return self.part_of.uniform
        costs = np.delete(self.costs, self.exclude)
        return len(costs) == 0 or bool((costs == costs[0]).all())

    def left(self, rows: Int64) -> float:
        """What is left of the amount after these."""
        return float(self.amount - self.costs[rows].sum()) + 1e-9

    def vertex(self, values: Float64) -> Float64:
        """[n] in [0, 1] how much of each token to take for the largest sum of `values`.

        That of the linear relaxation of all choices, so that no choice's sum is larger. The
        relaxation has exactly `size` tokens where all cost the same. Otherwise it goes by value for
        cost, the last in part, and none of a negative value.
        """
        taken = np.zeros(len(values))
        taken[self.include] = 1
        free = self.free
        if self.uniform:
            count = self.size - len(self.include)
            if count:
                taken[free[np.argpartition(values[free], len(free) - count)[-count:]]] = 1
            return taken
        rest, costs = values[free], self.costs[free]
        order = np.argsort(-rest / costs, kind="stable")
        before = np.cumsum(costs[order]) - costs[order]
        part = np.clip((self.left(self.include) - before) / costs[order], 0, 1)
        taken[free[order]] = np.where(rest[order] > 0, part, 0)
        return taken

    def most(self, values: Float64) -> float:
        """At least the sum of `values` [n] over any choice."""
        return float(values @ self.vertex(values))


def costs(tokens: Tokens, options: AttentionOptions) -> Float64:
    """[n] what each token takes of the budget, by its kind."""
    return tokens.per_kind(lambda kind: options.cost.get(kind.name, kind.cost))


def _rows(tokens: Tokens, ids: Iterable[str]) -> Int64:
    """The rows of the tokens with these ids, in the order of `ids`, each once."""
    wanted = list(dict.fromkeys(ids))
    rows = {name: row for row, name in enumerate(tokens.ids.tolist())} if wanted else {}
    unknown = [name for name in wanted if name not in rows]
    if unknown:
        raise OptionError(
            f"the video has no token {', '.join(unknown)}; `seal tokens` lists those it has"
        )
    return np.array([rows[name] for name in wanted], np.int64)
