"""One query over every video of a store: the nearest tokens first, then a choice among them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from seal.attention import Budget, Candidates, choose, relevance
from seal.config import Options, for_query
from seal.encode import Encoder
from seal.errors import NotIndexedError, StoreError
from seal.query import embed_query, load_encoder
from seal.store import Store
from seal.types import Float32, Float64, Selection, Tokens

_LISTED = 10
"""How many videos of another encoder an error names."""
_PAUSE_S = 1e4
"""Tokens of different videos are so far apart in time: further than any objective looks."""


def one_after_another(tokens: Tokens) -> Float64:
    """[n] the middle of each token, in seconds, as if the videos were shown with long pauses.

    Counted from the first token: objectives may compare times in single precision.
    """
    _, video = np.unique(tokens.video_ids, return_inverse=True)
    order = np.lexsort((tokens.middle_s, video))
    steps = np.diff(tokens.middle_s[order], prepend=tokens.middle_s[order[:1]])
    steps[np.diff(video[order], prepend=0) > 0] = _PAUSE_S
    times_s = np.empty(len(tokens))
    times_s[order] = np.cumsum(steps)
    return times_s


class Corpus:
    """All videos of a store as one.

    `settings` go on top of the default profile. Raises NotIndexedError if there is no video, and
    StoreError, naming videos, if they were not all indexed with one encoder.
    """

    def __init__(self, store: Store, settings: Iterable[str] = ()) -> None:
        self.options = for_query(Options().profile, settings)
        self._store = store
        self._records = store.videos()
        if not self._records:
            raise NotIndexedError(f"{store.path} has no videos; run seal index first")
        latest = self._records[-1]
        others = [record for record in self._records if record.encoder != latest.encoder]
        if others:
            listed = ", ".join(f"{one.path} ({one.encoder})" for one in others[:_LISTED])
            more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
            raise StoreError(
                f"these videos were indexed with another encoder than {latest.path}"
                f" ({latest.encoder}): {listed}{more}; index them again with the same profile, or"
                " into another --store"
            )

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder of all videos. Raises StoreError if other weights are installed now."""
        return load_encoder(self._records[-1])

    def nearest(self, query: str) -> Tokens:
        """The `attention.candidates` tokens of all videos that are most relevant to a query.

        Where the encoder gives a token several embeddings, those whose mean is.
        """
        return self._nearest(embed_query(self.encoder, query))

    def _nearest(self, embedding: Float32) -> Tokens:
        calibration = self.encoder.calibration
        # Relevance is linear in a token's embedding, and this is its direction.
        direction = embedding if calibration is None else calibration.line(embedding)[0]
        limit = self.options.attention.candidates
        return self._store.nearest(direction, self.encoder.facets, limit)

    def select(self, query: str) -> tuple[Tokens, Selection]:
        """The tokens worth looking at, in the order chosen, and how good the choice is.

        The value and its bound are those of a choice among the nearest tokens.
        """
        embedding = embed_query(self.encoder, query)
        tokens = self._nearest(embedding)
        scores = relevance(tokens, embedding, self.encoder.calibration)
        _, video = np.unique(tokens.video_ids, return_inverse=True)
        times_s = tokens.middle_s + _PAUSE_S * video
        options = self.options.attention
        candidates = Candidates(scores, tokens.embeddings, times_s)
        found = choose(candidates, options, Budget.of_tokens(tokens, options))
        rows = np.arange(len(found))
        chosen = Selection(rows, found.relevance, found.objective, found.upper_bound)
        return tokens.take(found.rows), chosen
