"""What decides which tokens a video gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from seal.settings import check


@dataclass(frozen=True)
class VideoOptions:
    """The one decode pass that feeds every stage."""

    rate_hz: float = 5.0
    """Analysed frames per second; the first frame at or after each tick is taken as it is."""
    short_side_px: int = 256
    """Frames are scaled down until their short side has this size. Small frames are not scaled
    up."""
    part_s: float = 120.0
    """The video is indexed in equal parts of this length at most, each stored when done: what an
    interrupted run has to do again, and what parallel workers are handed. A part's end ends its
    tracklets."""
    max_duration_s: float | None = None
    """Stop after this much video; needed for live sources, which have no end."""
    timeout_s: float = 15.0
    """A URL or a camera that sends nothing for this long is an error."""
    image_rate_hz: float = 1.0
    """How many images of a directory are shown a second, counting those whose number is missing."""
    stream: int | None = None
    """Which video stream of a file with several to read, counted from 0. By default it is the one
    that the file marks as default, or else the one with the largest picture, and never a cover."""
    playlist: Literal["folder", "anywhere"] = "folder"
    """What a local playlist (.m3u8, .ffconcat) may read: files in its own folder and below, or
    files anywhere and addresses. What stands at an address is not part of the video's id."""
    address_query: Literal["identity", "ignored"] = "identity"
    """Whether addresses that differ after the question mark are different videos. Ignore this part
    where it holds a signature that is new each time."""

    def __post_init__(self) -> None:
        check(self, 0 < self.rate_hz <= 1000, "rate_hz must lie in (0, 1000]")
        check(self, self.short_side_px >= 16, "short_side_px must be at least 16")
        check(self, self.part_s >= 1, "part_s must be at least 1")
        limit = self.max_duration_s
        check(self, limit is None or limit > 0, "max_duration_s must be above 0")
        check(self, self.timeout_s > 0, "timeout_s must be above 0")
        check(self, 0 < self.image_rate_hz <= 1000, "image_rate_hz must lie in (0, 1000]")
        check(self, self.stream is None or self.stream >= 0, "stream must be at least 0")


@dataclass(frozen=True)
class SceneOptions:
    """Scene tokens: whole frames, uniformly sampled."""

    interval_s: float = 2.0
    """One frame every so often, used where `count` is not set."""
    count: int | None = None
    """N_scene of the paper: this many frames over the whole video, however long."""

    def __post_init__(self) -> None:
        check(self, self.interval_s > 0, "interval_s must be above 0")
        check(self, self.count is None or self.count >= 1, "count must be at least 1")


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
    """Larger regions are dropped unless they have a name."""
    duplicate_iou: float = 0.8
    """Of two boxes on one keyframe that overlap more, the less stable one is dropped."""

    def __post_init__(self) -> None:
        check(self, self.interval_s > 0, "interval_s must be above 0")
        check(self, self.max_per_keyframe >= 1, "max_per_keyframe must be at least 1")
        areas = 0 <= self.min_area < self.max_area <= 1
        check(self, areas, "min_area must be >= 0 and below max_area <= 1")
        check(self, 0 < self.duplicate_iou <= 1, "duplicate_iou must lie in (0, 1]")


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
        check(self, lengths, "min_length_s must be above 0 and below max_length_s")
        check(self, self.frames >= 1, "frames must be at least 1")


@dataclass(frozen=True)
class Instance:
    """Stands for a back end that was handed in as an object."""

    fingerprint: str
    """Identifies its algorithm and weights."""
    backend: str = "instance"


