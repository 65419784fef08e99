"""How much of a selection is for the question, and how much for the rest of the video."""

from __future__ import annotations

import math
import re

import numpy as np

from seal.attention.candidates import Candidates

_VIDEO = r"(?:the|this) (?:whole |entire )?(?:video|film|movie|clip|recording|footage|meeting|day)"
_SUMMARY = re.compile(
    rf"\b(?:summar\w+|overview of|recap(?: of)?|highlights of|describe|explain) {_VIDEO}\b"
    rf"|\bwhat (?:is|was|happens|happened|goes on|is going on)(?: in| during)? {_VIDEO}\b"
    rf"|\b(?:main|key|most important) (?:points|events|moments|parts|topics)\b",
    re.I,
)
_COEFFICIENTS = (2.26, -5.33, 1.04)
"""Of `features`, as `benchmarks/answer_weight.py fit` prints them."""
_FLAT = 1e-6
_NONE = 1e-12


def is_summary(query: str) -> bool:
    """Whether a text asks for a summary of the video. It reads English alone."""
    return bool(_SUMMARY.search(query))


def features(candidates: Candidates) -> list[float]:
    """[3] 1, whether a summary is asked for, and the logarithm of the share of the video that is
    about the query. The share is the effective sample size (Kish 1965) of the relevance above the
    mean.
    """
    relevance, weights = candidates.everything()
    above = np.maximum(relevance - np.average(relevance, weights=weights), 0)
    squares = float(weights @ above**2)
    share = float(weights @ above) ** 2 / squares / weights.sum() if squares > _NONE else 1.0
    return [1.0, float(is_summary(candidates.query)), math.log(share)]


def answer_weight(candidates: Candidates) -> float:
    """g in [0, 1]: the weight of what answers the query against the coverage of the video.

    A logistic function of `features`. Where nothing stands out, nothing answers: 0.
    """
    relevance, _ = candidates.everything()
    if not len(relevance) or np.ptp(relevance) < _FLAT:
        return 0.0
    logit = sum(c * f for c, f in zip(_COEFFICIENTS, features(candidates), strict=True))
    return 1 / (1 + math.exp(-logit))
