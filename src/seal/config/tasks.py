"""What each task reads of the options, and where its defaults differ from those of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from seal.settings import split

INDEX_STAGES = (
    *("video", "scenes", "objects", "actions", "detect", "segment", "track", "encode"),
    *("subtitles", "speech", "transcribe", "text", "read", "meaning"),
)
"""The stages whose options decide which tokens a video gets."""
MODEL_STAGES = (
    *("detect", "segment", "track", "encode", "transcribe", "read", "meaning", "answer"),
)
"""The stages of `Options` whose back ends are models (`seal.backends`)."""
BACKEND_STAGES = (*MODEL_STAGES, "engine")
"""The stages of `Options` that have several back ends."""


@dataclass(frozen=True)
class Task:
    """A task reads whole stages of the options, or single keys."""

    reads: tuple[str, ...]
    advice: str
    """What an error about an option that the task does not read says to do."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What differs from the defaults; a profile and the user come after them."""
    ignores: tuple[str, ...] = ()
    """Keys of the stages read that have no effect all the same."""

    def unread(self, setting: str, stages: Iterable[str]) -> str:
        """Why this task does not read a setting of one of the `stages`; "" if it does."""
        key = split(setting)[0]
        stage = key.partition(".")[0]
        read = (stage in self.reads or key in self.reads) and key not in self.ignores
        return (
            f"{setting} has no effect here: {self.advice}" if stage in stages and not read else ""
        )


_STREAMED = ("attention.memory",)
# A question is about one thing: its evidence need not stand for the rest of the video, and what
# shows the same thing twice is paid for twice.
_ABOUT_ONE_THING = {"attention.objective": "normalised", "attention.alpha": "0.7"}


def _query(*reads: str, settings: Mapping[str, str] | None = None) -> Task:
    advice = f"{' and '.join(reads)} can be set; `seal index` takes options that decide the tokens"
    return Task(reads, advice, settings or {}, _STREAMED)


TASKS = {
    "index": Task(
        (*INDEX_STAGES, "engine"), "it belongs to a query, such as `seal find` or `seal ask`"
    ),
    "select": _query("attention", "find.min_probability", "find.unsure_probability"),
    "find": _query("find", "head"),
    "find all": _query("find", "head", "attention.candidates"),
    "show": _query("attention", "find", "head"),
    "ask": _query("attention", "find", "head", "answer", settings=_ABOUT_ONE_THING),
    "prepare": Task(
        (
            "find.head",
            *(
                f"{stage}.{key}"
                for stage in MODEL_STAGES
                for key in ("backend", "weights", "model", "revision")
            ),
        ),
        "it does not change which models are needed",
    ),
    "watch": Task(
        # A stream keeps no second embedding of what is said.
        (
            *(stage for stage in INDEX_STAGES if stage != "meaning"),
            *("attention", "answer", "find.min_probability", "find.unsure_probability"),
        ),
        "options of indexing (not meaning: the words of a stream are compared by the encoder"
        " alone), of attention and of prompts can be set; its budget is --budget",
        # A stream cannot look back for what a question says of time and cause.
        ignores=(
            "attention.budget",
            *(f"answer.{key}" for key in ("intent", "cause_share", "cause_s")),
            *(f"answer.{key}" for key in ("follow_up", "dialogue", "together", "choice")),
        ),
    ),
}
"""By name; commands, methods of the library and benchmarks that do the same are one task."""
