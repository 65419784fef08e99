"""QMSum (Zhong et al., NAACL 2021, arXiv 2104.05938): which turns of a meeting answer a question?

A meeting is its transcript, turn by turn, each a token of the kind `speech` with the name of the
speaker before the words. The data set has no times: words follow each other at 2.5 a second. A
question that is about something specific comes with the spans of turns that answer it, written by
people; of those the metrics are (`seal.evaluate.cases.SpanCase`). Budgets are shares of the turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import Candidates
from seal.attention import relevance as cosines
from seal.attention.words import Meaning, Parts
from seal.datacheck import EntryError, Named, Skipped, each
from seal.errors import DataError, OptionError
from seal.evaluate.cases import Comparison, SpanCase
from seal.evaluate.methods import Method
from seal.evaluate.texts import Embedder, embedder
from seal.files import tried_json_lines
from seal.types import Float32, Tokens
from seal.words.index import WordIndex

BUDGETS = (1.0, 2.0, 5.0, 10.0)
"""Per cent of the turns of a meeting."""
_WORDS_PER_S = Fraction(5, 2)


@dataclass(frozen=True)
class MeetingQuestion:
    """A question, and where its answer is."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """The first and the last turn of each span that answers it."""


@dataclass(frozen=True)
class Meeting:
    """What was said, turn by turn, and the questions about it."""

    name: str
    """Such as "val/3": split and line."""
    turns: tuple[tuple[str, str], ...]
    """Speaker and words of each."""
    questions: tuple[MeetingQuestion, ...]

    @cached_property
    def texts(self) -> list[str]:
        """[n] each turn after the name of its speaker."""
        return [f"{speaker}: {words}" for speaker, words in self.turns]

    def tokens(self, embeddings: Float32) -> Tokens:
        """A token for each turn, with its embedding [n, d]; a tick is a word."""
        ends = np.cumsum([len(words.split()) for _, words in self.turns], dtype=np.int64)
        return Tokens.of(
            ["speech"] * len(self.turns),
            np.stack([np.append(0, ends[:-1]), ends], 1),
            1 / _WORDS_PER_S,
            embeddings[:, None],
            ids=[f"speech-{row}" for row in range(len(self.turns))],
            video_id=self.name,
            text=self.texts,
        )


@dataclass(frozen=True)
class Meetings:
    """The meetings of a folder that can be used, and what cannot."""

    usable: tuple[Meeting, ...]
    splits: tuple[str, ...]
    skipped: tuple[Skipped, ...]


def read(folder: str | Path, splits: Sequence[str] = ()) -> Meetings:
    """The meetings of these splits, or of all that are there: SPLIT.jsonl, a meeting a line.

    Files, meetings and questions that are not as published are left out: see `Meetings.skipped`.
    Raises OptionError, listing the splits, for one that is not there, and DataError if there is no
    file or nothing usable in it.
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*.jsonl"))}
    if not files:
        raise DataError(f"{folder} has no meetings: it needs files such as val.jsonl")
    unknown = [split for split in splits if split not in files]
    if unknown:
        raise OptionError(f"no split {unknown[0]!r} in {folder}; valid: {', '.join(files)}")
    chosen = tuple(dict.fromkeys(splits)) or tuple(files)
    meetings: list[Meeting] = []
    skipped: list[Skipped] = []
    for split in chosen:
        for found in each(_lines(files[split]), _meeting):
            if isinstance(found, Meeting):
                meetings.append(found)
            else:
                skipped.append(found)
    if not meetings:
        why = skipped[0].message if skipped else f"{', '.join(chosen)} is empty"
        raise DataError(f"no meeting in {folder} can be used: {why}")
    return Meetings(tuple(meetings), chosen, tuple(skipped))


def _lines(path: Path) -> Iterator[Named]:
    """The meetings of a file; the file in their place if it cannot be read."""
    try:
        entries = tried_json_lines(path)
    except DataError as error:
        yield str(path), error
        return
    for number, entry in enumerate(entries, start=1):
        item = f"{path}: meeting {number}"
        yield (
            item,
            entry if isinstance(entry, DataError) else (f"{path.stem}/{number}", item, entry),
        )


