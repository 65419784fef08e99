"""The parts that make up a video, as a commit keeps them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

from seal.store import schema
from seal.store.lance import among, either, quote
from seal.store.records import Gap, to_gaps
from seal.types import Tokens, is_count

_LARGEST = 2**31
"""Arrow counts the numbers of a list, and we the tokens of a part, in 32 bits."""


@dataclass(frozen=True)
class Part:
    """The tokens of one kind in one part of a video."""

    number: int
    batch: str
    """The call of `Store.add` that stored the tokens."""
    count: int
    """How many tokens the part has."""
    dimension: int
    facets: int
    gaps: tuple[Gap, ...]

    @staticmethod
    def of(row: Mapping[str, Any]) -> Part:
        """The part that a row of the table `parts` describes. Raises ValueError if it has none."""
        numbers = row["part"], row["batch"], row["count"], row["dimension"], row["facets"]
        try:
            return Part.from_list([*numbers, json.loads(row["gaps"])])
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"a part of {row['video_id']!r} is damaged ({error}): remove the video and index"
                " it again"
            ) from error

    @staticmethod
    def from_list(values: Any) -> Part:
        """The part that `dataclasses.astuple` took apart. Raises TypeError or ValueError if
        `values` are something else."""
        number, batch, count, dimension, facets, gaps = values
        counts = (number, count, dimension, facets, dimension * facets)
        if not isinstance(batch, str) or not all(is_count(n) and n < _LARGEST for n in counts):
            raise ValueError(f"a part must be a batch and numbers, got {str(values[:5])[:80]}")
        return Part(number, batch, count, dimension, facets, to_gaps(gaps))


def part_rows(
    video_id: str,
    path: str,
    part: int,
    keys: Mapping[str, str],
    tokens: Tokens,
    gaps: Sequence[Gap],
) -> list[dict[str, Any]]:
    """The rows of the table `parts` that describe one part, without their batch: one for each kind
    in `keys`."""
    _, facets, dimension = tokens.facets.shape
    lost = to_gaps((float(start), float(end), why) for start, end, why in gaps)
    row = {
        "video_id": video_id,
        "path": json.dumps(path),
        "part": part,
        "stored": False,
        "dimension": dimension,
        "facets": facets,
        "gaps": json.dumps(lost),
    }
    return [
        row | {"kind": kind, "key": key, "count": int((tokens.kinds == kind).sum())}
        for kind, key in keys.items()
    ]


@dataclass(frozen=True)
class Contents:
    """The stored tokens that are a video's."""

    parts: Mapping[str, tuple[Part, ...]]
    """The parts of each kind, in order of their numbers."""

    @cached_property
    def shape(self) -> tuple[int, int]:
        """The dimension of the embeddings, and the number of facets.

        Raises ValueError if two parts with tokens differ in shape.
        """
        parts = [part for parts in self.parts.values() for part in parts]
        # A part without tokens may come from any encoder.
        shapes = {(part.dimension, part.facets) for part in parts if part.count}
        if len(shapes) > 1:
            raise ValueError(
                f"all parts of a video must come from one encoder; these have {sorted(shapes)}"
            )
        return (*shapes, *((part.dimension, part.facets) for part in parts), (0, 1))[0]

    @property
    def table(self) -> str:
        """The name of the table that holds the tokens."""
        return schema.tokens_table(*self.shape)

    @property
    def counts(self) -> dict[str, int]:
        """The number of tokens of each kind."""
        return {kind: sum(part.count for part in parts) for kind, parts in self.parts.items()}

    @property
    def batches(self) -> dict[str, list[str]]:
        """The batches of each kind, in order of the parts' numbers."""
        return {kind: [part.batch for part in parts] for kind, parts in self.parts.items()}

    @property
    def done(self) -> set[tuple[str, int]]:
        """The (kind, part) pairs that are stored."""
        return {(kind, part.number) for kind, parts in self.parts.items() for part in parts}

    @property
    def names(self) -> set[tuple[str, str]]:
        """All (kind, batch) pairs."""
        return {(kind, batch) for kind, batches in self.batches.items() for batch in batches}

    def where(self, kinds: Collection[str]) -> str:
        """The SQL condition for the rows of a tokens table that hold tokens of these kinds."""
        return either(
            f"kind = {quote(kind)} AND {among('batch', batches)}"
            for kind, batches in self.batches.items()
            if kind in kinds
        )

    def where_pictures(self) -> str:
        """The SQL condition for the pictures that were stored together with the tokens."""
        return among("batch", {batch for _, batch in self.names})

    def to_json(self) -> str:
        """The contents as JSON text, as the store keeps them."""
        return json.dumps(
            {kind: [astuple(part) for part in parts] for kind, parts in self.parts.items()}
        )

    @staticmethod
    def from_json(text: str) -> Contents:
        """Read what `to_json` wrote. Raises ValueError if `text` is something else."""
        try:
            return Contents(
                {
                    kind: tuple(Part.from_list(part) for part in parts)
                    for kind, parts in json.loads(text).items()
                }
            )
        except (AttributeError, TypeError) as error:
            raise ValueError(f"not the contents of a video: {error}") from error
