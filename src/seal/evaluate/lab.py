"""What it takes to run a benchmark: what is there, what is missing, and time and disk of each step.

Nothing is estimated from nothing. How fast videos are indexed, and how much disk their tokens take,
is measured on the videos of the benchmark that are in the store, or stated. Where neither is at
hand the estimate is left out, and the plan says how to get it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal.config import VideoOptions
from seal.datacheck import length_fault
from seal.errors import OptionError, VideoError
from seal.evaluate.questions import BenchmarkQuestion, Published
from seal.evaluate.videos import Videos
from seal.store import Store, VideoRecord
from seal.store.place import is_bucket
from seal.video import open_video

_HOUR_S = 3600.0
_GB = 1e9


@dataclass(frozen=True)
class Lab:
    """What a lab states about its machines and its model; None where it is not known."""

    gpus: int = 1
    """So many machines or GPUs index at once."""
    throughput: float | None = None
    """Times real time that one of them indexes at; None takes what was measured."""
    request_s: float | None = None
    """How long the model takes for one answer."""
    picture_tokens: float | None = None
    """How many tokens of the model a picture takes."""

    def __post_init__(self) -> None:
        for name in ("gpus", "throughput", "request_s", "picture_tokens"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                option = name.replace("_", "-")
                raise OptionError(f"--{option} must be above 0 and finite, got {value}")


@dataclass(frozen=True)
class Asking:
    """What is asked of the model."""

    methods: int
    """How many kinds of evidence are compared."""
    pictures: int
    """The budget: pictures of evidence in a prompt at most."""
    together: int
    """How many questions it is asked at once."""
    answered: int = 0
    """How many answers the file of the run has already."""


def plan(
    published: Published,
    annotations: str | Path,
    questions: Sequence[BenchmarkQuestion],
    store_path: str | Path,
    asking: Asking,
    lab: Lab,
) -> dict[str, Any]:
    """The steps to a benchmark's figures: `steps`, and what they are computed from.

    Times are in hours, sizes in GB (10^9 bytes); None where there is nothing to estimate from, and
    then `advice` says what to do. Returns plain values: see `seal eval lvbench --dry-run --json`.
    Raises DataError if a name of a video means several videos of the store.
    """
    folder = Path(annotations) if Path(annotations).is_dir() else Path(annotations).parent
    stated = {question.video: question.duration_s for question in questions}
    files = published.find_videos(folder, stated)
    is_there = is_bucket(store_path) or Path(store_path).is_dir()
    store = Store(store_path) if is_there else None
    records = {} if store is None else _records(store, stated)
    lengths_s = {name: _length_s(name, stated, files, records) for name in stated}
    hours = _Hours.of(lengths_s)
    missing = [name for name in stated if name not in files and name not in records]
    there = {name: length for name, length in lengths_s.items() if name not in missing and length}
    short = {name: length_fault(length, stated[name]) for name, length in there.items()}
    left = [name for name in stated if name not in records]
    measured = _measured(store, records, files, lengths_s)
    rate = lab.throughput or measured["realtime_factor"]
    requests = max(0, len(questions) * asking.methods - asking.answered)
    pictures = requests * asking.pictures
    prompt_tokens = None if lab.picture_tokens is None else round(pictures * lab.picture_tokens)
    steps = [
        {
            "step": "download",
            "videos": len(missing),
            "hours_of_video": hours.total(missing),
            "disk_gb": _times(measured["video_gb_per_hour"], hours.total(missing)),
            "time_h": None if missing else 0.0,
        },
        {
            "step": "index",
            "videos": len(left),
            "hours_of_video": hours.total(left),
            "gpus": lab.gpus,
            "tokens": _times(measured["tokens_per_hour"], hours.total(left)),
            "disk_gb": _times(measured["store_gb_per_hour"], hours.total(left)),
            "time_h": None if rate is None else hours.total(left) / (rate * lab.gpus),
        },
        {
            "step": "evaluate",
            "questions": len(questions),
            "requests": requests,
            "at_once": asking.together,
            "pictures": pictures,
            "prompt_tokens": prompt_tokens,
            "time_h": _times(lab.request_s, requests / asking.together / _HOUR_S),
        },
    ]
    return {
        "videos": {
            "wanted": len(stated),
            "found": len(files.keys() & stated.keys()),
            "indexed": len(records),
            "missing": missing,
        },
        "short": {name: fault for name, fault in short.items() if fault is not None},
        "hours_of_video": hours.total(stated),
        "hours_guessed": len(hours.unknown),
        "measured": measured,
        "stated": {"throughput": lab.throughput, "request_s": lab.request_s},
        "steps": steps,
        "advice": _advice(steps, measured, rate, lab),
    }


class _Hours:
    """The lengths of videos, those that nobody states as long as the mean of the others."""

    def __init__(self, known_h: Mapping[str, float], unknown: Sequence[str]) -> None:
        self.unknown = unknown
        mean = sum(known_h.values()) / len(known_h) if known_h else 0.0
        self._all = {**known_h, **dict.fromkeys(unknown, mean)}

    @staticmethod
    def of(lengths_s: Mapping[str, float | None]) -> _Hours:
        known = {name: each / _HOUR_S for name, each in lengths_s.items() if each is not None}
        return _Hours(known, [name for name in lengths_s if name not in known])

    def total(self, names: Sequence[str] | Mapping[str, Any]) -> float:
        return sum(self._all[name] for name in names)


def _records(store: Store, names: Mapping[str, Any]) -> dict[str, VideoRecord]:
    videos = Videos(store, "ask")
    found = {name: videos.record(name) for name in names}
    return {name: record for name, record in found.items() if record is not None}


def _length_s(
    name: str,
    stated: Mapping[str, float | None],
    files: Mapping[str, Path],
    records: Mapping[str, VideoRecord],
) -> float | None:
    """Of what was read, else as the file claims, else as published."""
    if name in records:
        return records[name].duration_s
    if name not in files:
        return stated[name]
    try:
        with open_video(files[name], VideoOptions(), threads=1) as video:
            return video.info.duration_s or stated[name]
    except VideoError:
        return stated[name]  # `seal data check` says what is wrong with the file.


def _measured(
    store: Store | None,
    records: Mapping[str, VideoRecord],
    files: Mapping[str, Path],
    lengths_s: Mapping[str, float | None],
) -> dict[str, float | None]:
    """What the videos that are in the store, and the files that are there, tell of the others."""
    indexed_h = sum(record.duration_s for record in records.values()) / _HOUR_S
    seconds = sum(record.seconds for record in records.values())
    known = {name: length for name, length in lengths_s.items() if length and name in files}
    files_h = sum(known.values()) / _HOUR_S
    file_bytes = sum(files[name].stat().st_size for name in known)
    tokens = store_h = 0.0
    store_bytes = 0
    if store is not None and records:
        counts = store.counts()
        tokens = sum(sum(counts.get(record.id, {}).values()) for record in records.values())
        store_h = sum(record.duration_s for record in store.videos()) / _HOUR_S
        store_bytes = store.size_bytes()
    return {
        "realtime_factor": indexed_h * _HOUR_S / seconds if seconds else None,
        "tokens_per_hour": tokens / indexed_h if indexed_h else None,
        "store_gb_per_hour": store_bytes / _GB / store_h if store_h else None,
        "video_gb_per_hour": file_bytes / _GB / files_h if files_h else None,
    }


def _times(one: float | None, other: float) -> float | None:
    return None if one is None else one * other


def _advice(
    steps: Sequence[Mapping[str, Any]],
    measured: Mapping[str, float | None],
    rate: float | None,
    lab: Lab,
) -> list[str]:
    """How to get the estimates that are left out."""
    download, index, evaluate = steps
    advice = []
    if download["videos"] and measured["video_gb_per_hour"] is None:
        advice.append("download one video: its size tells the size of the others")
    if index["videos"] and rate is None:
        advice.append("run seal index on one video to measure its speed, or state --throughput")
    if index["videos"] and measured["store_gb_per_hour"] is None:
        advice.append("run seal index on one video to measure tokens and disk")
    if evaluate["requests"] and lab.request_s is None:
        advice.append("state --request-s: the seconds that the model takes for one answer")
    return advice
