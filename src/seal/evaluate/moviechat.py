"""MovieChat-1K (Song et al., CVPR 2024): free answers about films of ten minutes.

Global questions are about the whole film, breakpoint questions are asked at a moment of it, about
what was shown until then. The official code is github.com/rese1f/MovieChat: in `eval_code`,
`result_prepare/run_inference_qa_moviechat.py` asks, `Acc_score/run_eval_qa_moviechat.py` has the
answers judged. The latter file corrected the judge for some weeks, and takes its verdicts as they
are since: see `RULES`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from seal.datacheck import EntryError, Named, Skipped, each
from seal.errors import DataError
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.choices import by_type
from seal.evaluate.judge import Judge, Judgement
from seal.evaluate.questions import BenchmarkQuestion, Published, QuestionList
from seal.files import read_json, read_json_values

MODES = ("global", "breakpoint")

RULES = {
    "october 2023": {"from": "2023-10-30", "until": "2023-11-23", "commit": "48795020a6f8"},
    "today": {"from": "2023-11-23", "until": None, "commit": "ca1794bd6d92"},
}
"""The rules by which the official code has counted verdicts, with a commit that has them.

october 2023: see `official`. today: a verdict counts as the judge gave it.
"""

# The official code of October 2023 leaves out verdicts of which "pred" and "score" lie on two sides
# of this.
_CORRECT_FROM = 2.9
_YES_OR_NO = ("do", "is", "are")


def _parts(film: Any) -> Iterator[Named]:
    name = PurePath(film["info"]["video_path"]).stem
    for mode in MODES:
        entries = film.get(mode)
        if not isinstance(entries, list):
            came = repr(entries)[:80]
            yield f"{mode} questions of {name}", DataError(f"expected a list, got {came}")
            continue
        for number, entry in enumerate(entries):
            yield f"{mode} question {number} of {name}", (film["info"], mode, number, entry)


def _question(_: str, __: int, part: tuple[dict[str, Any], str, int, Any]) -> BenchmarkQuestion:
    info, mode, number, entry = part
    rate_hz, name = info["fps"], PurePath(info["video_path"]).stem
    return BenchmarkQuestion(
        id=f"{name} {mode} {number}",
        video=name,
        text=str(entry["question"]),
        answer=str(entry["answer"]),
        types=(mode,),
        # The published times are numbers of frames.
        until_s=entry["time"] / rate_hz if mode == "breakpoint" else None,
        duration_s=info["num_frame"] / rate_hz,
    )


PUBLISHED = Published(
    "MovieChat-1K",
    "github.com/rese1f/MovieChat: a JSON file and a video for each film",
    ("*.json",),
    lambda path: [read_json(path)],
    _parts,
    _question,
    # Of the test films, those in "annotations" came without the answers at first.
    folders=("gt/gt", "gt", "annotations", "jsons", "."),
    videos=("videos", "raw_videos", "."),
)


def read_outputs(path: str | Path) -> tuple[QuestionList, dict[str, str]]:
    """The questions in a file of outputs, and the outputs by the question's id.

    The file holds JSON objects as the official code writes them: film -> question, answer, pred,
    and at breakpoints the time. Entries that are not so are left out: see `QuestionList.skipped`.
    Raises DataError, naming the film, if none is left.
    """
    parts = (
        (f"{path}: object {number + 1}", (number, films))
        for number, films in enumerate(read_json_values(path))
    )
    found = [*each(each(each(parts, _films), partial(_asked, path)), _answered)]
    answered = [one for one in found if not isinstance(one, Skipped)]
    skipped = [one for one in found if isinstance(one, Skipped)]
    if not answered:
        raise DataError(skipped[0].message if skipped else f"{path} has no outputs")
    texts = {question.id: text for question, text in answered}
    return QuestionList((question for question, _ in answered), skipped), texts


def _films(part: tuple[int, Any]) -> Iterator[Named]:
    number, films = part
    if not isinstance(films, dict):
        raise EntryError("no JSON object, film -> its questions with outputs", films)
    for film, asked in films.items():
        yield film, (number, film, asked)


def _asked(path: str | Path, part: tuple[int, str, Any]) -> Iterator[Named]:
    object_number, film, asked = part
    if not isinstance(asked, list):
        raise EntryError("a film without a list of questions with outputs", asked)
    for number, entry in enumerate(asked):
        yield f"{path}: question {number} of {film}", (object_number, film, number, entry)


def _answered(part: tuple[int, str, int, Any]) -> Iterator[tuple[BenchmarkQuestion, str]]:
    object_number, film, number, entry = part
    # The official lists mark global questions by no time, or by -1.
    mode = MODES[entry.get("time", -1) >= 0]
    texts = str(entry["question"]), str(entry["answer"])
    question = BenchmarkQuestion(f"{film} {object_number} {number}", film, *texts, types=(mode,))
    yield question, str(entry["pred"]).replace("</s>", "").strip()


def evaluate(
    questions: Sequence[BenchmarkQuestion], outputs: Mapping[str, str], judge: Judge
) -> dict[str, Any]:
    """The share of correct answers and the mean score, of those judged; intervals over films.

    `strict` is the share of correct ones of all, those included that are not answered or that the
    judge failed to judge. The official figures are those of each of the `RULES` by name.
    Returns plain values: see `seal eval moviechat --json`.
    """
    figures: dict[str, Any] = {"judge": judge.name, "rules": RULES}
    groups = by_type(questions, dict(zip(MODES, MODES, strict=True)))
    for mode, asked in groups.items():
        if mode not in MODES:
            continue
        answered = [one for one in asked if one.id in outputs]
        verdicts = {one.id: judge(one.text, one.answer, outputs[one.id]) for one in answered}
        judged = {name: verdict for name, verdict in verdicts.items() if verdict is not None}
        kept = {
            each.id: verdict
            for each in answered
            if each.id in judged
            and (verdict := official(each, outputs[each.id], judged[each.id])) is not None
        }
        correct = [each.id in judged and judged[each.id].correct for each in asked]
        figures[mode] = {
            "questions": len(asked),
            "answered": len(answered),
            "judge_failures": len(answered) - len(judged),
            "strict": bootstrap(correct, [each.video for each in asked])._asdict(),
            **_figures(asked, judged),
            "official": {
                "october 2023": {"judged": len(kept), **_figures(asked, kept)},
                "today": {"judged": len(judged), **_figures(asked, judged)},
            },
        }
    return figures


def _figures(
    questions: Sequence[BenchmarkQuestion], verdicts: Mapping[str, Judgement]
) -> dict[str, Any]:
    judged = [each for each in questions if each.id in verdicts]
    if not judged:
        return {}
    videos = [each.video for each in judged]
    correct = [verdicts[each.id].correct for each in judged]
    scores = [verdicts[each.id].score for each in judged]
    return {
        "accuracy": bootstrap(correct, videos)._asdict(),
        "score": bootstrap(scores, videos)._asdict(),
    }


def official(question: BenchmarkQuestion, output: str, verdict: Judgement) -> Judgement | None:
    """What the official code of October 2023 makes of a verdict; None if it leaves it out.

    An answer that holds the right one in its words is correct, and a "Yes" or "No" that does not is
    wrong, whatever the judge says. What its score then contradicts does not count.
    """
    correct, answer = verdict.correct, _without_punctuation(question.answer)
    if question.text.lower().startswith(_YES_OR_NO):
        if "Yes" in output or "No" in output:
            correct = answer in output
    elif answer in output or answer.lower() in output:
        correct = True
    agrees = verdict.score >= _CORRECT_FROM if correct else verdict.score <= _CORRECT_FROM
    return Judgement(correct, verdict.score) if agrees else None


def _without_punctuation(text: str) -> str:
    return text.translate(str.maketrans("", "", string.punctuation))
