"""Dialogue: each turn is answered from new evidence and from all that was shown before."""

from __future__ import annotations

import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seal.answer import prompt as prompts
from seal.answer.answerer import Answerer, OnText, Reply
from seal.answer.citations import resolve
from seal.answer.evidence import Evidence, gather
from seal.answer.intent import complete, points_back
from seal.answer.letters import extract
from seal.answer.prompt import Message, describe
from seal.arguments import Choices, lettered
from seal.attention.candidates import costs
from seal.content import check_unicode
from seal.errors import ContextError, OptionError
from seal.files import read_json, write_whole
from seal.results import Answer
from seal.scope import Scope
from seal.types import Float64, Int64

_log = logging.getLogger("seal.answer")
_VERSION = 2


@dataclass(frozen=True)
class Turn:
    """A question that was answered."""

    question: str
    complete: str
    """The question as evidence was looked for: what it points back to is put in its place."""
    evidence: tuple[str, ...]
    """The ids of the tokens that this turn showed first."""
    answer: str | None

    @staticmethod
    def from_json(values: Any) -> Turn:
        """A turn as `Conversation.save` writes it. Raises TypeError, KeyError or ValueError."""
        turn = Turn(**values | {"evidence": tuple(values["evidence"])})
        texts = (turn.question, turn.complete, turn.answer or "", *turn.evidence)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a turn has a question, an answer and the ids of its evidence")
        return turn


class Asked(NamedTuple):
    """A question with the evidence for it, as a model gets it."""

    question: str
    complete: str
    choices: Mapping[str, str]
    evidence: Evidence
    prompt: list[Message]


