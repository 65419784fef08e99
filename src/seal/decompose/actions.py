"""Action tokens: what a tracker followed, "how" (section 3.1)."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from seal.config import ActionOptions, Options, deciding
from seal.decompose.draft import Draft, crop
from seal.decompose.history import History
from seal.decompose.maker import Maker, Models, PartContext, naming
from seal.detect import Detector
from seal.kinds import ACTION
from seal.track import Tracker, Tracklet
from seal.types import Float64, Int64, UInt8, union_box
from seal.video import Frame
from seal.words import Transcript


class Actions(Maker):
    """Tracklets cut to length: shorter than L_min dropped, longer than L_max split evenly.

    A token's crop is the union of its boxes, cut from several frames of `history`, which must hold
    every frame since the tracker was last at rest.
    """

    def __init__(
        self,
        options: ActionOptions,
        tracker: Tracker,
        history: History,
        detector: Detector | None = None,
    ) -> None:
        self._options = options
        self._tracker = tracker
        self._history = history
        # A tracker that follows what a detector finds has given the names already.
        self._detector = None if tracker.uses_detector else detector
        self._tick = Fraction(1)

    @classmethod
    def of(cls, part: PartContext) -> Actions:
        models = part.models
        return cls(part.options.actions, models.tracker, part.history, models.detector)

    @classmethod
    def deciding(cls, options: Options, models: Models, subtitles: Transcript | None) -> list[Any]:
        values = [deciding(options.actions), models.tracker.fingerprint, deciding(options.track)]
        if models.tracker.uses_segmenter:
            values += [models.segmenter.fingerprint, deciding(options.segment)]
        return values + naming(models)

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        """The action tokens that have ended by now; `cut` says that `frame` starts a new shot."""
        drafts = self.end() if cut else []
        self._tick = frame.time_base
        return drafts + self._drafts(self._tracker.push(frame))

    def end(self) -> list[Draft]:
        """The action tokens of what is still followed."""
        return self._drafts(self._tracker.end())

    def _drafts(self, tracklets: list[Tracklet]) -> list[Draft]:
        return [self._draft(piece) for tracklet in tracklets for piece in self._pieces(tracklet)]

    def _pieces(self, tracklet: Tracklet) -> list[Tracklet]:
        times_s = self._seconds(tracklet.pts)
        length_s = times_s[-1] - times_s[0]
        if length_s < self._options.min_length_s:
            return []
        count = math.ceil(length_s / self._options.max_length_s)
        edges = times_s[0] + length_s * np.arange(1, count) / count
        parts = np.split(np.arange(len(times_s)), np.searchsorted(times_s, edges))
        # A sparse tracklet can leave a piece without frames.
        return [
            replace(tracklet, pts=tracklet.pts[rows], boxes=tracklet.boxes[rows])
            for rows in parts
            if len(rows)
        ]

    def _draft(self, piece: Tracklet) -> Draft:
        box = union_box(piece.boxes)
        # Evenly spaced, and inside the ends where the piece has more frames than are wanted.
        places = np.linspace(0, len(piece.pts) - 1, self._options.frames + 2)[1:-1]
        rows = np.unique(places.round().astype(np.int64))
        shown = piece.pts[rows].tolist()
        images = [self._history.image(pts) for pts in shown]
        name, score = self._name(piece, images, rows)
        return Draft(
            kind=ACTION,
            pts=(int(piece.pts[0]), self._history.end(int(piece.pts[-1]))),
            box=box,
            score=score,
            crops=[crop(image, box) for image in images],
            shown=shown,
            track=np.column_stack([self._seconds(piece.pts), piece.boxes]),
            text=name,
        )

    def _name(self, piece: Tracklet, images: list[UInt8], rows: Int64) -> tuple[str, float]:
        """What a piece is called, by most of the frames that show it, and how sure that is."""
        if self._detector is None:
            return piece.name, piece.score
        votes: dict[str, float] = {}
        for image, box in zip(images, piece.boxes[rows], strict=True):
            (name,), (score,) = self._detector.name(image, box[None])
            votes[name] = votes.get(name, 0.0) + float(score)
        name = max(votes, key=lambda name: votes[name])
        return (name, votes[name] / len(images)) if name else ("", piece.score)

    def _seconds(self, pts: Int64) -> Float64:
        # Multiplied first, this is exact but for one rounding.
        return pts * self._tick.numerator / self._tick.denominator
