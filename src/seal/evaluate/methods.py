"""The ways to choose tokens that benchmarks compare, under one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from seal import backends
from seal.attention import Candidates, pick
from seal.attention.streaming import stream_choose
from seal.config import AttentionOptions
from seal.errors import OptionError
from seal.types import Int64

Method = Callable[[Candidates, int], Int64]
"""At most so many rows of the candidates."""

STREAMING = " (streaming)"
_WINDOW = 200
"""Tokens at a time: at the default profile's rate, those of about 40 s."""


def methods(options: AttentionOptions, wanted: Iterable[str] = ()) -> dict[str, Method]:
    """The baselines, then every objective with these options; or only those `wanted`.

    After those come the objectives window by window, their names followed by `STREAMING`.

    Raises OptionError, listing the valid names, for an unknown one, and if tokens are to cost
    anything but 1.
    """
    if options.cost:
        raise OptionError("benchmarks count tokens: attention.cost_KIND has no effect here")
    every: dict[str, Method] = {
        name: backends.resolve("baseline", name) for name in backends.names("baseline")
    }
    for name in backends.names("objective"):
        every[name] = _chosen(replace(options, objective=name))
    for name in backends.names("objective"):
        every[name + STREAMING] = _streamed(replace(options, objective=name))
    wanted = list(wanted) or list(every)
    unknown = [name for name in wanted if name not in every]
    if unknown:
        raise OptionError(f"unknown method {unknown[0]!r}; valid: {', '.join(every)}")
    return {name: every[name] for name in wanted}


def _chosen(options: AttentionOptions) -> Method:
    """What `seal select` does with these options, at any budget."""

    def method(candidates: Candidates, size: int) -> Int64:
        return pick(candidates, replace(options, budget=size))

    return method


def _streamed(options: AttentionOptions) -> Method:
    """What `seal watch` does with these options."""

    def method(candidates: Candidates, size: int) -> Int64:
        order = np.argsort(candidates.times_s, kind="stable")
        chosen = stream_choose(candidates.take(order), replace(options, budget=size), _WINDOW)
        return order[chosen]

    return method
