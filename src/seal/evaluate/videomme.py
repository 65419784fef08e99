"""Video-MME (Fu et al. 2024, arXiv 2405.21075): multiple choice on short, medium and long videos.

The official code is github.com/BradyFU/Video-MME: `evaluation/eval_your_results.py`. Its tables of
one duration by domain are not given here. Subtitles are not shown to the model.
"""

from __future__ import annotations

from typing import Any

from seal.evaluate.choices import STATED, Benchmark, first_letter
from seal.evaluate.lettered import lettered, right
from seal.evaluate.questions import BenchmarkQuestion, Published, single
from seal.files import read_parquet

# Two commas are missing in the official list: these are its last two entries.
_STATED = (*STATED, "The best option isThe correct option is", "Best answer:Best option:")


def extract_official(output: str) -> str | None:
    """The letter that the official code takes for the answer; a question without is not counted."""
    return first_letter(output, _STATED, "ABCD")


def _question(_: str, __: int, row: Any) -> BenchmarkQuestion:
    options = lettered(row["options"])
    types = (row["duration"], row["domain"], row["task_type"], row["sub_category"])
    return BenchmarkQuestion(
        id=row["question_id"],
        video=row["videoID"],
        text=row["question"],
        answer=right(row["answer"], options),
        options=options,
        # A domain and its only category can have one name.
        types=tuple(dict.fromkeys(types)),
    )


def _outputs(value: Any) -> Any:
    """Also those in the official template, where each question has a `response`."""
    if not isinstance(value, list):
        return value
    return {each["question_id"]: each["response"] for video in value for each in video["questions"]}


PUBLISHED = Published(
    "Video-MME",
    "github.com/BradyFU/Video-MME: the parquet file, and the videos as VIDEOID.mp4",
    ("test-*.parquet",),
    read_parquet,
    single("question_id"),
    _question,
    folders=("videomme", "."),
    videos=("data", "video", "videos", "."),
)

VIDEOMME = Benchmark(
    PUBLISHED,
    extract_official,
    types={
        name: name
        for name in (
            "short",
            "medium",
            "long",
            "Knowledge",
            "Film & Television",
            "Sports Competition",
            "Artistic Performance",
            "Life Record",
            "Multilingual",
            "Temporal Perception",
            "Spatial Perception",
            "Attribute Perception",
            "Action Recognition",
            "Object Recognition",
            "OCR Problems",
            "Counting Problem",
            "Temporal Reasoning",
            "Spatial Reasoning",
            "Action Reasoning",
            "Object Reasoning",
            "Information Synopsis",
        )
    },
    outputs=_outputs,
)
