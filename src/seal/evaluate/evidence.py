"""True evidence times of LongVideoBench: how many of them does a selector's choice come near to?

The validation questions of LongVideoBench (Wu et al. 2024, arXiv 2407.15754) were made from certain
moments of their videos, and its annotations hold when these are. A selector's picks are times. A
moment is found within a tolerance if a pick is at most so many seconds away; a question scores the
share of its moments that are found. `evidence_val.json` has these times and the picks that the
authors of AKS (Tang et al., CVPR 2025) published. As many picks an equal time apart, in the middles
of equal parts of the video, stand beside each selector.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seal.datacheck import EntryError, Skipped, each
from seal.errors import DataError
from seal.evaluate.cases import Comparison
from seal.evaluate.longvideobench import PUBLISHED
from seal.files import read_json, write_text
from seal.library import LocalLibrary
from seal.types import Float64, is_real

FILE = "evidence_val.json"
TOLERANCES_S = (1.0, 2.0, 5.0)
BUDGET = 64
UNIFORM = "uniform"
_PUBLISHED = {"aks_64": "aks_64_s", "aks_32": "aks_32_s"}
"""The picks in `FILE`: their names, and the fields that they are in."""
_ROUNDING_S = 1e-6

Picks = Mapping[str, Float64]
"""Times in seconds by the question's id; any number for each, in any order."""


@dataclass(frozen=True, eq=False)
class EvidenceQuestion:
    """A question of which it is known when the video shows what it is about."""

    id: str
    video: str
    group: str
    """The length of its videos at most, in seconds: "15", "60", "600", "3600"."""
    duration_s: float
    evidence_s: Float64
    """[m] m >= 1."""
    published: Picks
    """What selectors chose for it, by their names."""


def read(path: str | Path) -> tuple[list[EvidenceQuestion], list[Skipped]]:
    """The questions of a file such as `FILE` that can be used, and what cannot.

    Raises DataError if the file cannot be read or nothing in it can be used.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f"{path} must be a list of questions")
    found = list(
        each(((f"{path}: entry {i}", one) for i, one in enumerate(entries, start=1)), _question)
    )
    questions = [one for one in found if isinstance(one, EvidenceQuestion)]
    skipped = [one for one in found if isinstance(one, Skipped)]
    if not questions:
        why = skipped[0].message if skipped else "it is empty"
        raise DataError(f"no question of {path} can be used: {why}")
    return questions, skipped


def _question(entry: dict[str, Any]) -> Iterator[EvidenceQuestion]:
    duration_s, evidence_s = entry["duration_s"], _times(entry["evidence_s"])
    if not is_real(duration_s) or duration_s <= 0:
        raise EntryError("a duration that is no number of seconds", duration_s)
    if not len(evidence_s):
        raise EntryError("a question without evidence", entry["evidence_s"])
    yield EvidenceQuestion(
        id=str(entry["id"]),
        video=str(entry["video"]),
        group=str(entry["group"]),
        duration_s=duration_s,
        evidence_s=evidence_s,
        published={
            name: _times(entry[field]) for name, field in _PUBLISHED.items() if field in entry
        },
    )


def _times(values: Any) -> Float64:
    if not isinstance(values, list) or not all(is_real(value) for value in values):
        raise EntryError("times that are no list of seconds", values)
    return np.array(values, np.float64)


def read_picks(path: str | Path) -> dict[str, Float64]:
    """The picks in a JSON file: {"QUESTION ID": [seconds, ...], ...}.

    Raises DataError, naming file and question, for anything else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f'{path} must be one JSON object: {{"QUESTION ID": [seconds, ...]}}')
    return {name: _picked(f"{path}, question {name}", times) for name, times in content.items()}


def _picked(where: str, times: Any) -> Float64:
    try:
        return _times(times)
    except EntryError as error:
        raise DataError(f"{where}: {error}") from error


def published(questions: Sequence[EvidenceQuestion]) -> dict[str, dict[str, Float64]]:
    """The picks that came with the questions, by the selector's name."""
    return {
        name: {one.id: one.published[name] for one in questions if name in one.published}
        for name in dict.fromkeys(name for one in questions for name in one.published)
    }


