"""The values that pass between stages: frozen, validated on creation.

Coordinates are normalised to [0, 1] of the upright picture, x to the right and y down, as
x0 y0 x1 y1. Times are presentation timestamps of the container: exact integers in ticks of a time
base inside, float seconds outside; never a frame number divided by a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seal import kinds
from seal.errors import OptionError
from seal.kinds import Kind

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Strings = NDArray[np.str_]
Texts = NDArray[Any]
"""Strings of any length: NumPy's StringDType, which keeps each at its own length."""
Mask = NDArray[np.bool_]

_LONGEST = 1.01
"""The square of the length of a unit vector in single precision is less."""
_SHORTEST = 1e-12
"""A shorter vector has no direction."""
_LARGEST = 2.0**63
"""Numbers from a file, and products of ticks and the numerator of a time base, are smaller."""

TEXT = np.dtypes.StringDType()
"""The dtype of `Texts`."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time [start_s, end_s], in seconds; start_s <= end_s, both finite."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start_s) and np.isfinite(self.end_s)):
            raise OptionError(f"a span needs finite times, got {self.start_s} to {self.end_s}")
        if self.end_s < self.start_s:
            raise OptionError(f"a span ends before it starts: {self.start_s} to {self.end_s}")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s

    def iou(self, other: Span) -> float:
        """Intersection over union in time, in [0, 1]; 0 where both are instants."""
        shared = min(self.end_s, other.end_s) - max(self.start_s, other.start_s)
        union = max(self.end_s, other.end_s) - min(self.start_s, other.start_s)
        return max(0.0, shared) / union if union > 0 else 0.0


class Box(NamedTuple):
    """A rectangle in normalised coordinates: 0 <= x0 <= x1 <= 1, 0 <= y0 <= y1 <= 1."""

    x0: float
    y0: float
    x1: float
    y1: float


WHOLE_FRAME = Box(0.0, 0.0, 1.0, 1.0)


def check_boxes(boxes: ArrayLike) -> Float32:
    """`boxes` as float32 [n, 4]; OptionError unless each is a valid `Box`."""
    array = np.asarray(boxes, np.float32).reshape(-1, 4)
    if not ((array >= 0) & (array <= 1)).all() or (array[:, :2] > array[:, 2:]).any():
        raise OptionError("boxes must be x0 y0 x1 y1 in [0, 1] with x0 <= x1 and y0 <= y1")
    return array


def check_finite(what: str, values: NDArray[np.floating[Any]]) -> None:
    """Raises OptionError, which names the first row with NaN or infinity, if there is any."""
    # A sum is not finite if a term is not, and takes a fraction of the time of np.isfinite.
    if np.isfinite(values.sum()):
        return
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))
    if len(bad):
        raise OptionError(
            f"{what} must be finite numbers; row {bad[0]} of {len(values)} has NaN or infinity"
        )


def is_real(value: Any) -> bool:
    """Whether a value is a finite number."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Neither NaN nor infinity is less than anything; integers of JSON have no end.
    return is_number and abs(value) < _LARGEST


def is_count(value: Any) -> bool:
    """Whether a value is an integer of at least 0."""
    return is_real(value) and isinstance(value, int) and value >= 0


def check_ticks(numerators: Int64, denominators: Int64) -> None:
    """Raises OptionError unless every time base is above 0."""
    if not ((numerators > 0).all() and (denominators > 0).all()):
        raise OptionError("a tick must be a number of seconds above 0")


def box_areas(boxes: Float32) -> Float32:
    """The areas [n] of boxes [n, 4]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def pairwise_iou(a: ArrayLike, b: ArrayLike) -> Float32:
    """Intersection over union of every box of `a` [n, 4] with every box of `b` [m, 4]: [n, m]."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    ax0, ay0, ax1, ay1 = a.T[..., None]
    bx0, by0, bx1, by1 = b.T
    width = np.minimum(ax1, bx1) - np.maximum(ax0, bx0)
    height = np.minimum(ay1, by1) - np.maximum(ay0, by0)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = (box_areas(a)[:, None] + box_areas(b)) - shared
    iou: Float32 = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def pairwise_span_iou(a: ArrayLike, b: ArrayLike) -> Float64:
    """IoU in time of every span of `a` [n, 2] with every span of `b` [m, 2], each start and end in
    seconds. The result is [n, m] in [0, 1], or NaN where both are one instant. A span
    that ends before it starts overlaps nothing.
    """
    start, end = np.asarray(a, np.float64).T[:, :, None]
    other_start, other_end = np.asarray(b, np.float64).T
    shared = np.maximum(0, np.minimum(end, other_end) - np.maximum(start, other_start))
    # From the first start to the last end: more than the union only where nothing is shared.
    union = np.maximum(0, np.maximum(end, other_end) - np.minimum(start, other_start))
    with np.errstate(invalid="ignore"):
        iou: Float64 = shared / union
    return iou