def _meeting(part: tuple[str, str, dict[str, Any]]) -> Iterator[Meeting | Skipped]:
    """A meeting, after those of its questions that cannot be used."""
    name, item, entry = part
    turns = tuple(
        (_text(turn["speaker"]), _text(turn["content"]))
        for turn in _list(entry["meeting_transcripts"])
    )
    asked = _list(entry["specific_query_list"])
    for what, listed in (("turns", turns), ("specific questions", asked)):
        if not listed:
            raise EntryError(f"a meeting without {what}", listed)
    questions = []
    for found in each(
        ((f"{item}, question {i}", (one, len(turns))) for i, one in enumerate(asked, start=1)),
        _question,
    ):
        if isinstance(found, Skipped):
            yield found
        else:
            questions.append(found)
    if questions:
        yield Meeting(name, turns, tuple(questions))


def _question(part: tuple[dict[str, Any], int]) -> list[MeetingQuestion]:
    entry, turns = part
    text = _text(entry["query"])
    if not text.strip():
        raise EntryError("a question without words", text)
    spans = [(_turn(first), _turn(last)) for first, last in _list(entry["relevant_text_span"])]
    if not spans:
        raise EntryError("a question that no turn answers", spans)
    for first, last in spans:
        if not 0 <= first <= last < turns:
            raise EntryError("a span of turns that the meeting does not have", (first, last))
    return [MeetingQuestion(text, tuple(spans))]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise EntryError("a text that is none", value)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise EntryError("a list that is none", value)
    return value


def _turn(value: Any) -> int:
    """A turn's number; as published it is a string."""
    return int(str(value))


def cases(
    meetings: Iterable[Meeting], relevance: str, budgets: Sequence[float] = BUDGETS
) -> Iterator[SpanCase]:
    """Every question of these meetings; intervals are over questions, groups are meetings.

    `relevance` is one of `seal.evaluate.texts.RELEVANCE`; the questions of a meeting share their
    embeddings. Raises as `seal.evaluate.texts.embedder`.
    """
    embed = embedder(relevance)
    for meeting in meetings:
        tokens = meeting.tokens(embed(meeting.texts))
        scores_of = _scores(relevance, tokens, embed)
        n = len(tokens)
        sizes = {f"{budget:g}%": max(1, round(budget / 100 * n)) for budget in budgets}
        for number, question in enumerate(meeting.questions, start=1):
            spans = np.zeros((len(question.spans), n), bool)
            for span, (first, last) in zip(spans, question.spans, strict=True):
                span[first : last + 1] = True
            candidates = Candidates.of(tokens, scores_of(question.text), question.text)
            if not relevance.startswith("words"):  # Vectors alone, or word counts without them.
                candidates = replace(candidates, by_words=None)
            name = f"{meeting.name}/{number}"
            yield SpanCase(question.text, name, meeting.name, candidates, sizes, spans)


def _scores(relevance: str, tokens: Tokens, embed: Embedder) -> Callable[[str], Float32]:
    """What gives the relevance of the turns of a meeting to a question."""
    texts = tokens.text.tolist()
    if relevance == "bm25":
        index = WordIndex(texts)
        return lambda question: _unit(index.bm25(question))
    if relevance.startswith("words"):
        index, meaning = WordIndex(texts), Meaning.of(tokens.embeddings)

        def fused(question: str) -> Float32:
            return _unit(Parts.of(index, meaning, question, embed([question])[0]).score)

        return fused
    return lambda question: cosines(tokens, embed([question])[0])


def _unit(scores: Float32) -> Float32:
    """Scaled to [0, 1], as the most that a relevance can be is 1."""
    above: Float32 = scores - scores.min()
    return above / np.float32(max(float(above.max()), 1e-9))


def evaluate(
    meetings: Meetings,
    methods: Mapping[str, Method],
    relevance: str,
    *,
    budgets: Sequence[float] = BUDGETS,
    default: str = "seal",
) -> dict[str, Any]:
    """Precision, recall and hit of every method at each budget, in per cent of the turns.

    Returns plain values: see `seal eval qmsum --json`.
    """
    comparison = Comparison()
    for case in cases(meetings.usable, relevance, budgets):
        comparison.ask(methods, case)
    return {
        "relevance": relevance,
        "splits": list(meetings.splits),
        "meetings": len(meetings.usable),
        "turns": sum(len(meeting.turns) for meeting in meetings.usable),
        "questions": sum(len(meeting.questions) for meeting in meetings.usable),
        "budgets": [f"{budget:g}%" for budget in budgets],
        "default": default,
    } | comparison.figures(default)
