"""LongVideoBench (Wu et al. 2024, arXiv 2407.15754): multiple choice on what a question refers to.

The official scoring is that of lmms-eval, by the same authors: `tasks/longvideobench/utils.py`.
Where the official script finds no letter, it draws one at random; here the letter is always the
same. Subtitles are not shown to
the model.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from seal.evaluate.choices import STATED, Benchmark, first_letter
from seal.evaluate.lettered import lettered, right
from seal.evaluate.questions import BenchmarkQuestion, Published, single
from seal.files import read_json

_STATED = (
    *STATED,
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
# By duration in seconds; then by the paper's levels, perception and relation.
_TYPES = {f"{seconds}": f"{seconds} s" for seconds in (15, 60, 600, 3600)} | {
    name: name
    for name in (
        *("S2E", "S2O", "S2A", "E2O", "O2E", "T2E", "T2O", "T2A"),
        *("E3E", "O3O", "SSS", "SOS", "SAA", "T3E", "T3O", "TOS", "TAA"),
    )
}


def extract_official(output: str) -> str | None:
    """The letter that the official code finds."""
    return first_letter(output, _STATED, "ABCDE")


def _question(_: str, __: int, entry: Any) -> BenchmarkQuestion:
    options, answer = lettered(entry["candidates"]), entry["correct_choice"]
    # Published is the number of the option, from 0.
    if isinstance(answer, int) and answer in range(len(options)):
        answer = [*options][answer]
    return BenchmarkQuestion(
        id=entry["id"],
        video=PurePath(entry["video_path"]).stem,
        text=entry["question"],
        answer=right(answer, options),
        options=options,
        types=(str(entry["duration_group"]), entry["question_category"]),
        duration_s=entry.get("duration"),
    )


PUBLISHED = Published(
    "LongVideoBench",
    "github.com/longvideobench/LongVideoBench: lvb_val.json and the folder videos",
    ("lvb_val.json",),
    read_json,
    single("id"),
    _question,
)

LONGVIDEOBENCH = Benchmark(PUBLISHED, extract_official, guesses=True, types=_TYPES)
