"""Frames to tokens: semantic decomposition in one pass (section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from seal import encode, segment, track
from seal.config import Options, deciding, digest
from seal.decompose.actions import Actions
from seal.decompose.draft import Draft, embed
from seal.decompose.history import History
from seal.decompose.objects import Objects
from seal.decompose.scenes import Scenes
from seal.decompose.shots import Shots
from seal.encode import Encoder
from seal.segment import Segmenter
from seal.track import Tracker
from seal.types import KINDS, Tokens
from seal.video import Frame, VideoInfo

# Raise it when the same options and weights give other tokens than before: stored ones are redone.
_TOKENS_VERSION = 2

# Crops are embedded so many at a time: enough for the encoder to be fast, few enough to hold.
_BATCH_CROPS = 64

# A tracker cannot tell what happened in a longer pause between frames; the frames of a damaged
# stretch or a slide show are not one movement.
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True)
class Backends:
    """The loaded models of a run."""

    segmenter: Segmenter
    tracker: Tracker
    encoder: Encoder

    @staticmethod
    def load(options: Options) -> Backends:
        """Raises BackendError if an extra or weights are missing."""
        segmenter = segment.load(options.segment)
        tracker = track.load(options.track, segmenter)
        return Backends(segmenter, tracker, encode.load(options.encode))

    def keys(self, options: Options) -> dict[str, str]:
        """For each kind of token, a hash of all that decides it, given the content of the video."""
        segmenter: list[Any] = [self.segmenter.fingerprint, deciding(options.segment)]
        tracker: list[Any] = [self.tracker.fingerprint, deciding(options.track)]
        if self.tracker.uses_segmenter:
            tracker += segmenter
        shared = [_TOKENS_VERSION, deciding(options.video), self.encoder.fingerprint]
        stages: dict[str, list[Any]] = {
            "scene": [deciding(options.scenes)],
            "object": [deciding(options.objects), *segmenter],
            "action": [deciding(options.actions), *tracker],
        }
        return {kind: digest(kind, shared, *stages[kind]) for kind in KINDS}


@dataclass(frozen=True, eq=False)
class Batch:
    """Some tokens, and the frames that show them."""

    tokens: Tokens
    pictures: dict[int, bytes]
    """JPEG of each frame that a token is from, by its presentation timestamp."""


def decompose(
    frames: Iterable[Frame],
    kinds: Collection[str],
    options: Options,
    backends: Backends,
    info: VideoInfo,
    *,
    start_s: float,
    video_id: str,
) -> Iterator[Batch]:
    """The tokens of one part of a video, of the wanted `kinds`, in order of their end.

    `frames` are the analysed frames of the part, which begins at `start_s`. Memory is that of the
    part's frames, compressed, and of one batch of crops.
    """
    history, shots = History(), Shots()
    scenes = Scenes(options.scenes, info, options.video.rate_hz, start_s)
    objects = Objects(options.objects, backends.segmenter)
    actions = Actions(options.actions, backends.tracker, history)
    drafts: list[Draft] = []

    def batch() -> Batch:
        tokens = embed(drafts, backends.encoder, video_id, info.time_base)
        shown = sorted({pts for draft in drafts for pts in draft.shown})
        drafts.clear()
        return Batch(tokens, {pts: history.picture(pts) for pts in shown})

    end_s = start_s
    for frame in frames:
        history.push(frame)
        cut = shots.push(frame) or frame.time_s - end_s > _LONGEST_PAUSE_S
        end_s = float(frame.end_pts * frame.time_base)
        if "scene" in kinds:
            drafts += scenes.push(frame)
        if "object" in kinds:
            drafts += objects.push(frame, cut)
        if "action" in kinds:
            drafts += actions.push(frame, cut)
        if sum(len(draft.crops) for draft in drafts) >= _BATCH_CROPS:
            yield batch()
    if "action" in kinds:
        drafts += actions.end()
    yield batch()
