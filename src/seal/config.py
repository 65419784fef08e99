"""Frozen options, one class per stage, and three profiles that name the back ends.

Every default of the project stands in this file and nowhere else. A stage with several back ends
has one class for each, so that an option exists only where it does something.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar, Literal

from seal.errors import OptionError
from seal.settings import parse, split


def _check(group: object, condition: bool, rule: str) -> None:
    """Raise OptionError unless `condition`; `rule` begins with the name of an option."""
    if not condition:
        value = getattr(group, rule.split()[0])
        raise OptionError(f"{rule}; got {value}")


@dataclass(frozen=True)
class VideoOptions:
    """The one decode pass that feeds every stage."""

    rate_hz: float = 5.0
    """Analysed frames per second; the first frame at or after each tick is taken as it is."""
    short_side_px: int = 256
    """Frames are scaled down until their short side has this size; never up."""
    part_s: float = 120.0
    """The video is indexed in equal parts of this length at most, each stored when done: what an
    interrupted run has to do again, and what parallel workers are handed. A part's end ends its
    tracklets."""
    max_duration_s: float | None = None
    """Stop after this much video; needed for live sources, which have no end."""
    timeout_s: float = 15.0
    """A URL or a camera that sends nothing for this long is an error."""
    image_rate_hz: float = 1.0
    """How many images of a directory are shown a second."""

    def __post_init__(self) -> None:
        _check(self, 0 < self.rate_hz <= 1000, "rate_hz must lie in (0, 1000]")
        _check(self, self.short_side_px >= 16, "short_side_px must be at least 16")
        _check(self, self.part_s >= 1, "part_s must be at least 1")
        limit = self.max_duration_s
        _check(self, limit is None or limit > 0, "max_duration_s must be above 0")
        _check(self, self.timeout_s > 0, "timeout_s must be above 0")
        _check(self, 0 < self.image_rate_hz <= 1000, "image_rate_hz must lie in (0, 1000]")


@dataclass(frozen=True)
class SceneOptions:
    """Scene tokens: whole frames, uniformly sampled."""

    interval_s: float = 2.0
    """One frame every so often, used where `count` is not set."""
    count: int | None = None
    """N_scene of the paper: this many frames over the whole video, however long."""

    def __post_init__(self) -> None:
        _check(self, self.interval_s > 0, "interval_s must be above 0")
        _check(self, self.count is None or self.count >= 1, "count must be at least 1")


@dataclass(frozen=True)
class ObjectOptions:
    """Object tokens: what a segmenter finds on keyframes."""

    keyframes: Literal["interval", "codec", "shot"] = "interval"
    """A keyframe every `interval_s`; or where the codec has one; or at the start of each shot. The
    latter two at most one every `interval_s`."""
    interval_s: float = 2.0
    max_per_keyframe: int = 8
    """The most stable ones are kept."""
    min_area: float = 0.004
    """Smaller regions are dropped; a share of the picture."""
    max_area: float = 0.7
    duplicate_iou: float = 0.8
    """Of two boxes on one keyframe that overlap more, the less stable one is dropped."""

    def __post_init__(self) -> None:
        _check(self, self.interval_s > 0, "interval_s must be above 0")
        _check(self, self.max_per_keyframe >= 1, "max_per_keyframe must be at least 1")
        areas = 0 <= self.min_area < self.max_area <= 1
        _check(self, areas, "min_area must be >= 0 and below max_area <= 1")
        _check(self, 0 < self.duplicate_iou <= 1, "duplicate_iou must lie in (0, 1]")


@dataclass(frozen=True)
class ActionOptions:
    """Action tokens: what a tracker follows."""

    min_length_s: float = 0.8
    """L_min of the paper: shorter tracklets are dropped."""
    max_length_s: float = 10.0
    """L_max of the paper: longer tracklets are split into equal pieces."""
    frames: int = 4
    """An action token's embedding is the mean over this many frames of its crop."""

    def __post_init__(self) -> None:
        lengths = 0 < self.min_length_s < self.max_length_s
        _check(self, lengths, "min_length_s must be above 0 and below max_length_s")
        _check(self, self.frames >= 1, "frames must be at least 1")


@dataclass(frozen=True)
class ClassicalSegment:
    """Regions of colour and texture; CPU only, no weights."""

    backend: ClassVar[str] = "classical"


