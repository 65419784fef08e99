"""A token before it is embedded, and how a batch of them becomes `Tokens`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from seal.encode import Encoder
from seal.types import Box, Float32, Float64, Tokens, UInt8


def _no_track() -> Float64:
    return np.empty((0, 5))


@dataclass(frozen=True, eq=False)
class Draft:
    """One scene, object or action, with the pictures to embed it from."""

    kind: str
    pts: tuple[int, int]
    """Presentation timestamps of start and end, in ticks of the video's time base."""
    box: Box
    score: float
    crops: Sequence[UInt8]
    """RGB [height, width, 3] each; the token's embedding is the mean of theirs."""
    shown: Sequence[int]
    """Presentation timestamps of the frames that `crops` are cut from."""
    track: Float64 = field(default_factory=_no_track)
    """[m, 5] time_s x0 y0 x1 y1; empty unless it is an action."""


def crop(image: UInt8, box: Box, context: float = 0.0) -> UInt8:
    """The part of `image` inside `box`, widened on each side by this share of the box's size, and
    at least one pixel in size."""
    height, width = image.shape[:2]
    dx, dy = context * (box.x1 - box.x0), context * (box.y1 - box.y0)
    x0, y0 = int(max(0.0, box.x0 - dx) * width), int(max(0.0, box.y0 - dy) * height)
    x1, y1 = np.ceil([min(1.0, box.x1 + dx) * width, min(1.0, box.y1 + dy) * height]).astype(int)
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    return image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def embed(drafts: Sequence[Draft], encoder: Encoder, video_id: str, tick: Fraction) -> Tokens:
    """The tokens of `drafts`, in their order; ids are left to the store.

    An embedding is the mean over the crops of a draft, L2-normalised; its facets likewise, each
    over the crops. `tick` is the video's time base, in seconds.
    """
    n = len(drafts)
    facets = np.empty((n, encoder.facets, encoder.dimension), np.float32)
    vectors = encoder.encode_images([image for draft in drafts for image in draft.crops])
    start = 0
    for i, draft in enumerate(drafts):
        facets[i] = _normalised(vectors[start : start + len(draft.crops)].mean(0))
        start += len(draft.crops)
    return Tokens(
        ids=np.full(n, "", dtype=np.str_),
        video_ids=np.full(n, video_id),
        kinds=np.array([draft.kind for draft in drafts], dtype=np.str_),
        pts=np.array([draft.pts for draft in drafts], np.int64).reshape(n, 2),
        time_base=np.tile(np.array([tick.numerator, tick.denominator], np.int64), (n, 1)),
        boxes=np.array([draft.box for draft in drafts], np.float32).reshape(n, 4),
        scores=np.array([draft.score for draft in drafts], np.float32),
        embeddings=_normalised(facets.mean(1)),
        facets=facets,
        track_offsets=np.cumsum([0, *(len(draft.track) for draft in drafts)], dtype=np.int64),
        track_rows=np.concatenate([_no_track(), *(draft.track for draft in drafts)]),
    )


def _normalised(vectors: Float32) -> Float32:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Float32 = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
