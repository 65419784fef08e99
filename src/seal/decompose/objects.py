"""Object tokens, the "what" of a video: class-agnostic masks on keyframes (section 3.1)."""

from __future__ import annotations

import dataclasses
from collections import deque
from fractions import Fraction
from typing import Any

import numpy as np

from seal.config import ObjectOptions, Options, deciding
from seal.decompose.draft import Draft, crop
from seal.decompose.maker import Maker, Models, PartContext, naming
from seal.detect import Detector
from seal.kinds import OBJECT
from seal.segment import Masks, Segmenter
from seal.types import Box, pairwise_iou
from seal.video import Frame
from seal.words import Transcript

# A thing is easier to recognise with a little of what surrounds it; a share of the box's size.
_CONTEXT = 0.1


class Objects(Maker):
    """The regions of keyframes.

    A keyframe is due every `interval_s`; with "codec" and "shot" it then waits for the next frame
    that the codec stores whole or that starts a shot. The first frame always is one.
    """

    def __init__(
        self, options: ObjectOptions, segmenter: Segmenter, detector: Detector | None = None
    ) -> None:
        self._options = options
        self._segmenter = segmenter
        # A segmenter that starts from what a detector finds has given the names already.
        self._detector = None if segmenter.uses_detector else detector
        self._due: Fraction | None = None

    @classmethod
    def of(cls, part: PartContext) -> Objects:
        return cls(part.options.objects, part.models.segmenter, part.models.detector)

    @classmethod
    def deciding(cls, options: Options, models: Models, subtitles: Transcript | None) -> list[Any]:
        values = [
            deciding(options.objects),
            models.segmenter.fingerprint,
            deciding(options.segment),
        ]
        return values + naming(models)

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        """The object tokens of `frame` if it is a keyframe; `cut` says that it starts a shot."""
        time = frame.pts * frame.time_base
        event = {"interval": True, "codec": frame.is_key, "shot": cut}[self._options.keyframes]
        if self._due is not None and not (event and time >= self._due):
            return []
        self._due = time + Fraction(self._options.interval_s)
        masks = self._segmenter.segment(frame.image)
        if self._detector is not None:
            names, scores = self._detector.name(frame.image, masks.boxes)
            stability = np.where(names == "", masks.stability, scores)
            masks = dataclasses.replace(masks, names=names, stability=stability)
        found = keep(masks, self._options)
        return [
            Draft(
                kind=OBJECT,
                pts=(frame.pts, frame.end_pts),
                box=(box := Box(*found.boxes[i].tolist())),
                score=float(found.stability[i]),
                crops=[crop(frame.image, box, _CONTEXT)],
                shown=[frame.pts],
                text=str(found.names[i]),
            )
            for i in range(len(found))
        ]


def keep(masks: Masks, options: ObjectOptions) -> Masks:
    """The masks worth a token: by turns one with a name and one of each group of those without, the
    most stable of each first.

    Those below `min_area` go, and without a name those above `max_area`. Of two boxes that overlap
    by more than `duplicate_iou` the one that comes later goes; of the rest `max_per_keyframe` stay.
    Equals come in the order of `masks`.
    """
    order = np.argsort(-masks.stability, kind="stable")
    areas, named = masks.areas[order], masks.names[order] != ""
    right = (areas >= options.min_area) & (named | (areas <= options.max_area))
    order, named = order[right], named[right]
    groups = masks.groups[order]
    turns = [named, *(~named & (groups == group) for group in np.unique(groups))]
    waiting = deque(deque(order[rows].tolist()) for rows in turns)
    kept: list[int] = []
    while any(waiting) and len(kept) < options.max_per_keyframe:
        while waiting[0]:
            row = waiting[0].popleft()
            box = masks.boxes[row : row + 1]
            if (pairwise_iou(box, masks.boxes[kept]) <= options.duplicate_iou).all():
                kept.append(row)
                break
        waiting.rotate(-1)
    return masks.take(kept)
