"""Tokens of one video or the nearest tokens of many, and the questions about them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from seal import encode, kinds
from seal.attention import relevance
from seal.attention.worded import AskedVideo, WordedTokens, on_one_scale
from seal.attention.words import UNQUOTED
from seal.config import Options, SelectOptions
from seal.encode import Encoder
from seal.encode.calibration import Calibration
from seal.errors import OptionError, StoreError
from seal.ground import TimedTokens
from seal.lookup import encoder_settings
from seal.said import Said, SaidInVideos
from seal.store import Store, VideoRecord
from seal.store.pictures import check_pictures
from seal.types import Float32, Float64, Int64, Strings, Tokens
from seal.weights import nothing_fetched
from seal.words.index import quotes

if TYPE_CHECKING:
    from seal.ground.localise import Localiser
    from seal.ground.networks import Network

LONGEST_QUERY = 1000
"""Encoders cut longer texts silently; nobody asks for one thing in so many words."""
_REMEMBERED = 8
"""Questions whose relevance is kept: find, show and ask of one question compute it once."""
_WORDED = 0.25
"""When all videos are searched, so many sentences, as a share of the candidates, are looked for by
meaning and as many by words."""
_SEARCHED = 16
"""All sentences count of so many videos that have the nearest of these, by meaning and by words."""
_MEANT = 0.01
"""This share of the candidates of all videos are the sentences of the nearest meaning."""
_PAUSE_S = 1e4
"""Tokens of different videos are so far apart in time: further than any objective looks."""


@dataclass(frozen=True, eq=False)
class Question:
    """A text, embedded once, and the relevance of every token to it."""

    text: str
    embedding: Float32
    """[d] L2-normalised."""
    relevance: Float32
    """[n] R of every token, in [-1, 1], calibrated where the encoder is."""
    prior: Mapping[str, float]
    """By video, the log odds before its tokens are looked at; empty if nothing is calibrated."""
    found_by: Strings
    """[n] what speaks most for each token, one of `seal.results.FOUND_BY`."""


class Content(ABC):
    """Tokens, their encoder and their pictures; questions about them are remembered."""

    is_one: ClassVar[bool]
    """Whether they are of one video, whose times then need no name of a video."""

    def __init__(self, records: Sequence[VideoRecord]) -> None:
        self.records = records
        """The videos that the tokens are of."""
        self._questions: OrderedDict[str, Question] = OrderedDict()
        self._indexed: tuple[Tokens, WordedTokens | None] | None = None
        self._timed: tuple[Tokens, float, TimedTokens] | None = None
        self._localiser: tuple[Network, SelectOptions, int | None, Localiser] | None = None

    @property
    @abstractmethod
    def tokens(self) -> Tokens:
        """The tokens that can be chosen: [n]."""

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """The encoder that made the tokens. Raises StoreError if other weights are installed."""

    @property
    @abstractmethod
    def shift_s(self) -> Float64:
        """[n] what to add to the times of each token so that videos follow one another."""

    @abstractmethod
    def count(self, record: VideoRecord) -> int:
        """The number of tokens of a video, all of them."""

    @property
    def total(self) -> int:
        """The number of tokens of all videos that are asked, those left out included."""
        return sum(self.count(record) for record in self.records)

    @abstractmethod
    def pictures(self, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """A frame, as JPEG, of each of some of the tokens: the one nearest to the share `at` of its
        time, one number or [n], in [0, 1]."""

    def timed(self, smoothing_s: float) -> TimedTokens:
        """The tokens with their times, for moments of this smoothing. The last one is kept."""
        if self._timed is None or self._timed[:2] != (self.tokens, smoothing_s):
            self._timed = self.tokens, smoothing_s, TimedTokens.of(self.tokens, smoothing_s)
        return self._timed[2]

    def localiser(
        self, head: Network, select: SelectOptions, budget: int | None = None
    ) -> Localiser:
        """A head over these tokens, with the encodings that it has made of them. See
        `seal.ground.localise.Localiser.of`.

        The last one is kept. Raises OptionError for a head of another dimension.
        """
        # Not at the top: this loads torch.
        from seal.ground.examples import looking
        from seal.ground.localise import Localiser

        if self._localiser is None or self._localiser[:3] != (head, select, budget):
            look = looking(self.pictures, self.tokens, head.sizes)
            made = Localiser.of(head, self.tokens, budget, look, select)
            self._localiser = head, select, budget, made
        return self._localiser[3]

    def doubt(self, text: str) -> str:
        """Why a verdict about a text is worth little, as a sentence; empty where it is not."""
        untaught = self.encoder.limits(text)
        name = self.encoder.fingerprint.partition("-")[0]
        return f"{name} was not taught {', '.join(untaught)}" if untaught else ""

    def question(self, text: str) -> Question:
        """The relevance of every token to a text.

        Raises OptionError for an empty text and for one longer than 1,000 characters.
        """
        if text not in self._questions:
            self._remember(text, embed_query(self.encoder, text))
        self._questions.move_to_end(text)
        return self._questions[text]

    def _remember(self, text: str, embedding: Float32) -> None:
        calibration = self.encoder.calibration
        scores = relevance(self.tokens, embedding, calibration, text)
        prior = {} if calibration is None else self._prior(text, embedding, calibration)
        found_by = np.full(len(scores), "picture")
        if (worded := self._worded) is not None:
            videos = [
                AskedVideo(rows, prior.get(video.id, 0.0), self.count(video))
                for video, rows in self.by_video()
            ]
            parts = worded.parts(text, embedding)
            scores = worded.relevance(scores, text, parts, videos, calibration)
            found_by[worded.rows] = parts.found_by
        self._questions[text] = Question(text, embedding, scores, prior, found_by)
        if len(self._questions) > _REMEMBERED:
            self._questions.popitem(last=False)

    @property
    def _worded(self) -> WordedTokens | None:
        """The tokens that are words; None where there are none."""
        if self._indexed is None or self._indexed[0] is not self.tokens:
            languages = {record.id: record.language for record in self.records}
            self._indexed = self.tokens, WordedTokens.of(self.tokens, languages)
        return self._indexed[1]

    def by_video(self) -> Iterator[tuple[VideoRecord, Int64]]:
        """Each video, and the rows of its tokens."""
        for record in self.records:
            # To compare a hundred thousand names takes as long as the rest of a query.
            is_mine = True if self.is_one else self.tokens.video_ids == record.id
            yield record, np.flatnonzero(np.broadcast_to(is_mine, len(self.tokens)))

    def _prior(self, text: str, embedding: Float32, calibration: Calibration) -> dict[str, float]:
        # Not at the top: this loads ONNX Runtime, which not every encoder needs.
        from seal.encode.names import known

        looked = {record.id: was_detected(record) for record in self.records}
        asked = known(text) if any(looked.values()) else 0.0
        by_look = {was: calibration.prior(embedding, asked * was) for was in set(looked.values())}
        return {video: by_look[was] for video, was in looked.items()}


class Encoders:
    """The encoders that made the tokens of videos, each loaded once.

    `given` is one that was handed in as an object.
    """

    def __init__(self, given: Encoder | None = None) -> None:
        self._loaded = {} if given is None else {given.fingerprint: given}

    def add(self, encoder: Encoder) -> None:
        """Another encoder that was handed in as an object."""
        self._loaded[encoder.fingerprint] = encoder

    def of(self, record: VideoRecord) -> Encoder:
        """The encoder of a video.

        Raises StoreError if other weights than the video's are installed now, and if the encoder
        was handed in as an object and is not given.
        """
        if record.encoder not in self._loaded:
            self._loaded[record.encoder] = _load_encoder(record)
        return self._loaded[record.encoder]


class StoredContent(Content):
    """Tokens of a store, with its pictures."""

    def __init__(self, store: Store, records: Sequence[VideoRecord]) -> None:
        super().__init__(records)
        self.store = store

    def pictures(self, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """The stored frames: see `Store.pictures`.

        Raises StoreError for a frame that cannot be decoded.
        """
        shares = np.broadcast_to(np.asarray(at, np.float64), len(tokens))
        found: list[bytes] = [b""] * len(tokens)
        for video in dict.fromkeys(tokens.video_ids.tolist()):
            rows = np.flatnonzero(tokens.video_ids == video)
            pictures = self.store.pictures(video, tokens.take(rows), shares[rows])
            check_pictures(self.store.path, tokens.ids[rows].tolist(), pictures)
            for row, picture in zip(rows.tolist(), pictures, strict=True):
                found[row] = picture
        return found


class VideoContent(StoredContent):
    """All tokens of one video, or those of some `kinds`."""

    is_one = True

    def __init__(
        self,
        store: Store,
        record: VideoRecord,
        encoders: Encoders | None = None,
        kinds: Sequence[str] | None = None,
    ) -> None:
        super().__init__(store, [record])
        self._encoders = encoders or Encoders()
        self._kinds = kinds

    @cached_property
    def tokens(self) -> Tokens:
        return self.store.tokens(self.records[0].id, kinds=self._kinds)

    @cached_property
    def encoder(self) -> Encoder:
        return self._encoders.of(self.records[0])

    @cached_property
    def shift_s(self) -> Float64:
        return np.zeros(len(self.tokens))

    def count(self, record: VideoRecord) -> int:
        return len(self.tokens)


class NearestContent(StoredContent):
    """The `limit` tokens of many videos, of one encoder, that are most relevant to one question.

    Pictures are looked for by their embeddings. Words are those of the videos that have the nearest
    ones by their embeddings and by their terms, and they have the relevance that they have among
    all words of their video. Where the encoder gives a token several embeddings, their mean counts.
    """

    is_one = False

    def __init__(
        self,
        store: Store,
        records: Sequence[VideoRecord],
        encoder: Encoder,
        text: str,
        limit: int,
        said: SaidInVideos | None = None,
    ) -> None:
        super().__init__(store, records)
        self._encoder = encoder
        self._shape = encoder.dimension, encoder.facets
        embedding = embed_query(encoder, text)
        calibration = encoder.calibration
        # The relevance of a picture is linear in its embedding, and this is its direction.
        direction = embedding if calibration is None else calibration.line(embedding)[0]
        counts, words = store.counts(), kinds.worded()
        self._counts = {name: sum(of.values()) for name, of in counts.items()}
        seen = [name for name in kinds.known() if name not in words]
        nearest = store.nearest(direction, encoder.facets, limit, seen)
        # Another process may have stored or removed a video since `records` were read.
        self.records = [record for record in records if record.id in self._counts]
        self._tokens = _in_order(nearest, [record.id for record in self.records])
        if any(of.get(kind) for of in counts.values() for kind in words):
            spoken = self._saying(text, embedding, math.ceil(limit * _WORDED))
            found = (said or SaidInVideos(store)).of(spoken, self._shape)
            self._remember_with(text, embedding, found)
        else:
            self._remember(text, embedding)
        self._keep(self.question(text), limit)

    def _saying(self, text: str, embedding: Float32, few: int) -> list[VideoRecord]:
        """The videos with the words that are nearest to a question, at most 2 * _SEARCHED."""
        words, known = kinds.worded(), {record.id: record for record in self.records}
        near = self.store.nearest(embedding, self._shape[1], few, words)
        order = np.argsort(-(near.embeddings @ embedding), kind="stable")
        ranked = [self.store.saying(text, few), near.video_ids[order].tolist()]
        # A video may come or go between the reads.
        several = ([name for name in dict.fromkeys(one) if name in known] for one in ranked)
        return [known[name] for name in dict.fromkeys(chain(*(one[:_SEARCHED] for one in several)))]

    def _remember_with(self, text: str, embedding: Float32, said: Mapping[str, Said]) -> None:
        """As `_remember`, with the words of these videos beside the tokens, which are pictures."""
        calibration = self.encoder.calibration
        prior = {} if calibration is None else self._prior(text, embedding, calibration)
        seen = relevance(self.tokens, embedding, calibration, text)
        tokens, scores, found_by = [self.tokens], [seen], [np.full(len(seen), "picture")]
        limit = np.array([-UNQUOTED], np.float32)
        for record, rows in self.by_video():
            video = AskedVideo(rows, prior.get(record.id, 0.0), self.count(record))
            if quotes(text):
                most = on_one_scale(limit, seen[rows], video, calibration)
                seen[rows] = np.minimum(seen[rows], most)
            if record.id in said:
                words = said[record.id]
                tokens.append(words.tokens)
                own = words.relevance(seen[rows], text, embedding, video, calibration)
                scores.append(own[0])
                found_by.append(own[1])
        self._tokens = Tokens.concatenate(tokens)
        self._questions[text] = Question(
            text, embedding, np.concatenate(scores), prior, np.concatenate(found_by)
        )

    def _keep(self, question: Question, limit: int) -> None:
        """Keep the `limit` most relevant tokens, with the sentences of the nearest meaning."""
        said = np.flatnonzero(question.found_by != "picture")
        nearness = self._tokens.embeddings[said] @ question.embedding
        ranked = np.argsort(-question.relevance, kind="stable")
        meant = said[np.argsort(-nearness, kind="stable")[: math.ceil(limit * _MEANT)]]
        ranked = np.concatenate([meant, ranked[~np.isin(ranked, meant)]])
        best = np.sort(ranked[:limit])
        best = best[_store_order(self._tokens.take(best))]
        self._tokens = self._tokens.take(best)
        self._questions[question.text] = replace(
            question, relevance=question.relevance[best], found_by=question.found_by[best]
        )
        present = set(self._tokens.video_ids.tolist())
        self.records = [record for record in self.records if record.id in present]

    @property
    def tokens(self) -> Tokens:
        return self._tokens

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    @property
    def total(self) -> int:
        return sum(self._counts.values())

    def count(self, record: VideoRecord) -> int:
        return self._counts[record.id]

    @cached_property
    def shift_s(self) -> Float64:
        return one_after_another(self._tokens, [record.id for record in self.records])


def _in_order(tokens: Tokens, videos: Sequence[str]) -> Tokens:
    """The tokens of these videos, in the order of `_store_order`."""
    tokens = tokens.take(np.isin(tokens.video_ids, videos))
    return tokens.take(_store_order(tokens))


def _store_order(tokens: Tokens) -> Int64:
    """How tokens sort by video, kind and start, as the store has them."""
    places = {name: place for place, name in enumerate(kinds.known())}
    order = tokens.per_kind(lambda kind: places[kind.name])
    return np.lexsort((tokens.start_s, order, tokens.video_ids))


def was_detected(record: VideoRecord) -> bool:
    """Whether a detector has looked at the video."""
    stage = record.options.get("detect")
    return isinstance(stage, Mapping) and stage.get("backend") != "none"


def one_after_another(tokens: Tokens, videos: Iterable[str]) -> Float64:
    """[n] what to add to the times of each token so that `videos` follow one another.

    The first token of all is then at 0, because objectives may compare times in single precision,
    and long pauses lie between the videos. Each of the videos has a token.
    """
    shift_s, begin_s, middle_s = np.zeros(len(tokens)), 0.0, tokens.middle_s
    for video in videos:
        mine = tokens.video_ids == video
        shift_s[mine] = begin_s - middle_s[mine].min()
        begin_s = float((middle_s[mine] + shift_s[mine]).max()) + _PAUSE_S
    return shift_s


def _load_encoder(record: VideoRecord) -> Encoder:
    if record.encoder_options.get("backend") == "instance":
        raise StoreError(
            f"{record.path} was indexed with an encoder that was handed in as an object"
            f" ({record.encoder}); hand it in again: seal.open(..., encoder=...)"
        )
    # The store may be someone else's: what it names is looked for on this machine alone.
    with nothing_fetched("encode", record.encoder_options):
        encoder = encode.load(Options.load(record.profile, encoder_settings(record)).encode)
    if encoder.fingerprint != record.encoder:
        raise StoreError(
            f"{record.path} was indexed with other encoder weights ({record.encoder})"
            f" than are installed now ({encoder.fingerprint}); run `seal index` on it again"
        )
    return encoder


def embed_query(encoder: Encoder, query: str) -> Float32:
    """[d] of a query. Raises OptionError if it is empty, too long (1,000 characters) or no text."""
    if not query.strip():
        raise OptionError("the query is empty; say what to look for")
    if len(query) > LONGEST_QUERY:
        raise OptionError(
            f"the query has {len(query):,} characters; at most {LONGEST_QUERY:,} are read"
        )
    check_unicode(query)
    embedding: Float32 = encoder.encode_texts([query])[0]
    return embedding


def check_unicode(question: str) -> None:
    """Raise OptionError for half of a character, which no encoder and no model can be sent."""
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise OptionError(f"{question!r} is not valid Unicode: type it in UTF-8") from error
