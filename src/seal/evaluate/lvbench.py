"""LVBench (Wang et al. 2024, arXiv 2406.08035): multiple choice on videos of an hour.

The official code is github.com/zai-org/LVBench: `lvbench/utils/answer_util.py` takes a letter out
of an output, `lvbench/metrics/compute_accuracy.py` counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from seal.evaluate.choices import Benchmark
from seal.evaluate.questions import BenchmarkQuestion, Published
from seal.files import read_json_lines


def extract_official(output: str) -> str:
    """The character that the official code takes for the answer; it need not be a letter.

    Of the text before the first ")": the first character behind the first "(", if there is one and
    no other "(" comes before it, or else of all. "" where nothing is left: a wrong answer.
    """
    head = output.strip().split(")")[0].strip()
    inside = head.split("(")[1].strip() if "(" in head else head
    return inside[:1]


def _questions(_: str, __: int, video: Any) -> Iterator[BenchmarkQuestion]:
    """Those of a video: `key` is its YouTube id. Raises KeyError, TypeError or ValueError."""
    minutes = video.get("video_info", {}).get("duration_minutes")
    for entry in video["qa"]:
        types = entry["question_type"]
        if not isinstance(types, list):
            raise TypeError(f"question_type is a list, got {types!r}")
        text, *options = re.split(r"^\s*\(([A-Z])\)", entry["question"], flags=re.MULTILINE)
        yield BenchmarkQuestion(
            id=str(entry["uid"]),
            video=str(video["key"]),
            text=text.strip(),
            answer=entry["answer"],
            options=dict(zip(options[::2], map(str.strip, options[1::2]), strict=True)),
            types=tuple(types),
            # Rounded to minutes.
            duration_s=None if minutes is None else 60 * max(0.0, minutes - 0.5),
        )


PUBLISHED = Published(
    "LVBench",
    "github.com/zai-org/LVBench: video_info.meta.jsonl, and the videos as KEY.mp4",
    ("video_info.meta.jsonl",),
    read_json_lines,
    _questions,
    folders=(".", "data"),
)

LVBENCH = Benchmark(
    PUBLISHED,
    extract_official,
    # In the order of the paper's tables.
    types={
        "key information retrieval": "KIR",
        "event understanding": "EU",
        "summarization": "Sum",
        "entity recognition": "ER",
        "reasoning": "Rea",
        "temporal grounding": "TG",
    },
    overall="acc",
)