def recall(picks_s: Float64, evidence_s: Float64, tolerance_s: float) -> float:
    """The share of the times `evidence_s` [m] that are at most `tolerance_s` from a pick."""
    if not len(picks_s):
        return 0.0
    apart = np.abs(evidence_s[:, None] - picks_s).min(1)
    return float((apart <= tolerance_s + _ROUNDING_S).mean())


def uniform(count: int, duration_s: float) -> Float64:
    """The middles of so many equal parts of a video."""
    return (np.arange(count) + 0.5) * duration_s / max(count, 1)


def evaluate(
    questions: Sequence[EvidenceQuestion],
    picks: Mapping[str, Picks],
    tolerances_s: Sequence[float] = TOLERANCES_S,
) -> dict[str, Any]:
    """Recall of every selector at each tolerance, of all questions and of each group of lengths,
    beside as many picks an equal time apart. The first selector is compared with every other row.

    Only questions that all selectors have picks for count. Intervals are over videos. Returns plain
    values: see `seal eval evidence --json`. Raises DataError if no question is left.
    """
    asked = [one for one in questions if all(one.id in chosen for chosen in picks.values())]
    if not asked:
        raise DataError(
            f"no question has picks of {' and of '.join(picks)}: are they those of LongVideoBench?"
        )
    counts = {name: tuple(len(chosen[one.id]) for one in asked) for name, chosen in picks.items()}
    beside = {
        name: UNIFORM if len({*counts.values()}) == 1 else f"{UNIFORM} beside {name}"
        for name in picks
    }
    groups = sorted({one.group for one in asked}, key=lambda group: (len(group), group))
    comparisons = {group: Comparison() for group in ("all", *groups)}
    for one in asked:
        times = {}
        for name, chosen in picks.items():
            times[name] = chosen[one.id]
            times[beside[name]] = uniform(len(chosen[one.id]), one.duration_s)
        scores = {
            name: {
                f"recall@{tolerance:g}s": recall(chosen_s, one.evidence_s, tolerance)
                for tolerance in tolerances_s
            }
            for name, chosen_s in times.items()
        }
        for group in ("all", one.group):
            comparisons[group].add(one.video, scores)
    default = next(iter(picks))
    figures = {group: comparison.figures(default) for group, comparison in comparisons.items()}
    return {
        "questions": {group: sum(one.group == group for one in asked) for group in groups}
        | {"all": len(asked)},
        "missing": {
            name: sum(one.id not in chosen for one in questions) for name, chosen in picks.items()
        },
        "unknown": {
            name: len(chosen.keys() - {one.id for one in questions})
            for name, chosen in picks.items()
        },
        "picks": {name: float(np.mean(count)) for name, count in counts.items()},
        "default": default,
        **figures.pop("all"),
        "groups": figures,
    }


def pick(
    questions: Sequence[EvidenceQuestion],
    annotations: str | Path,
    videos: str | Path,
    library: LocalLibrary,
    budget: int = BUDGET,
    *,
    settings: Iterable[str] = (),
    on_video: Callable[[str], None] = lambda path: None,
) -> dict[str, Float64]:
    """SEAL's picks: the middles of the tokens that it selects for each question, as many as
    `budget`, in seconds from the beginning of the video.

    `annotations` is the published lvb_val.json, which has the words of the questions; the videos
    are looked for in the folder `videos` and indexed into `library` unless they are there. Those
    that are missing are left out. Raises DataError if none is there.
    """
    texts = {one.id: one.text for one in PUBLISHED.read(annotations)}
    asked = [one for one in questions if one.id in texts]
    paths = PUBLISHED.find_videos(Path(videos), [one.video for one in asked])
    if not paths:
        raise DataError(f"{videos} has none of the videos of {len(asked)} questions")
    picks = {}
    for name, path in paths.items():
        about = [one for one in asked if one.video == name]
        if not about:
            continue
        on_video(str(path))
        video = library.by_id(library.index(path).id)
        for one in about:
            chosen = video.select(texts[one.id], budget=budget, options=settings)
            picks[one.id] = np.sort(chosen.tokens.middle_s) - video.record.start_s
    return picks


def write_picks(path: str | Path, picks: Picks) -> None:
    """Write what `read_picks` reads. Raises DataError if it cannot be written."""
    write_text(path, json.dumps({name: times.tolist() for name, times in picks.items()}) + "\n")
