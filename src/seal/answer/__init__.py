"""Questions about a video, answered by a multimodal model from selected tokens, with evidence.

answerer = load(scope.options.answer)                       # or None: evidence alone
answer = ask(scope, "Why does the bird fly away?", answerer)

intent        what the question is about, when to look, whether it asks why
evidence      the tokens that are worth showing for it, within the budget
prompt        their pictures and times, and the question
answerer      the model's interface
endpoint      a model behind an OpenAI-compatible endpoint
local         a model on this machine
processor     what its network reads: a prompt in tensors
adapter       the few weights that training adds to it
citations     the times that the answer cites, and what was shown there
letters       which of several options the answer chooses
conversation  the questions that follow
lessons       what a local model learns from
train         how it learns
"""

from __future__ import annotations

from collections.abc import Mapping

from seal.answer.answerer import Answerer, load
from seal.answer.conversation import Conversation, OnText
from seal.answer.prompt import Message, Prompt, describe
from seal.results import Answer
from seal.scope import Scope

__all__ = [
    "Answerer",
    "Conversation",
    "Message",
    "OnText",
    "Prompt",
    "ask",
    "describe",
    "load",
]


def ask(
    scope: Scope,
    question: str,
    answerer: Answerer | None = None,
    *,
    options: Mapping[str, str] | None = None,
    verify: bool = False,
    on_text: OnText | None = None,
) -> Answer:
    """The answer to a single question: see `Conversation.ask`."""
    conversation = Conversation(scope, answerer)
    return conversation.ask(question, options=options, verify=verify, on_text=on_text)
