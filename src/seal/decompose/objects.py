"""Object tokens, the "what" of a video: class-agnostic masks on keyframes (section 3.1)."""

from __future__ import annotations

import numpy as np

from seal.config import ObjectOptions
from seal.segment import Masks
from seal.types import pairwise_iou


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