@dataclass(frozen=True)
class NetworkRun:
    """What all back ends that run networks of transformers have: where to, and how."""

    device: str = "auto"
    """ "auto" is the first CUDA, XPU or MPS device, else the CPU; "cpu", "cuda", "cuda:1", "xpu"
    and "mps" name one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """In which numbers products are computed. "auto" is float32 on the CPU and on MPS, and sixteen
    bits on the other devices: bfloat16 for masks and tracks, float16 for embeddings."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """The implementation in transformers; "auto" is sdpa where a network has it."""
    compile: bool = False
    """Compile the network that looks at pictures with torch.compile: it takes a minute or more when
    a process first uses it, and pays on long videos."""


@dataclass(frozen=True)
class NoDetect:
    """Nothing is named."""

    backend: ClassVar[str] = "none"


@dataclass(frozen=True)
class DetectOptions:
    """What all detectors have."""

    backend: ClassVar[str]
    min_score: float = 0.3
    """A find that is surer than this gives its thing a name; a less sure one only says where
    something may be."""

    def __post_init__(self) -> None:
        check(self, 0 < self.min_score <= 1, "min_score must lie in (0, 1]")


@dataclass(frozen=True)
class MiniDetect(DetectOptions):
    """The detector shipped in the wheel: CPU, nothing to download."""

    backend: ClassVar[str] = "mini"


@dataclass(frozen=True)
class YoloxDetect(DetectOptions):
    """An official YOLOX network (Ge et al. 2021) as an ONNX file."""

    backend: ClassVar[str] = "yolox"
    weights: str = ""
    """The path of the file."""


@dataclass(frozen=True)
class RfDetrDetect(NetworkRun, DetectOptions):
    """RF-DETR (Robinson et al. 2025) by transformers."""

    backend: ClassVar[str] = "rf-detr"
    weights: str = "Roboflow/rf-detr-nano"
    revision: str = "main"


@dataclass(frozen=True)
class MiniSegment:
    """What a detector finds, and regions of colour and texture that no find covers."""

    backend: ClassVar[str] = "mini"


@dataclass(frozen=True)
class ClassicalSegment:
    """Regions of colour and texture; CPU only, no weights."""

    backend: ClassVar[str] = "classical"


@dataclass(frozen=True)
class SamSegment(NetworkRun):
    """SAM, prompted with a grid of points (Kirillov et al. 2023, section 5)."""

    backend: ClassVar[str] = "sam"
    weights: str = "facebook/sam-vit-huge"
    revision: str = "main"
    points_per_side: int = 32
    points_per_batch: int = 64
    min_predicted_iou: float = 0.88
    """Masks that the model itself rates lower are dropped."""
    min_stability: float = 0.95
    """Masks that change more with the threshold are dropped; see `Masks.stability`."""

    def __post_init__(self) -> None:
        check(self, self.points_per_side >= 1, "points_per_side must be at least 1")
        check(self, self.points_per_batch >= 1, "points_per_batch must be at least 1")


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
class MiniTrack:
    """What a detector finds, linked over time, and what moves without a name."""

    backend: ClassVar[str] = "mini"
    every: int = 2
    """The detector looks at one of so many analysed frames while what is followed is found where it
    should be. It looks at one of the square of it while nothing is followed, and at each frame
    otherwise. Flow carries what it found on."""

    def __post_init__(self) -> None:
        check(self, self.every >= 1, "every must be at least 1")


@dataclass(frozen=True)
class MotionTrack:
    """What moves against the background once the camera's motion is taken out; no weights."""

    backend: ClassVar[str] = "motion"


@dataclass(frozen=True)
class Sam2Track(NetworkRun):
    """Masks of keyframes, propagated by SAM 2."""

    backend: ClassVar[str] = "sam2"
    weights: str = "facebook/sam2.1-hiera-tiny"
    revision: str = "main"
    frames_per_batch: int = 8
    """Analysed frames that the picture network takes at once; a live source is that much behind."""
    objects_per_batch: int = 8
    """Objects that are followed at once on one frame: memory is proportional to it."""
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
        check(self, self.frames_per_batch >= 1, "frames_per_batch must be at least 1")
        check(self, self.objects_per_batch >= 1, "objects_per_batch must be at least 1")
        check(self, self.prompt_interval_s > 0, "prompt_interval_s must be above 0")
        check(self, self.max_objects >= 1, "max_objects must be at least 1")
        areas = 0 <= self.min_area < self.max_area <= 1
        check(self, areas, "min_area must be >= 0 and below max_area <= 1")
        check(self, 0 <= self.new_coverage < 1, "new_coverage must lie in [0, 1)")
        check(self, 0 < self.duplicate_iou <= 1, "duplicate_iou must lie in (0, 1]")


@dataclass(frozen=True)
class Sam3Track(Sam2Track):
    """Masks of keyframes, propagated by the tracker of SAM 3."""

    backend: ClassVar[str] = "sam3"
    weights: str = "facebook/sam3"


@dataclass(frozen=True)
class MiniEncode:
    """The encoder shipped in the wheel: CPU, nothing to download."""

    backend: ClassVar[str] = "mini"


@dataclass(frozen=True)
class Blip2Encode(NetworkRun):
    """BLIP-2's image-text contrastive towers, the encoder of the paper."""

    backend: ClassVar[str] = "blip2"
    weights: str = "Salesforce/blip2-itm-vit-g"
    revision: str = "main"
    batch_size: int = 16

    def __post_init__(self) -> None:
        check(self, self.batch_size >= 1, "batch_size must be at least 1")


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
class NaflexEncode(SiglipEncode):
    """The two towers of SigLIP 2 with a picture size that follows the picture."""

    backend: ClassVar[str] = "naflex"
    weights: str = "google/siglip2-base-patch16-naflex"
    max_patches: int = 256
    """A picture is scaled, in its own proportions, until it has so many patches at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.max_patches >= 1, "max_patches must be at least 1")


@dataclass(frozen=True)
class MetaClip2Encode(ClipEncode):
    """The two towers of MetaCLIP 2, for many languages."""

    backend: ClassVar[str] = "metaclip2"
    weights: str = "facebook/metaclip-2-worldwide-huge-quickgelu"
