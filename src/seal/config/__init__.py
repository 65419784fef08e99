"""Frozen options, one class per stage, and three profiles that name the back ends.

Every default of the project stands in this package and nowhere else. A stage with several back ends
has one class for each, so that an option exists only where it does something.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from seal.config.answering import HfAnswer, NoAnswer, OpenAIAnswer, TuneOptions
from seal.config.grounding import DecodeOptions, HeadOptions, TrainOptions
from seal.config.indexing import (
    ActionOptions,
    Blip2Encode,
    ClassicalSegment,
    ClipEncode,
    MiniEncode,
    MotionTrack,
    ObjectOptions,
    Sam2Segment,
    Sam2Track,
    Sam3Segment,
    SamSegment,
    SceneOptions,
    SiglipEncode,
    VideoOptions,
)
from seal.config.querying import (
    OBJECTIVES_WITH,
    AttentionOptions,
    FindOptions,
    WatchOptions,
)
from seal.config.training import FitOptions
from seal.errors import OptionError
from seal.settings import parse, split

__all__ = [
    "PROFILES",
    "QUERY_STAGES",
    "STAGES",
    "ActionOptions",
    "AttentionOptions",
    "Blip2Encode",
    "ClassicalSegment",
    "ClipEncode",
    "DecodeOptions",
    "FindOptions",
    "FitOptions",
    "HeadOptions",
    "HfAnswer",
    "MiniEncode",
    "MotionTrack",
    "NoAnswer",
    "ObjectOptions",
    "OpenAIAnswer",
    "Options",
    "Sam2Segment",
    "Sam2Track",
    "Sam3Segment",
    "SamSegment",
    "SceneOptions",
    "SiglipEncode",
    "TrainOptions",
    "TuneOptions",
    "VideoOptions",
    "WatchOptions",
    "as_dict",
    "deciding",
    "digest",
    "for_query",
    "only",
]

_STAGES: dict[str, tuple[Any, ...]] = {
    "segment": (ClassicalSegment, SamSegment, Sam2Segment, Sam3Segment),
    "track": (MotionTrack, Sam2Track),
    "encode": (MiniEncode, Blip2Encode, ClipEncode, SiglipEncode),
    "answer": (NoAnswer, OpenAIAnswer, HfAnswer),
}

PROFILES: dict[str, dict[str, str]] = {
    "mini": {},
    "base": {
        "segment.backend": "sam2",
        "track.backend": "sam2",
        "encode.backend": "siglip",
        "video.short_side_px": "720",
    },
    "paper": {
        "segment.backend": "sam",
        "track.backend": "sam2",
        "track.weights": "facebook/sam2.1-hiera-large",
        "encode.backend": "blip2",
        "video.short_side_px": "720",
        "attention.objective": "paper",
        "answer.objective": "paper",
        "answer.alpha": "0.9",
    },
}
"""What a profile sets; everything else keeps its default."""


@dataclass(frozen=True)
class Options:
    """All options of a run."""

    profile: str = "mini"
    """What the others were taken from before settings changed them."""
    video: VideoOptions = field(default_factory=VideoOptions)
    scenes: SceneOptions = field(default_factory=SceneOptions)
    objects: ObjectOptions = field(default_factory=ObjectOptions)
    actions: ActionOptions = field(default_factory=ActionOptions)
    segment: ClassicalSegment | SamSegment = field(default_factory=ClassicalSegment)
    track: MotionTrack | Sam2Track = field(default_factory=MotionTrack)
    encode: MiniEncode | Blip2Encode = field(default_factory=MiniEncode)
    attention: AttentionOptions = field(default_factory=AttentionOptions)
    find: FindOptions = field(default_factory=FindOptions)
    answer: NoAnswer = field(default_factory=NoAnswer)

    @staticmethod
    def load(profile: str = "mini", settings: Iterable[str] | Mapping[str, str] = ()) -> Options:
        """The options of a profile, with settings such as "actions.min_length_s=0.5" on top.

        Raises OptionError, listing what is valid, for an unknown profile, key or back end, and for
        a value of the wrong type or out of range.
        """
        if profile not in PROFILES:
            raise OptionError(f"unknown profile {profile!r}; valid: {', '.join(PROFILES)}")
        if not isinstance(settings, Mapping):
            settings = dict(split(setting) for setting in settings)
        options = Options(profile=profile)
        for layer in (PROFILES[profile], settings):
            # A back end decides which keys its stage has, so it is set before them.
            for key in sorted(layer, key=lambda key: not key.endswith(".backend")):
                options = options._set(key, layer[key])
        return options

    def _set(self, key: str, value: str) -> Options:
        stage, _, name = key.partition(".")
        if stage not in STAGES:
            raise OptionError(f"unknown option {key!r}; valid: {', '.join(self.keys())}")
        if name == "backend" and stage in _STAGES:
            choices = {choice.backend: choice for choice in _STAGES[stage]}
            if value not in choices:
                raise OptionError(
                    f"unknown {stage} back end {value!r}; valid: {', '.join(choices)}"
                )
            chosen = choices[value]
            keep = type(getattr(self, stage)) is chosen
            return self if keep else dataclasses.replace(self, **{stage: chosen()})
        group = getattr(self, stage)
        hints = typing.get_type_hints(type(group))
        if name not in group.__dataclass_fields__:
            valid = [k for k in self.keys() if k.startswith(f"{stage}.")]
            raise OptionError(f"unknown option {key!r}; valid: {', '.join(valid)}")
        group = dataclasses.replace(group, **{name: parse(key, value, hints[name])})
        return dataclasses.replace(self, **{stage: group})

    def keys(self) -> list[str]:
        """Every key that can be set, given the back ends chosen."""
        keys = []
        for stage in STAGES:
            keys += [f"{stage}.backend"] if stage in _STAGES else []
            keys += [f"{stage}.{f.name}" for f in dataclasses.fields(getattr(self, stage))]
        return keys


STAGES = tuple(f.name for f in dataclasses.fields(Options) if f.name != "profile")
QUERY_STAGES = ("attention", "find", "answer")
"""The stages whose options a query may change; those of the others decide what is stored."""


def only(stages: Iterable[str], settings: Iterable[str], advice: str) -> list[str]:
    """`settings`, or OptionError with `advice` if one is of a stage not among `stages`."""
    stages, settings = tuple(stages), list(settings)
    for setting in settings:
        stage = setting.partition(".")[0]
        if stage in STAGES and stage not in stages:
            raise OptionError(f"{setting} has no effect here: {advice}")
    return settings


def for_query(profile: str, settings: Iterable[str]) -> Options:
    """The options of a query, which comes too late to decide how a video is indexed.

    Raises OptionError as `Options.load` does, and for a setting that would have no effect.
    """
    settings = only(QUERY_STAGES, settings, "it decides how a video is indexed; run `seal index`")
    return effective(Options.load(profile, settings), settings)


def effective(options: Options, settings: Iterable[str]) -> Options:
    """`options`, or OptionError if one of the `settings` in them is not of the objective chosen."""
    chosen = options.attention.objective
    for setting in settings:
        stage, _, name = split(setting)[0].partition(".")
        having = OBJECTIVES_WITH.get(name, ()) if stage == "attention" else ()
        if having and chosen not in having:
            raise OptionError(
                f"{setting} has no effect on the objective {chosen};"
                f" it is for attention.objective={' or '.join(having)}"
            )
    return options


def as_dict(group: Any) -> dict[str, Any]:
    """One stage's options as plain values, its back end included."""
    values = dataclasses.asdict(group)
    return {"backend": group.backend, **values} if hasattr(group, "backend") else values


# What changes how fast and where tokens are made, but not which.
_WITHOUT_EFFECT = frozenset({"batch_size", "device", "points_per_batch", "timeout_s"})


def deciding(group: Any) -> dict[str, Any]:
    """The options of a stage that decide what it makes."""
    return {key: value for key, value in as_dict(group).items() if key not in _WITHOUT_EFFECT}


def digest(*values: Any) -> str:
    """A short stable hash of JSON-able values: part of the key under which tokens are stored."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()