@dataclass(frozen=True)
class SamSegment:
    """SAM, prompted with a grid of points (Kirillov et al. 2023, section 5)."""

    backend: ClassVar[str] = "sam"
    weights: str = "facebook/sam-vit-huge"
    revision: str = "main"
    device: str = "auto"
    points_per_side: int = 32
    points_per_batch: int = 64
    min_predicted_iou: float = 0.88
    """Masks that the model itself rates lower are dropped."""
    min_stability: float = 0.95
    """Masks that change more with the threshold are dropped; see `Masks.stability`."""

    def __post_init__(self) -> None:
        _check(self, self.points_per_side >= 1, "points_per_side must be at least 1")
        _check(self, self.points_per_batch >= 1, "points_per_batch must be at least 1")


@dataclass(frozen=True)
class Sam2Segment(SamSegment):
    """SAM 2 as an image model."""

    backend: ClassVar[str] = "sam2"
    weights: str = "facebook/sam2.1-hiera-tiny"
    min_predicted_iou: float = 0.8


@dataclass(frozen=True)
class Sam3Segment(SamSegment):
    """The tracker model of SAM 3, which takes point prompts, as an image model."""

    backend: ClassVar[str] = "sam3"
    weights: str = "facebook/sam3"


@dataclass(frozen=True)
class MotionTrack:
    """What moves against the background once the camera's motion is taken out; no weights."""

    backend: ClassVar[str] = "motion"


@dataclass(frozen=True)
class Sam2Track:
    """Masks of keyframes, propagated by SAM 2."""

    backend: ClassVar[str] = "sam2"
    weights: str = "facebook/sam2.1-hiera-tiny"
    revision: str = "main"
    device: str = "auto"
    chunk_frames: int = 40
    """After so many frames the network's memory is dropped and the last masks prompt it anew;
    memory is proportional to it."""
    prompt_interval_s: float = 2.0
    """New objects are looked for this often; what is out of sight then has ended."""
    max_objects: int = 16
    """Followed at once, the largest first; time and memory are proportional to it."""
    min_area: float = 0.004
    """Smaller masks are not followed; a share of the picture."""
    max_area: float = 0.7
    new_coverage: float = 0.5
    """A mask is a new object if no more than this share of it is followed already."""
    duplicate_iou: float = 0.8
    """Of two objects whose masks overlap more, the younger one has ended."""

    def __post_init__(self) -> None:
        _check(self, self.chunk_frames >= 2, "chunk_frames must be at least 2")
        _check(self, self.prompt_interval_s > 0, "prompt_interval_s must be above 0")
        _check(self, self.max_objects >= 1, "max_objects must be at least 1")
        areas = 0 <= self.min_area < self.max_area <= 1
        _check(self, areas, "min_area must be >= 0 and below max_area <= 1")
        _check(self, 0 <= self.new_coverage < 1, "new_coverage must lie in [0, 1)")
        _check(self, 0 < self.duplicate_iou <= 1, "duplicate_iou must lie in (0, 1]")


@dataclass(frozen=True)
class MiniEncode:
    """The encoder shipped in the wheel: CPU, nothing to download."""

    backend: ClassVar[str] = "mini"


@dataclass(frozen=True)
class Blip2Encode:
    """BLIP-2's image-text contrastive towers, the encoder of the paper."""

    backend: ClassVar[str] = "blip2"
    weights: str = "Salesforce/blip2-itm-vit-g"
    revision: str = "main"
    device: str = "auto"
    batch_size: int = 16

    def __post_init__(self) -> None:
        _check(self, self.batch_size >= 1, "batch_size must be at least 1")


@dataclass(frozen=True)
class ClipEncode(Blip2Encode):
    """CLIP's two towers."""

    backend: ClassVar[str] = "clip"
    weights: str = "openai/clip-vit-large-patch14"
    """Not clip-vit-base-patch32, which the hub holds as pickles only."""


@dataclass(frozen=True)
class SiglipEncode(Blip2Encode):
    """The two towers of SigLIP or SigLIP 2 with a fixed picture size."""

    backend: ClassVar[str] = "siglip"
    weights: str = "google/siglip2-base-patch16-224"


