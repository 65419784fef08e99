"""Object tokens, the "what" of a video: class-agnostic masks on keyframes (section 3.1)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from seal.config import ObjectOptions, Options, deciding
from seal.decompose.draft import Draft, crop
from seal.decompose.maker import Maker, Models, PartContext
from seal.kinds import OBJECT
from seal.segment import Masks, Segmenter
from seal.types import Box, pairwise_iou
from seal.video import Frame

# A thing is easier to recognise with a little of what surrounds it; a share of the box's size.
_CONTEXT = 0.1


class Objects(Maker):
    """The regions of keyframes.

    A keyframe is due every `interval_s`; with "codec" and "shot" it then waits for the next frame
    that the codec stores whole or that starts a shot. The first frame always is one.
    """

    def __init__(self, options: ObjectOptions, segmenter: Segmenter) -> None:
        self._options = options
        self._segmenter = segmenter
        self._due: Fraction | None = None

    @classmethod
    def of(cls, part: PartContext) -> Objects:
        return cls(part.options.objects, part.models.segmenter)

    @classmethod
    def deciding(cls, options: Options, models: Models) -> list[Any]:
        return [deciding(options.objects), models.segmenter.fingerprint, deciding(options.segment)]

    def push(self, frame: Frame, cut: bool) -> list[Draft]:
        """The object tokens of `frame` if it is a keyframe; `cut` says that it starts a shot."""
        time = frame.pts * frame.time_base
        event = {"interval": True, "codec": frame.is_key, "shot": cut}[self._options.keyframes]
        if self._due is not None and not (event and time >= self._due):
            return []
        self._due = time + Fraction(self._options.interval_s)
        found = keep(self._segmenter.segment(frame.image), self._options)
        return [
            Draft(
                kind=OBJECT,
                pts=(frame.pts, frame.end_pts),
                box=(box := Box(*found.boxes[i].tolist())),
                score=float(found.stability[i]),
                crops=[crop(frame.image, box, _CONTEXT)],
                shown=[frame.pts],
            )
            for i in range(len(found))
        ]


def keep(masks: Masks, options: ObjectOptions) -> Masks:
    """The masks worth a token, the most stable first (equals in the order they came).

    Regions outside [`min_area`, `max_area`] go; of two boxes that overlap by more than
    `duplicate_iou` the less stable one goes; of the rest `max_per_keyframe` stay.
    """
    order = np.argsort(-masks.stability, kind="stable")
    areas = masks.areas[order]
    order = order[(areas >= options.min_area) & (areas <= options.max_area)]
    boxes = masks.boxes[order]
    kept: list[int] = []
    for i in range(len(order)):
        if len(kept) == options.max_per_keyframe:
            break
        if (pairwise_iou(boxes[i : i + 1], boxes[kept]) <= options.duplicate_iou).all():
            kept.append(i)
    rows = order[kept]
    return Masks(masks.masks[rows], masks.boxes[rows], masks.areas[rows], masks.stability[rows])
