"""What indexing a video again takes away from it, said before the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from seal import backends, kinds
from seal.config import Options
from seal.kinds import SPEECH, TEXT
from seal.store import VideoRecord

_MADE_BY: Final = {SPEECH.name: ("transcribe", "read"), TEXT.name: ("read",)}
"""The stages without which a kind has no tokens; subtitles that are pictures are read as well."""


def losses(
    known: VideoRecord, counts: Mapping[str, int], keys: Mapping[str, str], options: Options
) -> tuple[str, ...]:
    """A sentence for each kind of which the stored video has tokens and will have none, and one for
    second vectors of its sentences that it will no longer have.

    `counts` is kind -> number of its tokens now; `keys` has the kinds that it will have.
    """
    found = []
    for name in sorted(counts.keys() - keys.keys()):
        stages = [stage for stage in _MADE_BY.get(name, ()) if _is_off(stage, known, options)]
        reason = "; ".join(_reason(stage, known) for stage in stages)
        if not reason and name in kinds.heard():
            reason = "the subtitles that they were made from are not there any more"
        if counts[name]:
            found.append(f"{counts[name]} {name} tokens are removed{reason and f': {reason}'}")
    stay = keys.keys() & counts.keys() & set(kinds.worded())
    if stay and _is_off("meaning", known, options):
        found.append(f"its sentences lose their second vectors: {_reason('meaning', known)}")
    return tuple(found)


def _is_off(stage: str, known: VideoRecord, options: Options) -> bool:
    """Whether a stage had a back end and has none now."""
    before, now = _kept(stage, known).get("backend", "none"), getattr(options, stage).backend
    return bool(before != "none" and now == "none")


def _kept(stage: str, known: VideoRecord) -> Mapping[str, Any]:
    kept = known.options.get(stage)
    return kept if isinstance(kept, Mapping) else {}


def _reason(stage: str, known: VideoRecord) -> str:
    """What they were made with, and how to keep them."""
    kept = _kept(stage, known)
    if kept["backend"] not in backends.names(stage):
        return "they were made with an object that a program handed in, or by a package of its own"
    usual = backends.default_options(stage, kept["backend"])
    settings = [f"{stage}.backend={kept['backend']}"] + [
        f"{stage}.{field.name}={kept[field.name]}"
        for field in fields(usual)
        if field.name in kept and kept[field.name] != getattr(usual, field.name)
    ]
    again = " ".join(f"--set {setting}" for setting in settings)
    return f"they were made with {', '.join(settings)}; add {again} to keep them"