class Dialogue(ABC):
    """Questions about a video that build on each other, and on evidence that is paid for once."""

    @property
    @abstractmethod
    def turns(self) -> Sequence[Turn]:
        """The questions that were answered, in their order."""

    @property
    @abstractmethod
    def model(self) -> str | None:
        """The back end and the model that answers; None where there is none."""

    @property
    @abstractmethod
    def cost(self) -> float:
        """The cost of all evidence shown so far: the number of its pictures, if each costs 1."""

    @abstractmethod
    def ask(
        self,
        question: str,
        *,
        choices: Choices | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
    ) -> Answer:
        """The answer to a question; `choices` are those of a multiple choice: texts by letter, or a
        list of texts.

        `verify` asks again without the evidence that the answer cites. If the prompt is too long
        for the model, or has too many pictures, the oldest turns are forgotten. Then the budget
        shrinks to what the model says that it takes, or to half. The answer's notes say so.

        Raises OptionError for a question that is empty or no text, AnswerError if the model fails.
        """

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write the dialogue as JSON; it holds no pictures. Raises DataError."""


class Conversation(Dialogue):
    """A dialogue about a video of a store.

    Each turn is answered from the best evidence for `attention.budget`, of which what was shown
    before is not paid for again. Turns after the first may spend `answer.follow_up` each, and all
    together `answer.dialogue`. Without a model, turns give evidence and moments.
    """

    def __init__(
        self,
        scope: Scope,
        answerer: Answerer | None = None,
        gather: Callable[..., Evidence] = gather,
    ) -> None:
        """`gather` chooses the evidence: `seal.answer.evidence.gather`, or another such function
        to compare it with."""
        self.scope = scope
        self.answerer = answerer
        self._gather = gather
        self._turns: list[Turn] = []
        self._seen: list[Turn] = []
        self._drawn: dict[Turn, Message] = {}
        self._noted: set[str] = set()

    def ask(
        self,
        question: str,
        *,
        choices: Choices | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
    ) -> Answer:
        began, letters = time.monotonic(), lettered(choices)
        whole, notes = self._complete(question)
        new = self._allowance()
        while True:
            evidence = self._evidence(whole, new)
            try:
                text = self._reply(question, evidence.rows, letters, on_text)
                break
            except ContextError as error:
                new = self._shrink(new, evidence, error)
                kept = f"{len(self._seen)} earlier turns and {new:g} of the budget"
                notes.append(f"asked again with {kept}: {error}")
        if self.turns and new < self._prices().min(initial=np.inf):
            notes.append("the budget of the dialogue (answer.dialogue) is spent: nothing new shown")
        answer = self._answer(text, evidence, letters)
        if verify:
            answer = self._verified(question, evidence, answer, letters)
        self._remember(Turn(question, whole, self._ids(evidence.rows), answer.text))
        taken_s = time.monotonic() - began
        return replace(answer, notes=(*notes, *answer.notes), model=self.model, seconds=taken_s)

    def put(self, question: str, choices: Choices | None = None) -> Asked:
        """What would be sent to ask this now. Raises as `ask` does."""
        whole, _ = self._complete(question)
        evidence, letters = self._evidence(whole, self._allowance()), lettered(choices)
        prompt = self._messages(question, evidence.rows, letters)
        return Asked(question, whole, letters, evidence, prompt)

    def take(self, asked: Asked, text: str) -> Answer:
        """The answer to what was `put`, of which a model wrote `text`."""
        answer = self._answer(text, asked.evidence, asked.choices)
        ids = self._ids(asked.evidence.rows)
        self._remember(Turn(asked.question, asked.complete, ids, answer.text))
        return answer

    @property
    def turns(self) -> Sequence[Turn]:
        return self._turns

    @property
    def model(self) -> str | None:
        return None if self.answerer is None else self.answerer.name

    @property
    def cost(self) -> float:
        return float(self._prices()[self._rows(self.turns)].sum())

    def save(self, path: str | Path) -> None:
        turns = [asdict(turn) for turn in self.turns]
        record = self.scope.record
        values = {"version": _VERSION, "video": record.id, "keys": dict(record.keys)}
        values["turns"] = turns
        write_whole(path, (json.dumps(values, indent=1) + "\n").encode())

    @staticmethod
    def resume(path: str | Path, scope: Scope, answerer: Answerer | None = None) -> Conversation:
        """The dialogue that `save` wrote, about the same video.

        Raises DataError if the file cannot be read, and as `restored`.
        """
        return Conversation.restored(read_json(path), str(path), scope, answerer)

    @staticmethod
    def restored(
        values: Any, name: str, scope: Scope, answerer: Answerer | None = None
    ) -> Conversation:
        """The dialogue of which `save` wrote the values; messages call it `name`.

        Raises OptionError if it is about another video, or about tokens that are no longer stored.
        """
        try:
            version, video, keys = values["version"], values["video"], dict(values["keys"])
            turns = [Turn.from_json(turn) for turn in values["turns"]]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OptionError(f"{name} is no dialogue: {error!r}") from error
        if version != _VERSION:
            raise OptionError(f"{name} has version {version} of dialogues; {_VERSION} can be read")
        if video != scope.record.id:
            raise OptionError(f"{name} is a dialogue about {video}, not about {scope.record.id}")
        conversation = Conversation(scope, answerer)
        for turn in turns:
            there = len(conversation._rows([turn])) == len(turn.evidence)
            if keys != dict(scope.record.keys) or not there:
                raise OptionError(
                    f"{name} shows tokens of {video} as it was indexed before; it was indexed anew"
                    " since: start a new dialogue"
                )
            conversation._remember(turn)
        return conversation

    def _complete(self, question: str) -> tuple[str, list[str]]:
        """A question in words that can be understood alone, and notes on how it got them."""
        check_unicode(question)
        if not self.turns:
            return question, []
        before = [turn.question for turn in self.turns]
        return stand_alone(question, before, self.turns[-1].complete, self.answerer)

    def _allowance(self) -> float:
        options = self.scope.options
        if not self.turns:
            return options.attention.budget
        return min(options.answer.follow_up, options.answer.dialogue - self.cost)

    def _evidence(self, question: str, new: float) -> Evidence:
        budget = self.scope.options.attention.budget
        return self._gather(self.scope, question, budget, shown=self._shown(), new=new)

    def _shrink(self, new: float, evidence: Evidence, error: ContextError) -> float:
        """Forget the oldest turn; where there is none, part of the budget."""
        if self._seen:
            del self._seen[0]
            return new
        rows = evidence.rows
        if len(rows) <= 1:
            raise error
        shown = int(self.scope.tokens.take(rows).where(lambda kind: kind.is_drawn).sum())
        most, spent = error.most_pictures, float(self._prices()[rows].sum())
        return spent * (most / shown if most and most < shown else 0.5)

    def _asked(
        self, question: str, rows: Int64, choices: Mapping[str, str] | None = None
    ) -> Message:
        """A question as the model gets it, with the evidence that is new."""
        shown = prompts.evidence(self.scope, self.scope.tokens.take(rows))
        words = prompts.ask(question, choices, self.scope.options.answer.by)
        return Message("user", (*shown, words))

    def _messages(self, question: str, rows: Int64, choices: Mapping[str, str]) -> list[Message]:
        messages = [prompts.system(self.scope, self.scope.tokens.video_ids[rows].tolist())]
        for turn in self._seen:
            if turn not in self._drawn:
                self._drawn[turn] = self._asked(turn.question, self._rows([turn]))
            messages += [self._drawn[turn], Message("assistant", (turn.answer or "",))]
        return [*messages, self._asked(question, rows, choices)]

    def _reply(
        self,
        question: str,
        rows: Int64,
        choices: Mapping[str, str],
        on_text: OnText | None = None,
    ) -> Reply | None:
        if self.answerer is None:
            return None
        prompt = self._messages(question, rows, choices)
        _log.debug("asking %s:\n%s", self.answerer.name, describe(prompt))
        if choices and self.scope.options.answer.by == "likelihood":
            return Reply(self.answerer.choose(prompt, list(choices)))
        return self.answerer.reply(prompt, on_text)

    def _answer(self, text: str | None, evidence: Evidence, choices: Mapping[str, str]) -> Answer:
        rows = self._in_time(np.union1d(self._shown(), evidence.rows))
        tokens = self.scope.tokens.take(rows)
        numbers = [self.scope.number(video) for video in tokens.video_ids.tolist()]
        cited, nothing = resolve(text or "", tokens, np.array(numbers, np.int64))
        choice = extract(text or "", choices) if choices else ""
        notes = [f"cites {span}, where nothing was shown" for span in nothing]
        if choices and text and not choice:
            notes.insert(0, "the answer chooses none of the options, or several")
        return Answer(
            text=None if text is None else str(text),
            evidence=tokens,
            relevance=evidence.relevance[rows],
            cited=cited,
            moments=evidence.moments,
            match=evidence.match,
            choice=choice,
            notes=(*self._said_of(text), *notes),
            cut=text.cut if isinstance(text, Reply) else "",
        )

    def _said_of(self, text: str | None) -> list[str]:
        """Notes on how an answer came about; a dialogue has each of them once."""
        if not isinstance(text, Reply):
            return []
        new = [note for note in text.notes if note not in self._noted]
        self._noted.update(new)
        return [*new, *([f"the answer is cut off: {text.cut}"] if text.cut else [])]

    def _verified(
        self,
        question: str,
        evidence: Evidence,
        answer: Answer,
        choices: Mapping[str, str],
    ) -> Answer:
        """The answer, with what the model says if it does not see what it cited."""
        cited = np.isin(self.scope.tokens.ids[evidence.rows], answer.evidence.ids[answer.cited])
        if not cited.any():
            note = "nothing to verify: the answer cites no evidence that it was shown for it"
            return replace(answer, notes=(*answer.notes, note))
        again = self._reply(question, evidence.rows[~cited], choices) or Reply("")
        changed = answer.choice != extract(again, choices) if choices else answer.text != again
        notes = [f"the second answer is cut off: {again.cut}"] if again.cut else []
        return replace(answer, without=str(again), changed=changed, notes=(*answer.notes, *notes))

    def _remember(self, turn: Turn) -> None:
        self._turns.append(turn)
        self._seen.append(turn)

    def _shown(self) -> Int64:
        """The rows of all evidence that the model still sees."""
        return self._rows(self._seen)

    def _rows(self, turns: Sequence[Turn]) -> Int64:
        ids = [name for turn in turns for name in turn.evidence]
        return self._in_time(np.flatnonzero(np.isin(self.scope.tokens.ids, ids)))

    def _in_time(self, rows: Int64) -> Int64:
        ordered: Int64 = rows[np.argsort(self.scope.start_s[rows], kind="stable")]
        return ordered

    def _ids(self, rows: Int64) -> tuple[str, ...]:
        return tuple(self.scope.tokens.ids[rows].tolist())

    def _prices(self) -> Float64:
        return costs(self.scope.tokens, self.scope.options.attention)


def stand_alone(
    question: str, before: Sequence[str], last: str, answerer: Answerer | None
) -> tuple[str, list[str]]:
    """A question in words that can be understood alone, and notes on how it got them.

    `before` are the questions before it, and `last` is the last of these in words that can be
    understood alone. The model rewrites a question that points back; without one its words do.
    """
    if not points_back(question):
        return question, []
    words = complete(question, last)
    if answerer is None:
        return words, []
    written = answerer.answer([prompts.rewrite([*before, question])])
    if written.cut:
        return words, [f"evidence is for {words!r}; the model's is cut off: {written.cut}"]
    return written, []
