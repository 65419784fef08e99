"""MLVU (Zhou et al. 2024, arXiv 2406.04264): the multiple choice of its development set.

The official code is github.com/JUNJIE99/MLVU: `multiple_choice_evaluation/choice_bench.py`. The two
tasks with free answers, sub_scene and summary, are not read.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import Any

from seal.evaluate.choices import Benchmark
from seal.evaluate.lettered import lettered, right
from seal.evaluate.questions import BenchmarkQuestion, Published, single
from seal.files import read_json

_FILES = (
    *("1_plotQA.json", "2_needle.json", "3_ego.json", "4_count.json", "5_order.json"),
    *("6_anomaly_reco.json", "7_topic_reasoning.json"),
)
# In the order of the leaderboard: holistic, single detail, several details.
_TASKS = {
    "topic_reasoning": "TR",
    "anomaly_reco": "AR",
    "needle": "NQA",
    "ego": "ER",
    "plotQA": "PQA",
    "order": "AO",
    "count": "AC",
}


def extract_official(output: str) -> str:
    """What the official code compares with the letter: the character before the first ")", or,
    where there is none, all of the output."""
    end = output.find(")")
    return output if end < 0 else output[max(0, end - 1) : end]


def _question(file: str, number: int, entry: Any) -> BenchmarkQuestion:
    """Of the file "1_plotQA"; the videos of each task have a folder of its name, and their own
    names repeat."""
    task = file.partition("_")[2] or file
    candidates, answer = entry["candidates"], entry["answer"]
    options = lettered(candidates)
    # Of candidates of one text the official code takes the last. A list has its texts, a mapping
    # its letters: `lettered` takes both.
    texts = candidates.values() if isinstance(candidates, dict) else candidates
    same = [letter for letter, text in zip(options, texts, strict=True) if text == answer]
    return BenchmarkQuestion(
        id=f"{task} {number}",
        video=f"{file}/{PurePath(entry['video']).stem}",
        text=entry["question"],
        answer=same[-1] if same else right(answer, options),
        options=options,
        types=(task,),
        duration_s=entry.get("duration"),
    )


def _outputs(value: Any) -> Any:
    """Also those that the official code writes, in the order of the questions of each task."""
    if not isinstance(value, dict) or "res_list" not in value:
        return value
    outputs, counts = {}, Counter[str]()
    for each in value["res_list"]:
        task = each["question_type"]
        outputs[f"{task} {counts[task]}"] = each["pred"]
        counts[task] += 1
    return outputs


PUBLISHED = Published(
    "MLVU",
    "github.com/JUNJIE99/MLVU: the folders json and video of the development set",
    _FILES,
    read_json,
    single("video"),
    _question,
    folders=("json", "."),
    videos=("video", "."),
)

MLVU = Benchmark(
    PUBLISHED, extract_official, types=_TASKS, overall="Avg", average="M-Avg", outputs=_outputs
)
