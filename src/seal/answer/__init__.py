"""Questions about a video, answered by a multimodal model from selected tokens, with evidence.

answerer = load(scope.options.answer)                       # or None: evidence alone
answer = ask(scope, "Why does the bird fly away?", answerer)

intent        what the question is about, when to look, whether it asks why
evidence      the tokens that are worth showing for it, within the budget
prompt        their pictures and times, and the question
answerer      the model's interface
thoughts      what a model thinks before it answers, taken off
fitting       prompts and pictures as a model takes them
endpoint      a model behind an OpenAI-compatible endpoint
replies       what its server sends as an answer
complaints    what its server says in place of an answer
local         a model on this machine
processor     what its network reads: a prompt in tensors
adapter       the few weights that training adds to it
citations     the times that the answer cites, and what was shown there
letters       which of several options the answer chooses
conversation  the questions that follow
standing      the questions that stand while a stream runs
lessons       what a local model learns from
train         how it learns
"""

from __future__ import annotations

from seal.answer.answerer import Answerer, Ending, OnText, Reply, load
from seal.answer.conversation import Conversation, Dialogue
from seal.answer.prompt import Message, Prompt, describe
from seal.arguments import Choices
from seal.results import Answer
from seal.scope import Scope

__all__ = [
    "Answerer",
    "Conversation",
    "Dialogue",
    "Ending",
    "Message",
    "OnText",
    "Prompt",
    "Reply",
    "ask",
    "describe",
    "load",
]


def ask(
    scope: Scope,
    question: str,
    answerer: Answerer | None = None,
    *,
    choices: Choices | None = None,
    verify: bool = False,
    on_text: OnText | None = None,
) -> Answer:
    """The answer to a single question: see `Conversation.ask`."""
    conversation = Conversation(scope, answerer)
    return conversation.ask(question, choices=choices, verify=verify, on_text=on_text)
