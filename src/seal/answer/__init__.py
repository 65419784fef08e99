"""Questions about a video, answered by a multimodal model from selected tokens, with evidence.

answerer = load(video.options.answer)
answer = ask(video, "Why does the bird fly away?", answerer)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from seal.answer import prompt as prompts
from seal.answer.answerer import Answerer, load
from seal.answer.citations import resolve
from seal.answer.evidence import Evidence, gather
from seal.answer.letters import extract
from seal.answer.prompt import Message, Prompt, describe
from seal.clock import span_clock
from seal.errors import ContextError
from seal.query import IndexedVideo
from seal.types import Answer, Int64

__all__ = [
    "Answerer",
    "Evidence",
    "OnText",
    "Prompt",
    "ask",
    "describe",
    "gather",
    "load",
    "prompt_for",
    "reply",
]

OnText = Callable[[str], None]
"""Is handed the answer piece by piece as it is written."""

_log = logging.getLogger("seal.answer")


def ask(
    video: IndexedVideo,
    question: str,
    answerer: Answerer | None = None,
    *,
    options: Mapping[str, str] | None = None,
    verify: bool = False,
    on_text: OnText | None = None,
) -> Answer:
    """The answer to a question, with the evidence it is from; without a model, the evidence.

    `options` are those of a multiple-choice question, by letter. `verify` asks again without the
    evidence that the answer cites. If the prompt is too long for the model, it is asked with half
    of the budget, and the answer's notes say so.

    Raises OptionError for an empty question, AnswerError if the model fails.
    """
    attention, notes = video.options.attention, []
    while True:
        evidence = gather(video, question, attention)
        try:
            answer = reply(video, question, evidence, answerer, options=options, on_text=on_text)
            break
        except ContextError as error:
            if len(evidence.rows) <= 1:
                raise
            spent = min(attention.budget, len(evidence.rows))
            attention = replace(attention, budget=max(1, spent // 2))
            notes.append(f"asked again with a budget of {attention.budget}: {error}")
    answer = replace(answer, notes=(*notes, *answer.notes))
    return _verified(video, question, evidence, answer, answerer, options) if verify else answer


def prompt_for(
    video: IndexedVideo,
    question: str,
    rows: Int64,
    options: Mapping[str, str] | None = None,
    history: Sequence[Message] = (),
) -> list[Message]:
    """The prompt that asks a question and shows these rows of the video's tokens, in order."""
    by = getattr(video.options.answer, "choice", "letter")
    shown = prompts.evidence(video, video.tokens.take(rows))
    asked = Message("user", (*shown, prompts.ask(question, options, by)))
    return [*(history or [prompts.system(video)]), asked]


def reply(
    video: IndexedVideo,
    question: str,
    evidence: Evidence,
    answerer: Answerer | None,
    *,
    options: Mapping[str, str] | None = None,
    history: Sequence[Message] = (),
    shown: Int64 | None = None,
    on_text: OnText | None = None,
) -> Answer:
    """The answer from this evidence, and from what `history` has `shown` before."""
    rows = evidence.rows if shown is None else np.union1d(shown, evidence.rows)
    rows = rows[np.argsort(video.tokens.start_s[rows], kind="stable")]
    tokens = video.tokens.take(rows)
    text, choice = None, ""
    if answerer is not None:
        prompt = prompt_for(video, question, evidence.rows, options, history)
        _log.debug("asking %s:\n%s", answerer.name, describe(prompt))
        if options and getattr(video.options.answer, "choice", "") == "likelihood":
            text = choice = answerer.choose(prompt, list(options))
        else:
            text = _streamed(answerer, prompt, on_text)
            choice = extract(text, options) if options else ""
    cited, nothing = resolve(text or "", tokens)
    return Answer(
        text=text,
        tokens=tokens,
        relevance=evidence.relevance[rows],
        cited=cited,
        moments=evidence.moments,
        choice=choice,
        notes=tuple(f"cites {span_clock(*span)}, where nothing was shown" for span in nothing),
    )


def _streamed(answerer: Answerer, prompt: Prompt, on_text: OnText | None) -> str:
    pieces = []
    for piece in answerer.stream(prompt):
        pieces.append(piece)
        if on_text is not None:
            on_text(piece)
    return "".join(pieces).strip()


def _verified(
    video: IndexedVideo,
    question: str,
    evidence: Evidence,
    answer: Answer,
    answerer: Answerer | None,
    options: Mapping[str, str] | None,
) -> Answer:
    """The answer, with what the model says if it does not see what it cited."""
    if answerer is None or not len(answer.cited):
        note = "nothing to verify: the answer cites nothing that was shown"
        return replace(answer, notes=(*answer.notes, note))
    rest = evidence._replace(rows=np.delete(evidence.rows, answer.cited))
    again = reply(video, question, rest, answerer, options=options)
    before, after = (answer.choice, again.choice) if options else (answer.text, again.text)
    return replace(answer, without=again.text, changed=before != after)
