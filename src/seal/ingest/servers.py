"""Model servers: actors of Ray that hold the weights of back ends with a device.

A part is worked on by a task that decodes and does the classical work. For a model on a device the
task has a stand-in (`RemoteEncoder` and its like), which sends a batch to a server and waits for
the answer. Each part holds a *slot* of one server. A server answers one call at a time, so that the
calls that wait for a server are as many as its slots at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seal import track
from seal.config import NoMeaning, NoRead, NoTranscribe, Options
from seal.decompose import Instances, Models
from seal.detect import Detections, Detector
from seal.encode import Encoder
from seal.errors import BackendError
from seal.segment import Masks, Segmenter
from seal.track import Tracker, Tracklet
from seal.types import Float32, UInt8
from seal.video import Frame
from seal.words import Transcriber, Transcript

_ATTRIBUTES = (
    *("fingerprint", "dimension", "facets", "uses_segmenter", "uses_detector"),
    *("names", "min_score", "rate_hz"),
)
"""What a stand-in has of its model, where the model has it."""

About = Mapping[str, Mapping[str, Any]]
"""stage -> attribute -> value."""


class LostServerError(BackendError):
    """A model server has died, or was started anew since a part began."""


class ModelServer:
    """The models of some stages, in a process of its own."""

    def __init__(self, options: Options, stages: Sequence[str]) -> None:
        for stage, nothing in {
            "transcribe": NoTranscribe(),
            "read": NoRead(),
            "meaning": NoMeaning(),
        }.items():
            if stage not in stages:
                options = options.replace(stage, nothing)
        self._options, self._models = options, Models.load(options)
        self._by_stage = {stage: getattr(self._models, _MODEL[stage]) for stage in stages}
        self._holders: dict[int, str] = {}
        self._trackers: dict[int, Tracker] = {}

    def about(self) -> About:
        """What the stand-ins have to know."""
        return {
            stage: {name: getattr(model, name) for name in _ATTRIBUTES if hasattr(model, name)}
            for stage, model in self._by_stage.items()
        }

    def begin(self, slot: int, holder: str) -> None:
        """A slot belongs to a part from now on."""
        self._holders[slot] = holder
        if slot in self._trackers:
            # The part before may have died in the middle of a shot.
            self._trackers[slot].end()

    def call(self, slot: int, holder: str, stage: str, method: str, values: tuple[Any, ...]) -> Any:
        """What a method of a model returns."""
        if self._holders.get(slot) != holder:
            raise LostServerError("its slot belongs to another part")
        model = self._tracker(slot) if stage == "track" else self._by_stage[stage]
        return getattr(model, method)(*values)

    def _tracker(self, slot: int) -> Tracker:
        """A tracker follows one video at a time."""
        if slot not in self._trackers:
            models, is_first = self._models, not self._trackers
            self._trackers[slot] = (
                models.tracker
                if is_first
                else track.load(self._options.track, models.segmenter, models.detector)
            )
        return self._trackers[slot]


_MODEL = {
    "detect": "detector",
    "segment": "segmenter",
    "track": "tracker",
    "encode": "encoder",
    "transcribe": "transcriber",
}
"""stage -> the name of its model in `Models` and `Instances`."""


def stages_with_device(options: Options) -> tuple[str, ...]:
    """The stages whose back ends run on a device. An object that was handed in has no device."""
    return tuple(stage for stage in _MODEL if hasattr(getattr(options, stage), "device"))


@dataclass
class ServerLine:
    """The way from the stand-ins of one process to their server."""

    server: Any = None
    slot: int = 0
    holder: str = ""

    def connect(self, server: Any, slot: int, holder: str) -> None:
        """From now on a slot of this server is used. Raises LostServerError."""
        self.server, self.slot, self.holder = server, slot, holder
        self._get(server.begin.remote(slot, holder))

    def call(self, stage: str, method: str, *values: Any) -> Any:
        """Raises what the method raises, and LostServerError."""
        return self._get(self.server.call.remote(self.slot, self.holder, stage, method, values))

    def _get(self, promised: Any) -> Any:
        import ray

        try:
            return ray.get(promised)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            raise LostServerError(f"its model server died ({type(error).__name__})") from error


class _StandIn:
    def __init__(self, line: ServerLine, stage: str, about: Mapping[str, Any]) -> None:
        self._line, self._stage = line, stage
        for name, value in about.items():
            setattr(self, name, value)

    def _call(self, method: str, *values: Any) -> Any:
        return self._line.call(self._stage, method, *values)


class RemoteDetector(_StandIn, Detector):
    """A detector in a model server."""

    def detect(self, image: UInt8) -> Detections:
        found: Detections = self._call("detect", image)
        return found

    def glance(self, image: UInt8) -> Detections:
        found: Detections = self._call("glance", image)
        return found


class RemoteSegmenter(_StandIn, Segmenter):
    """A segmenter in a model server."""

    def segment(self, image: UInt8) -> Masks:
        masks: Masks = self._call("segment", image)
        return masks


class RemoteTracker(_StandIn, Tracker):
    """A tracker in a model server, which has one for each slot."""

    def push(self, frame: Frame) -> list[Tracklet]:
        ended: list[Tracklet] = self._call("push", _portable(frame))
        return ended

    def end(self) -> list[Tracklet]:
        ended: list[Tracklet] = self._call("end")
        return ended


def _portable(frame: Frame) -> Frame:
    """A frame without the decoded pictures that it holds."""
    return replace(frame, between=list(frame.between), enlarge=None)


class RemoteEncoder(_StandIn, Encoder):
    """An encoder in a model server."""

    def encode_images(self, images: Sequence[UInt8]) -> Float32:
        vectors: Float32 = self._call("encode_images", list(images))
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        vectors: Float32 = self._call("encode_texts", list(texts))
        return vectors


class RemoteTranscriber(_StandIn, Transcriber):
    """A transcriber in a model server."""

    def transcribe(self, sound: Float32, language: str | None = None) -> Transcript:
        words: Transcript = self._call("transcribe", sound, language)
        return words


_STAND_INS: dict[str, type[_StandIn]] = {
    "detect": RemoteDetector,
    "segment": RemoteSegmenter,
    "track": RemoteTracker,
    "encode": RemoteEncoder,
    "transcribe": RemoteTranscriber,
}


def with_stand_ins(instances: Instances, about: About, line: ServerLine) -> Instances:
    """The objects that were handed in, and stand-ins for the models of a server."""
    made: dict[str, Any] = {
        _MODEL[stage]: _STAND_INS[stage](line, stage, known) for stage, known in about.items()
    }
    return replace(instances, **made)