def union_box(boxes: Float32) -> Box:
    """The smallest box that holds all `boxes` [n, 4]: an action token's crop (section 3.1)."""
    x0, y0 = boxes[:, :2].min(0)
    x1, y1 = boxes[:, 2:].max(0)
    return Box(float(x0), float(y0), float(x1), float(y1))


_COLUMNS: dict[str, tuple[type, tuple[int | str, ...]]] = {
    "ids": (np.str_, ()),
    "video_ids": (np.str_, ()),
    "kinds": (np.str_, ()),
    "pts": (np.int64, (2,)),
    "time_base": (np.int64, (2,)),
    "boxes": (np.float32, (4,)),
    "scores": (np.float32, ()),
    "text": (type(TEXT), ()),
    "embeddings": (np.float32, ("d",)),
    "facets": (np.float32, ("q", "d")),
}
"""The columns of `Tokens` with one row per token: dtype and the shape of a row."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Many tokens, in columns: row i of every column is token i. `Tokens.of` makes them.

    Raises OptionError if the columns do not fit together.
    """

    ids: Strings
    """[n] such as "action-k3v9q2m8x1": unique within a video. An id never names another token."""
    video_ids: Strings
    """[n] the video of each token."""
    kinds: Strings
    """[n] names of `seal.kinds.Kind`."""
    pts: Int64
    """[n, 2] presentation timestamps of the start and the end, in ticks of the time base. An
    instant lasts as long as its frame is on the screen."""
    time_base: Int64
    """[n, 2] numerator and denominator of one tick, in seconds."""
    boxes: Float32
    """[n, 4] normalised x0 y0 x1 y1; for a token with a track the union of the track's boxes."""
    scores: Float32
    """[n] how sure the back end is, in [0, 1]: that the thing has its name, where it has one, or
    else mask stability and track confidence; 1 for scenes."""
    text: Texts
    """[n] the words of a token: what was said or is written, or the name of a thing; or ""."""
    embeddings: Float32
    """[n, d] L2-normalised; S, the similarity of two tokens, is their dot product. Zeros for a
    token without an embedding."""
    facets: Float32
    """[n, q, d] L2-normalised. R, the relevance to a query, is the maximum over the q rows of their
    dot product with it. Only encoders with several outputs per picture (BLIP-2) have q > 1."""
    track_offsets: Int64
    """[n + 1] the track of token i is `track_rows[track_offsets[i]:track_offsets[i + 1]]`."""
    track_rows: Float64
    """[m, 5] time_s x0 y0 x1 y1 of a track, or the start of each word with the whole frame."""

    @staticmethod
    def of(
        kinds: Sequence[str] | Strings,
        pts: ArrayLike,
        tick: Fraction | Sequence[Fraction],
        facets: Float32,
        *,
        ids: Sequence[str] | Strings | None = None,
        video_id: str = "",
        boxes: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        text: Sequence[str] | Texts | None = None,
        tracks: Sequence[Float64] | None = None,
    ) -> Tokens:
        """Tokens of one video.

        `kinds` [n] names, `pts` [n, 2] in units of `tick` seconds, which is one number or [n],
        `facets` [n, q, d] of any length. Facets and embeddings are normalised here, and zeros stay
        zeros. By default ids and text are empty, boxes the whole frame, scores 1 and tracks [m, 5]
        without rows. Raises OptionError for facets that are not finite.
        """
        n = len(kinds)
        facets = np.asarray(facets, np.float32)
        check_finite("embeddings", facets)
        facets = unit(facets)
        rectangles = np.asarray([WHOLE_FRAME] * n if boxes is None else boxes, np.float32)
        rows = [np.empty((0, 5)), *(tracks or ())]
        lengths = [len(track) for track in tracks] if tracks else [0] * n
        ticks = [tick] * n if isinstance(tick, Fraction) else tick
        return Tokens(
            ids=np.full(n, "", np.str_) if ids is None else np.asarray(ids, np.str_),
            # np.full would cut the name to one letter.
            video_ids=np.array([video_id] * n, np.str_),
            kinds=np.asarray(kinds, np.str_),
            pts=np.asarray(pts, np.int64).reshape(n, 2),
            time_base=np.array([t.as_integer_ratio() for t in ticks], np.int64).reshape(n, 2),
            boxes=rectangles.reshape(n, 4),
            scores=np.ones(n, np.float32) if scores is None else np.asarray(scores, np.float32),
            text=np.full(n, "", TEXT) if text is None else np.asarray(text, TEXT),
            embeddings=facets[:, 0] if facets.shape[1] == 1 else unit(facets.mean(1)),
            facets=facets,
            track_offsets=np.cumsum([0, *lengths], dtype=np.int64),
            track_rows=np.concatenate(rows),
        )

    @staticmethod
    def none(dimension: int, facets: int = 1) -> Tokens:
        """No tokens, with the columns of embeddings [dimension] and so many facets."""
        return Tokens.of([], [], Fraction(1), np.empty((0, facets, dimension), np.float32))

    def __post_init__(self) -> None:
        n = len(self.ids)
        for name, (dtype, shape) in _COLUMNS.items():
            array = getattr(self, name)
            is_text = isinstance(array.dtype, np.dtypes.StringDType)
            fits = is_text if name == "text" else np.issubdtype(array.dtype, dtype)
            sizes = zip(shape, array.shape[1:], strict=False)
            fits = fits and len(array) == n and array.ndim == 1 + len(shape)
            if not fits or not all(isinstance(want, str) or want == got for want, got in sizes):
                wanted = ", ".join(str(size) for size in (n, *shape))
                raise OptionError(
                    f"tokens.{name} must be {dtype.__name__} [{wanted}],"
                    f" got {array.dtype} {list(array.shape)}"
                )
        if self.facets.shape[2] != self.embeddings.shape[1]:
            raise OptionError("tokens.facets and tokens.embeddings must have one dimension")
        if len(self.track_offsets) != n + 1 or self.track_offsets[-1] != len(self.track_rows):
            raise OptionError("tokens.track_offsets must be [n + 1] and end at the last track row")
        check_ticks(self.time_base[:, 0], self.time_base[:, 1])
        if (self.pts[:, 1] < self.pts[:, 0]).any():
            raise OptionError("a token must not end before it starts")
        check_boxes(self.boxes)

    def check_numbers(self) -> None:
        """Raise OptionError if numbers that come from a file are none that SEAL wrote: not finite,
        embeddings longer than 1, or times that a tick makes too large."""
        lengths = np.einsum("nqd,nqd->nq", self.facets, self.facets)
        if not (lengths < _LONGEST).all():
            row = int(np.argmin((lengths < _LONGEST).all(1)))
            raise OptionError(f"embeddings must be finite and of length 1; that of {row} is not")
        check_finite("embeddings", self.embeddings)
        check_finite("scores", self.scores)
        check_finite("tracks", self.track_rows)
        ticks = np.abs(self.pts.astype(np.float64)).max(initial=0)
        if ticks * self.time_base[:, 0].max(initial=0) >= _LARGEST:
            raise OptionError("the times of tokens are larger than any video is long")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def start_s(self) -> Float64:
        """[n] seconds."""
        return self.pts[:, 0] * self.time_base[:, 0] / self.time_base[:, 1]

    @cached_property
    def end_s(self) -> Float64:
        """[n] seconds."""
        return self.pts[:, 1] * self.time_base[:, 0] / self.time_base[:, 1]

    @cached_property
    def middle_s(self) -> Float64:
        """[n] seconds."""
        return (self.start_s + self.end_s) / 2

    def time(self, i: int) -> tuple[Fraction, Fraction]:
        """The exact start and end of token i, in seconds."""
        tick = Fraction(int(self.time_base[i, 0]), int(self.time_base[i, 1]))
        return int(self.pts[i, 0]) * tick, int(self.pts[i, 1]) * tick

    def kind(self, i: int) -> Kind:
        """The kind of token i."""
        return kinds.get(str(self.kinds[i]))

    def words(self, i: int) -> str:
        """The words of token i; a probability follows the name of a thing."""
        text = str(self.text[i])
        is_name = text and self.kind(i).modality == "picture"
        return f"{text} {self.scores[i]:.2f}" if is_name else text

    @cached_property
    def named(self) -> Int64:
        """The rows of the tokens that show a thing with a name, rather than hold words."""
        rows = np.flatnonzero(self.text != "")
        return rows[self.where(lambda kind: kind.modality == "picture")[rows]]

    def per_kind(self, value: Callable[[Kind], float]) -> Float64:
        """[n] a number that follows from the kind of each token, such as its cost.

        Raises OptionError if no installed package knows a kind.
        """
        numbers = np.full(len(self), np.nan)
        for kind, mine in self._of_kinds:
            numbers[mine] = value(kind)
        if np.isnan(numbers).any():
            kinds.get(str(self.kinds[np.isnan(numbers)][0]))  # Raises: no such kind is known.
        return numbers

    @cached_property
    def _of_kinds(self) -> list[tuple[Kind, Mask]]:
        return [(kind, self.kinds == name) for name, kind in kinds.known().items()]

    @cached_property
    def finite_embeddings(self) -> Float32:
        """`embeddings`, looked through once. Raises OptionError if one is not finite."""
        check_finite("embeddings", self.embeddings)
        return self.embeddings

    @cached_property
    def without_embedding(self) -> Int64:
        """The rows of the tokens whose kind has no embedding."""
        # Of the embeddings of length 1 few have a zero here. To read all places takes longer.
        unlikely = np.flatnonzero(self.embeddings[:, 0] == 0)
        rows: Int64 = unlikely[~self.embeddings[unlikely].any(1)]
        return rows

    def where(self, holds: Callable[[Kind], bool]) -> Mask:
        """[n] the tokens of the kinds of which something holds."""
        return self.per_kind(holds).astype(bool)

    def track(self, i: int) -> Float64:
        """[m, 5] time_s x0 y0 x1 y1 of token i; empty where its kind has no track."""
        return self.track_rows[self.track_offsets[i] : self.track_offsets[i + 1]]

    def take(self, rows: NDArray[np.integer[Any]] | Mask | Sequence[int]) -> Tokens:
        """The tokens of these rows (indices or a mask), in this order."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        lengths = np.diff(self.track_offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # Row j of the new tracks lies as far behind its token's first row as it did before.
        shift = np.repeat(self.track_offsets[:-1][index] - offsets[:-1], lengths)
        columns = {name: getattr(self, name)[index] for name in _COLUMNS}
        return Tokens(
            **columns,
            track_offsets=offsets,
            track_rows=self.track_rows[np.arange(offsets[-1]) + shift],
        )

    @staticmethod
    def concatenate(parts: Iterable[Tokens]) -> Tokens:
        """All tokens of `parts` (at least one), in order."""
        parts = list(parts)
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in (*_COLUMNS, "track_rows")
        }
        lengths = np.concatenate([np.diff(p.track_offsets) for p in parts])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Tokens(**columns, track_offsets=offsets)


def unit(vectors: Float32) -> Float32:
    """Vectors along the last axis divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    divided: Float32 = vectors / np.maximum(lengths, _SHORTEST)
    return divided


@dataclass(frozen=True)
class Choice:
    """Candidates chosen for a query, in the order chosen, and how good the choice provably is."""

    rows: Int64
    """[k] rows of the candidates, in the order chosen."""
    relevance: Float32
    """[k] R(token, query) of each, in [-1, 1]."""
    objective: float
    """The objective's value at this choice."""
    upper_bound: float
    """No other choice of this size can score higher; where tokens differ in cost, no choice of any
    size within the budget can, the empty one included."""

    @property
    def gap(self) -> float:
        """(upper_bound - objective) / |upper_bound|: 0 proves the choice optimal.

        Where the bound is 0, the gap of any value below it is 1.
        """
        if self.upper_bound == 0:
            return float(self.objective < 0)
        return max(0.0, self.upper_bound - self.objective) / abs(self.upper_bound)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Moment:
    """A span of a video that answers a query, with a score (higher is better)."""

    span: Span
    score: float
    video: str = ""
    """The id of the video; "" where only one is asked about."""
    token: str = ""
    """The id of the token that shows it best; "" where no tokens are at hand."""
    found_by: str = "picture"
    """What speaks for it, one of `seal.results.FOUND_BY`."""
    text: str = ""
