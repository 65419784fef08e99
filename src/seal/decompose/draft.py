"""A token before it is embedded, and how a batch of them becomes `Tokens`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b

import numpy as np

from seal.encode import Encoder, unit_rows
from seal.kinds import Kind
from seal.types import Box, Float32, Float64, Tokens, UInt8
from seal.words.meaning import SentenceEncoder

_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: digits and letters that nobody takes for each other."""
_ID_LENGTH = 10
"""50 bits: among the 200,000 tokens of ten hours two of one id are expected once in 50,000 videos.
"""


def _no_track() -> Float64:
    return np.empty((0, 5))


@dataclass(frozen=True, eq=False)
class Draft:
    """One token, with the pictures or the words to embed it from."""

    kind: Kind
    pts: tuple[int, int]
    """Presentation timestamps of start and end, in ticks of `tick`."""
    box: Box
    score: float
    crops: Sequence[UInt8] = ()
    """RGB [height, width, 3] each; where the kind is seen, the embedding is the mean of theirs."""
    shown: Sequence[int] = ()
    """Presentation timestamps of the frames that show the token."""
    track: Float64 = field(default_factory=_no_track)
    """[m, 5] time_s x0 y0 x1 y1; empty where the kind has no track."""
    text: str = ""
    """Its words; where the kind is read or heard, the embedding is that of them."""
    tick: Fraction | None = None
    """Seconds; by default the time base of the video."""


def crop(image: UInt8, box: Box, context: float = 0.0) -> UInt8:
    """The part of `image` inside `box`, widened on each side by this share of the box's size, and
    at least one pixel in size."""
    height, width = image.shape[:2]
    dx, dy = context * (box.x1 - box.x0), context * (box.y1 - box.y0)
    x0, y0 = int(max(0.0, box.x0 - dx) * width), int(max(0.0, box.y0 - dy) * height)
    x1, y1 = np.ceil([min(1.0, box.x1 + dx) * width, min(1.0, box.y1 + dy) * height]).astype(int)
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    return image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def embed(
    drafts: Sequence[Draft],
    encoder: Encoder,
    video_id: str,
    tick: Fraction,
    keys: Mapping[str, str],
) -> Tokens:
    """The tokens of `drafts`, in their order.

    A facet is the mean of that facet over the crops of a draft, and the embedding is the mean of
    the facets; both are L2-normalised. `tick` is the video's time base, in seconds. `keys` (kind
    -> key) go into the ids: see `identify`.
    """
    return Tokens.of(
        [draft.kind.name for draft in drafts],
        [draft.pts for draft in drafts],
        [draft.tick or tick for draft in drafts],
        _facets(drafts, encoder),
        ids=identify(drafts, video_id, tick, keys),
        video_id=video_id,
        boxes=[draft.box for draft in drafts],
        scores=[draft.score for draft in drafts],
        text=[draft.text for draft in drafts],
        tracks=[draft.track for draft in drafts],
    )


def _facets(drafts: Sequence[Draft], encoder: Encoder) -> Float32:
    """[n, q, d] of each draft, from its crops or its words; zeros where there are none."""
    facets = np.zeros((len(drafts), encoder.facets, encoder.dimension), np.float32)
    seen = [i for i, draft in enumerate(drafts) if draft.kind.modality == "picture" and draft.crops]
    name = encoder.fingerprint
    images = [image for i in seen for image in drafts[i].crops]
    if images:
        shape = len(images), encoder.facets, encoder.dimension
        vectors = unit_rows(encoder.encode_images(images), shape, name)
    start = 0
    for i in seen:
        end = start + len(drafts[i].crops)
        facets[i] = vectors[start:end].mean(0)
        start = end
    worded = [i for i, draft in enumerate(drafts) if draft.kind.modality == "text" and draft.text]
    if worded:
        words = encoder.encode_texts([drafts[i].text for i in worded])
        facets[worded] = unit_rows(words, (len(worded), encoder.dimension), name)[:, None]
    return facets


def meanings(
    drafts: Sequence[Draft], ids: Sequence[str], encoder: SentenceEncoder | None
) -> dict[str, Float32]:
    """Id -> [e] the vector of the words of each draft that is read or heard; empty without an
    encoder of sentences. `ids` [n] are those of the drafts."""
    if encoder is None:
        return {}
    worded = [i for i, draft in enumerate(drafts) if draft.kind.modality == "text" and draft.text]
    found = encoder.encode_sentences([drafts[i].text for i in worded])
    vectors = unit_rows(found, (len(worded), encoder.dimension), encoder.fingerprint)
    return {ids[i]: vector for i, vector in zip(worded, vectors, strict=True)}


def identify(
    drafts: Sequence[Draft], video_id: str, tick: Fraction, keys: Mapping[str, str]
) -> list[str]:
    """The ids of the tokens of one part: the kind, and a hash of all that tells a token apart.

    The hash is of the video, the kind's key, the times, the box and the words. The same video and
    options give the same ids in any order and on any machine; other options give other ids.
    """
    ids, seen = [], Counter[bytes]()
    for draft in drafts:
        box = np.asarray(draft.box, "<f4").tobytes()
        ratio = (draft.tick or tick).as_integer_ratio()
        words = (video_id, keys[draft.kind.name], *draft.pts, *ratio, draft.text)
        content = repr(words).encode("utf-8", "surrogatepass") + box
        # Twins of one part are told apart by their order.
        seen[content] += 1
        hashed = blake2b(content + b"%d" % seen[content], digest_size=8).digest()
        number = int.from_bytes(hashed, "big")
        letters = "".join(_ID_LETTERS[number >> 5 * i & 31] for i in range(_ID_LENGTH))
        ids.append(f"{draft.kind.name}-{letters}")
    return ids
