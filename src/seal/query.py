"""Queries over stored tokens: everything that works without the video."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from numpy.typing import ArrayLike

from seal import encode
from seal.attention import relevance, select
from seal.config import DecodeOptions, Options, for_query
from seal.encode import Encoder
from seal.errors import NotIndexedError, OptionError, StoreError
from seal.ground import Curve, find_moments, relevance_curve
from seal.show import Storyboard, write, writer
from seal.store import Store, VideoRecord
from seal.types import Float32, Moment, Selection, Tokens
from seal.video import content_id, is_address
from seal.weights import require

if TYPE_CHECKING:
    from seal.ground.model import Head

# Encoders cut longer texts silently; nobody asks for one thing in so many words.
LONGEST_QUERY = 1000


class Match(NamedTuple):
    """Whether a video shows what a query says."""

    probability: float
    """At even odds before looking."""
    found: bool
    """Whether it reaches `find.min_probability`."""


class IndexedVideo:
    """One video of a store: its tokens, and what is asked of them.

    `name` is an id, or a path or address that was indexed, or a copy of such a file. `settings`
    such as "attention.focus=0.8" go on top of the profile that the video was indexed with.

    Raises NotIndexedError if the store has no such video, OptionError for a wrong setting.
    """

    def __init__(self, store: Store, name: str, settings: Iterable[str] = ()) -> None:
        self.record: VideoRecord = find_video(store, name)
        self.options = for_query(self.record.profile, settings)
        self._store = store

    @cached_property
    def tokens(self) -> Tokens:
        """All tokens of the video."""
        return self._store.tokens(self.record.id)

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder that made the tokens.

        Raises StoreError if other weights than those are installed now.
        """
        return load_encoder(self.record)

    def relevance(self, query: str) -> Float32:
        """R of every token to the query: [n] in [-1, 1], calibrated where the encoder is.

        Raises OptionError for an empty query and for one longer than 1,000 characters.
        """
        embedding = embed_query(self.encoder, query)
        return relevance(self.tokens, embedding, self.encoder.calibration)

    def match(self, query: str) -> Match | None:
        """Whether anything in the video matches; None where the encoder is not calibrated."""
        return self._match(self.relevance(query))

    def _match(self, scores: Float32) -> Match | None:
        if self.encoder.calibration is None:
            return None
        probability = self.encoder.calibration.probability(scores)
        return Match(probability, probability >= self.options.find.min_probability)

    def select(
        self, query: str, include: Iterable[str] = (), exclude: Iterable[str] = ()
    ) -> Selection:
        """The tokens worth looking at for this query, within `attention.budget`.

        Those with the ids `include` are among them, and those with the ids `exclude` are not.
        Raises OptionError for an id that no token has, and if what is included does not fit.
        """
        scores = self.relevance(query)
        return select(self.tokens, scores, self.options.attention, include, exclude)

    def pictures(self, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """The stored frames, as JPEG, of some tokens of the video: see `Store.pictures`."""
        return self._store.pictures(self.record.id, tokens, at)

    def thumbnails(self, tokens: Tokens) -> list[bytes | None]:
        """As `pictures`, with None for the tokens of kinds without pictures."""
        shown = tokens.where(lambda kind: kind.has_picture)
        pictures = iter(self.pictures(tokens.take(shown)))
        return [next(pictures) if has_picture else None for has_picture in shown]

    def find(self, query: str) -> list[Moment]:
        """At most `find.top` moments that the query describes, best first.

        By the trained head `find.head` where one is set; BackendError if it cannot be loaded.
        """
        scores = self.relevance(query)
        return self._moments(query, scores, self._curve(scores))

    def _curve(self, scores: Float32) -> Curve:
        return relevance_curve(self.tokens, scores, self.options.find)

    def _moments(self, query: str, scores: Float32, curve: Curve) -> list[Moment]:
        if self.options.find.head is None:
            return find_moments(curve, self.options.find)
        head = self._head
        from seal.ground.examples import looking
        from seal.ground.localise import localise

        top = self.options.find.top
        options = DecodeOptions(top=top, candidates=max(top, DecodeOptions().candidates))
        embedding = embed_query(self.encoder, query)
        look = looking(self.pictures, self.tokens, head.sizes)
        return localise(head, self.tokens, [embedding], [scores], options, look=look)[0]

    @cached_property
    def _head(self) -> Head:
        require("torch")
        from seal.ground.checkpoint import load

        return load(str(self.options.find.head), encoder=self.record.encoder)

    def show(
        self,
        query: str,
        path: str | Path,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Selection:
        """Write a storyboard, as .html or .png: the selected tokens, when and where they are.

        Raises OptionError for another suffix, and as `select` does.
        """
        writer(path)  # A wrong suffix is an error before the work, not after it.
        scores = self.relevance(query)
        selection = select(self.tokens, scores, self.options.attention, include, exclude)
        curve = self._curve(scores)
        moments = self._moments(query, scores, curve)
        match = self._match(scores)
        facts = {
            "profile": self.record.profile,
            "encoder": self.record.encoder,
            "objective": self.options.attention.objective,
        }
        if match is not None:
            facts["probability of a match"] = f"{match.probability:.2f}"
        storyboard = Storyboard(
            title=PurePath(self.record.path).name,
            query=query,
            path=self.record.location,
            start_s=self.record.start_s,
            duration_s=self.record.duration_s,
            tokens=self.tokens,
            selection=selection,
            thumbnails=self.thumbnails(self.tokens.take(selection.rows)),
            moments=moments,
            curve=(curve.times_s, curve.relevance),
            facts=facts,
            has_match=bool(moments) if match is None else match.found,
        )
        write(storyboard, path)
        return selection


def load_encoder(record: VideoRecord) -> Encoder:
    """The encoder that made the tokens of a video. Raises StoreError for other weights than its."""
    settings = [f"encode.{key}={value}" for key, value in record.encoder_options.items()]
    encoder = encode.load(Options.load(record.profile, settings).encode)
    if encoder.fingerprint != record.encoder:
        raise StoreError(
            f"{record.path} was indexed with other encoder weights ({record.encoder})"
            f" than are installed now ({encoder.fingerprint}); run `seal index` on it again"
        )
    return encoder


def embed_query(encoder: Encoder, query: str) -> Float32:
    """[d] of a query. Raises OptionError if it is empty, or longer than 1,000 characters."""
    if not query.strip():
        raise OptionError("the query is empty; say what to look for")
    if len(query) > LONGEST_QUERY:
        raise OptionError(
            f"the query has {len(query):,} characters; at most {LONGEST_QUERY:,} are read"
        )
    embedding: Float32 = encoder.encode_texts([query])[0]
    return embedding


def find_video(store: Store, name: str) -> VideoRecord:
    """The video of this id, or path or address as indexed, or the content of a copy of the file.

    Raises NotIndexedError if the store has none, or if the file has changed since.
    """
    try:
        record = store.resolve(name)
        is_file = name != record.id and os.path.isfile(name)
        if is_file and os.path.getsize(name) != record.size_bytes:
            raise NotIndexedError(
                f"{name} has changed since it was indexed as {record.id}; run seal index on it"
            )
        return record
    except NotIndexedError:
        if is_address(name) or not os.path.exists(name):
            raise
        content = content_id(name)
        for record in store.videos():
            if record.content_id == content:
                return record
        raise
