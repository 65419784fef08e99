"""What makes tokens: one class for each kind, and the loaded models that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seal import backends, detect, encode, kinds, segment, track
from seal.config import Instance, Options, deciding, digest
from seal.decompose.draft import Draft
from seal.decompose.history import History
from seal.detect import Detector, Remembering
from seal.encode import Encoder
from seal.errors import OptionError
from seal.kinds import Kind
from seal.segment import RememberingSegmenter, Segmenter
from seal.track import Tracker
from seal.video import Frame, VideoInfo
from seal.words import Cue, TextReader, Transcriber, Transcript
from seal.words.cue import load_reader, load_transcriber
from seal.words.meaning import SentenceEncoder, load_sentence_encoder

# Raise it when the same options and weights give other tokens than before: stored ones are redone.
_TOKENS_VERSION = 2
_INTERFACES: dict[str, type] = {
    "segment": Segmenter,
    "track": Tracker,
    "encode": Encoder,
    "detect": Detector,
    "transcribe": Transcriber,
    "read": TextReader,
}


@dataclass(frozen=True)
class Models:
    """The loaded models of a run."""

    segmenter: Segmenter
    tracker: Tracker
    encoder: Encoder
    detector: Detector | None = None
    """None where things are not named."""
    transcriber: Transcriber | None = None
    """None where nothing is heard."""
    reader: TextReader | None = None
    """None where nothing is read."""
    meaning: SentenceEncoder | None = None
    """None where the encoder's text tower says what words mean."""

    @staticmethod
    def load(options: Options, instances: Instances | None = None) -> Models:
        """The models that `options` name; `instances` stand in for some of them.

        Raises BackendError if an extra or weights are missing.
        """
        given = instances or Instances()
        detector = given.detector or detect.load(options.detect)
        if detector is not None:
            # Objects and actions look at the same frames.
            detector = Remembering(detector)
        segmenter = given.segmenter or segment.load(options.segment, detector)
        # Objects and what a tracker starts from are masks of the same frames.
        segmenter = RememberingSegmenter(segmenter)
        tracker = given.tracker or track.load(options.track, segmenter, detector)
        return Models(
            segmenter,
            tracker,
            given.encoder or encode.load(options.encode),
            detector,
            given.transcriber or load_transcriber(options.transcribe),
            given.reader or load_reader(options.read),
            load_sentence_encoder(options.meaning),
        )

    def keys(self, options: Options, subtitles: Transcript | None = None) -> dict[str, str]:
        """For each kind of token, a hash of all that decides it, given the content of the video.

        A kind that has no tokens, because nothing is heard or read, is not there.
        """
        shared = [_TOKENS_VERSION, deciding(options.video), self.encoder.fingerprint]
        keys = {}
        for name, kind in kinds.known().items():
            decided = maker(kind).deciding(options, self, subtitles)
            if decided is None:
                continue
            if self.meaning is not None and kind.modality == "text":
                decided = [*decided, self.meaning.fingerprint]
            keys[name] = digest(name, shared, *decided)
        return keys


@dataclass(frozen=True)
class Instances:
    """Models that were handed in as objects. With several processes they are pickled."""

    segmenter: Segmenter | None = None
    tracker: Tracker | None = None
    encoder: Encoder | None = None
    detector: Detector | None = None
    transcriber: Transcriber | None = None
    reader: TextReader | None = None

    def __post_init__(self) -> None:
        """Raises BackendError, which names what lacks, for an object that is no such model."""
        for stage, model in self._by_stage().items():
            backends.complete_object(stage, model, _INTERFACES[stage])

    def named_in(self, options: Options) -> Options:
        """`options` that name these objects by their fingerprints, in place of back ends."""
        for stage, model in self._by_stage().items():
            options = options.replace(stage, Instance(model.fingerprint))
        return options

    def check(self, settings: Iterable[str]) -> None:
        """Raise OptionError for a setting of a stage whose model was handed in."""
        for setting in settings:
            stage = setting.partition(".")[0]
            if stage in self._by_stage():
                raise OptionError(f"{setting} has no effect: an object is given for {stage}")

    def _by_stage(self) -> dict[str, Any]:
        models = {
            "segment": self.segmenter,
            "track": self.tracker,
            "encode": self.encoder,
            "detect": self.detector,
            "transcribe": self.transcriber,
            "read": self.reader,
        }
        return {stage: model for stage, model in models.items() if model is not None}


@dataclass(frozen=True, eq=False)
class PartContext:
    """The part of a video that a maker is made for."""

    options: Options
    models: Models
    info: VideoInfo
    history: History
    """The frames that were pushed so far."""
    start_s: float
    """Where the part begins."""
    heard: Callable[[], Sequence[Cue]] = tuple
    """Gives what is said in the part, a sentence each, once all of its frames were pushed."""


class Maker(ABC):
    """Makes the tokens of one kind from the analysed frames of one part of a video."""

    needs_frames: ClassVar[bool] = True
    """Whether it looks at frames. Where no maker does, none are decoded."""

    @classmethod
    @abstractmethod
    def of(cls, part: PartContext) -> Maker:
        """The maker for a part. Raises OptionError for options that do not fit the video."""

    @classmethod
    def deciding(
        cls, options: Options, models: Models, subtitles: Transcript | None
    ) -> list[Any] | None:
        """JSON-able values that decide the tokens, beside `options.video` and the encoder; None if
        there can be no tokens of the kind. `subtitles` are those of the video."""
        return []

    @abstractmethod
    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        """The tokens that have ended by `frame`; `cut` says that it starts a new shot."""

    def end(self) -> list[Draft]:
        """The tokens that last until the end of the part."""
        return []


def naming(models: Models) -> list[Any]:
    """JSON-able values that decide what things are called; none where they have no names."""
    detector = models.detector
    return [] if detector is None else [detector.fingerprint, detector.min_score]


def maker(kind: Kind) -> type[Maker]:
    """The class that makes the tokens of a kind."""
    found = backends.load(kind.maker, f"the maker of {kind.name} tokens")
    if not (isinstance(found, type) and issubclass(found, Maker)):
        raise OptionError(f"{kind.maker}, the maker of {kind.name} tokens, is not a Maker")
    return found
