"""LVBench (Wang et al. 2024, arXiv 2406.08035): multiple choice on videos of an hour.

The official code is github.com/zai-org/LVBench: `lvbench/utils/answer_util.py` takes a letter out
of an output, `lvbench/metrics/compute_accuracy.py` counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seal.datacheck import EntryError, Named
from seal.evaluate.choices import Benchmark
from seal.evaluate.lettered import right, split
from seal.evaluate.questions import BenchmarkQuestion, Published
from seal.files import tried_json_lines


def extract_official(output: str) -> str:
    """The character that the official code takes for the answer; it need not be a letter.

    Looks at the text before the first ")". Returns the first character behind the first "(", if
    there is one and no other "(" comes before it, or else the first of all. "" where nothing is
    left: a wrong answer.
    """
    head = output.strip().split(")")[0].strip()
    inside = head.split("(")[1].strip() if "(" in head else head
    return inside[:1]


def _parts(video: Any) -> Iterator[Named]:
    """The questions of a video; `key` is its YouTube id."""
    for entry in video["qa"]:
        uid = entry.get("uid", "without uid") if isinstance(entry, dict) else "that is no object"
        yield f"question {uid} of video {video['key']}", (video, entry)


def _question(_: str, __: int, part: tuple[dict[str, Any], dict[str, Any]]) -> BenchmarkQuestion:
    video, entry = part
    minutes = video.get("video_info", {}).get("duration_minutes")
    types = entry["question_type"]
    if not isinstance(types, list):
        raise EntryError("a question_type that is no list", types)
    text, options = split(entry["question"])
    return BenchmarkQuestion(
        id=str(entry["uid"]),
        video=str(video["key"]),
        text=text,
        answer=right(entry["answer"], options),
        options=options,
        types=tuple(types),
        # Rounded to minutes.
        duration_s=None if minutes is None else 60 * max(0.0, minutes - 0.5),
    )


PUBLISHED = Published(
    "LVBench",
    "github.com/zai-org/LVBench: video_info.meta.jsonl, and the videos as KEY.mp4",
    ("video_info.meta.jsonl",),
    tried_json_lines,
    _parts,
    _question,
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