@dataclass(frozen=True)
class AttentionOptions:
    """Which tokens a query gets (section 3.2)."""

    budget: int = 16
    """How many tokens are selected (|T_s|)."""
    objective: str = "normalised"
    solver: str = "swaps"
    alpha: float = 0.9
    """The weight of relevance against diversity, in [0, 1]; the paper's value."""
    s_min: float = 0.5
    """Similarities are clipped to [s_min, 1] before 1/S, which explodes at 0 and turns negative
    below it. So 1/S lies in [1, 2]: tokens less alike than this are different enough, and none is
    chosen for being odd."""
    focus: float = 0.45
    """Coverage: the share of the weight that goes to what has to do with the query, however much or
    little of the video that is; the rest goes to all tokens alike."""
    certainty: float = 4.0
    """Coverage: the power of relevance; the higher, the less a token counts that has only something
    to do with the query."""
    own: float = 0.05
    """Coverage: the weight of the relevance of the chosen against what they stand for."""
    sharpness: float = 2.0
    """Coverage: the power of similarity; the higher, the less a token stands for unlike ones."""
    near: float = 0.2
    """Coverage: how much less a token stands for one of another time, in [0, 1]."""
    near_s: float = 50.0
    """Coverage: after this long that share has fallen to 1/e."""
    candidates: int = 4096
    """Over all videos of a store: the choice is made among so many, the most relevant."""
    memory: int = 1024
    """Streaming: how many tokens of what has left the window are remembered, as a sample of it."""
    improve_s: float = 0.05
    """How long the solver `swaps` may go on after its greedy start; a machine under load may then
    choose otherwise."""
    certify_s: float = 0.0
    """How long the bound may be tightened beyond what costs little."""

    def __post_init__(self) -> None:
        _check(self, self.budget >= 1, "budget must be at least 1")
        _check(self, 0 <= self.alpha <= 1, "alpha must lie in [0, 1]")
        _check(self, 0 < self.s_min <= 1, "s_min must lie in (0, 1]")
        _check(self, 0 <= self.focus <= 1, "focus must lie in [0, 1]")
        _check(self, self.certainty > 0, "certainty must be above 0")
        _check(self, 0 <= self.own <= 1, "own must lie in [0, 1]")
        _check(self, self.sharpness > 0, "sharpness must be above 0")
        _check(self, 0 <= self.near <= 1, "near must lie in [0, 1]")
        _check(self, self.near_s > 0, "near_s must be above 0")
        _check(self, self.candidates >= 1, "candidates must be at least 1")
        _check(self, self.memory >= 1, "memory must be at least 1")
        _check(self, self.improve_s >= 0, "improve_s must be at least 0")
        _check(self, self.certify_s >= 0, "certify_s must be at least 0")


@dataclass(frozen=True)
class FindOptions:
    """From the relevance of tokens over time to moments, without training."""

    top: int = 5
    """How many moments are returned at most."""
    smoothing_s: float = 2.0
    """Standard deviation of the Gaussian that spreads a token's relevance over time."""
    min_probability: float = 0.5
    """A video matches a query from this probability on."""

    def __post_init__(self) -> None:
        _check(self, self.top >= 1, "top must be at least 1")
        _check(self, self.smoothing_s > 0, "smoothing_s must be above 0")
        _check(self, 0 <= self.min_probability <= 1, "min_probability must lie in [0, 1]")


@dataclass(frozen=True)
class WatchOptions:
    """Streaming mode: how a source is watched, whatever its tokens are made with."""

    window_s: float = 60.0
    """Tokens are made and chosen from so much at a time; memory is proportional to it. A window's
    end ends its tracklets."""
    budget: int = 64
    """How many tokens are kept for each query."""
    give_up_s: float = 300.0
    """A source that is lost is tried again for so long."""

    def __post_init__(self) -> None:
        _check(self, 1 <= self.window_s < math.inf, "window_s must be at least 1")
        _check(self, self.budget >= 1, "budget must be at least 1")
        _check(self, self.give_up_s >= 0, "give_up_s must be at least 0")


_STAGES: dict[str, tuple[Any, ...]] = {
    "segment": (ClassicalSegment, SamSegment, Sam2Segment, Sam3Segment),
    "track": (MotionTrack, Sam2Track),
    "encode": (MiniEncode, Blip2Encode, ClipEncode, SiglipEncode),
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
QUERY_STAGES = ("attention", "find")
"""The stages whose options a query may change; those of the others decide what is stored."""


def only(stages: Iterable[str], settings: Iterable[str], advice: str) -> list[str]:
    """`settings`, or OptionError with `advice` if one is of a stage not among `stages`."""
    stages, settings = tuple(stages), list(settings)
    for setting in settings:
        stage = setting.partition(".")[0]
        if stage in STAGES and stage not in stages:
            raise OptionError(f"{setting} has no effect here: {advice}")
    return settings


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
