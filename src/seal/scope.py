"""What a question is asked of: the tokens of one video, or the nearest tokens of many."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from seal import encode
from seal.attention import Budget, Candidates, choose, relevance
from seal.attention.candidates import costs
from seal.config import DecodeOptions, Options
from seal.encode import Encoder
from seal.errors import OptionError, StoreError
from seal.ground import Curve, find_moments, relevance_curve
from seal.lookup import encoder_settings, find_video, options_of
from seal.results import Found, Match, Selection
from seal.store import Store, VideoRecord
from seal.store.pictures import check_pictures
from seal.types import Choice, Float32, Float64, Mask, Moment, Tokens
from seal.weights import nothing_fetched, require

if TYPE_CHECKING:
    from seal.ground.model import Head

LONGEST_QUERY = 1000
"""Encoders cut longer texts silently; nobody asks for one thing in so many words."""
_REMEMBERED = 8
"""Questions whose relevance is kept: find, show and ask of one question compute it once."""
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


class Content(ABC):
    """Stored tokens, their encoder and their pictures; questions about them are remembered."""

    def __init__(self, store: Store, records: Sequence[VideoRecord]) -> None:
        self.store = store
        self.records = records
        """The videos that the tokens are of."""
        self._questions: OrderedDict[str, Question] = OrderedDict()

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

    def pictures(self, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """The stored frames, as JPEG, of some of the tokens: see `Store.pictures`.

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

    def question(self, text: str) -> Question:
        """The relevance of every token to a text.

        Raises OptionError for an empty text and for one longer than 1,000 characters.
        """
        if text not in self._questions:
            self._remember(text, embed_query(self.encoder, text))
        self._questions.move_to_end(text)
        return self._questions[text]

    def _remember(self, text: str, embedding: Float32) -> None:
        scores = relevance(self.tokens, embedding, self.encoder.calibration, text)
        self._questions[text] = Question(text, embedding, scores)
        if len(self._questions) > _REMEMBERED:
            self._questions.popitem(last=False)


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


class VideoContent(Content):
    """All tokens of one video."""

    def __init__(self, store: Store, record: VideoRecord, encoders: Encoders | None = None) -> None:
        super().__init__(store, [record])
        self._encoders = encoders or Encoders()

    @cached_property
    def tokens(self) -> Tokens:
        return self.store.tokens(self.records[0].id)

    @cached_property
    def encoder(self) -> Encoder:
        return self._encoders.of(self.records[0])

    @cached_property
    def shift_s(self) -> Float64:
        return np.zeros(len(self.tokens))

    def count(self, record: VideoRecord) -> int:
        return len(self.tokens)


class NearestContent(Content):
    """The `limit` tokens of many videos, of one encoder, that are nearest to one question.

    Where the encoder gives a token several embeddings, their mean counts.
    """

    def __init__(
        self,
        store: Store,
        records: Sequence[VideoRecord],
        encoder: Encoder,
        text: str,
        limit: int,
    ) -> None:
        self._encoder = encoder
        embedding = embed_query(encoder, text)
        calibration = encoder.calibration
        # Relevance is linear in a token's embedding, and this is its direction.
        direction = embedding if calibration is None else calibration.line(embedding)[0]
        nearest = store.nearest(direction, encoder.facets, limit)
        self._counts = {name: sum(kinds.values()) for name, kinds in store.counts().items()}
        # Another process may have stored or removed a video since `records` were read.
        known = [record.id for record in records if record.id in self._counts]
        self._tokens = nearest.take(np.isin(nearest.video_ids, known))
        present = set(self._tokens.video_ids.tolist())
        super().__init__(store, [record for record in records if record.id in present])
        self._remember(text, embedding)

    @property
    def tokens(self) -> Tokens:
        return self._tokens

    @property
    def encoder(self) -> Encoder:
        return self._encoder

    def count(self, record: VideoRecord) -> int:
        return self._counts[record.id]

    @cached_property
    def shift_s(self) -> Float64:
        return one_after_another(self._tokens, [record.id for record in self.records])


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


class Scope:
    """Content that is asked about, and the options of a task.

    The scopes of one content share its tokens, its encoder and the questions it remembers.
    """

    def __init__(self, content: Content, options: Options, head: Head | None = None) -> None:
        self.content = content
        self.options = options
        self._head = head

    @staticmethod
    def of(
        store: Store,
        name: str,
        task: str,
        settings: Iterable[str] = (),
        encoders: Encoders | None = None,
    ) -> Scope:
        """One video of a store, as `find_video` knows it, and the options of a task with settings.

        Raises NotIndexedError if the store has no such video, OptionError for a wrong setting.
        """
        record = find_video(store, name)
        options = options_of(store, record, settings, task)
        return Scope(VideoContent(store, record, encoders), options)

    @property
    def tokens(self) -> Tokens:
        """The tokens that can be chosen: [n]."""
        return self.content.tokens

    @property
    def record(self) -> VideoRecord:
        """The video that is asked about, where that is one."""
        (record,) = self.content.records
        return record

    @property
    def is_one(self) -> bool:
        """Whether one video is asked about, whose times then need no name of a video."""
        return isinstance(self.content, VideoContent)

    def number(self, video: str) -> int:
        """The number of a video in prompts and citations, from 1; 0 where one is asked about."""
        if self.is_one:
            return 0
        return [record.id for record in self.content.records].index(video) + 1

    @property
    def start_s(self) -> Float64:
        """[n] when each token starts, with videos one after another."""
        return self.tokens.start_s + self.content.shift_s

    def pictures(self, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """The stored frames, as JPEG, of some of the tokens: see `Store.pictures`."""
        return self.content.pictures(tokens, at)

    def relevance(self, text: str) -> Float32:
        """R of every token to a text: [n] in [-1, 1]."""
        return self.content.question(text).relevance

    def candidates(self, scores: Float32) -> Candidates:
        """All tokens with this relevance [n], and when they are, with videos one after another."""
        times_s = self.tokens.middle_s + self.content.shift_s
        return Candidates(scores, self.tokens.finite_embeddings, times_s, is_checked=True)

    def choose(self, text: str, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Choice:
        """The rows of the tokens worth looking at for a query, within `attention.budget`.

        Those with the ids `include` are among them, and those with the ids `exclude` are not.
        Raises OptionError for an id that no token has, and if what is included does not fit.
        """
        attention = self.options.attention
        budget = Budget.of_tokens(self.tokens, attention, include, exclude)
        return choose(self.candidates(self.relevance(text)), attention, budget)

    def select(
        self, text: str, include: Iterable[str] = (), exclude: Iterable[str] = ()
    ) -> Selection:
        """The tokens worth looking at for a query, and how good the choice is: see `choose`."""
        began = time.monotonic()
        return self.selection(text, self.choose(text, include, exclude), began)

    def selection(self, text: str, choice: Choice, began: float) -> Selection:
        """A choice for a query as a result; `began` is when it was started, of time.monotonic."""
        scores, tokens = self.relevance(text), self.tokens.take(choice.rows)
        return Selection(
            query=text,
            tokens=tokens,
            relevance=choice.relevance,
            is_answer=self.are_answers(scores)[choice.rows],
            match=self.match(scores),
            objective=choice.objective,
            upper_bound=choice.upper_bound,
            gap=choice.gap,
            cost=float(costs(tokens, self.options.attention).sum()),
            seconds=time.monotonic() - began,
            candidates=len(self.tokens),
            several=not self.is_one,
        )

    def match(self, scores: Float32) -> Match | None:
        """Whether a video shows what these relevances [n] are of; the likeliest video counts.

        None where the encoder is not calibrated.
        """
        calibration = self.content.encoder.calibration
        if calibration is None:
            return None
        chances = [
            calibration.probability(scores[rows], self.content.count(video))
            for video, rows in self._by_video()
        ]
        best = max(chances, default=0.0)
        return Match("likely" if best >= self.options.find.min_probability else "unlikely", best)

    def are_answers(self, scores: Float32) -> Mask:
        """[n] the tokens that are relevant enough to be there for the query.

        Such a token makes its video a match if it is the best one. Without a calibration it is
        more relevant than the middle one of all.
        """
        calibration = self.content.encoder.calibration
        if not len(scores):
            return np.zeros(0, bool)
        if calibration is None:
            return np.asarray(scores > np.median(scores), bool)
        threshold = np.empty(len(scores))
        for video, rows in self._by_video():
            threshold[rows] = calibration.threshold(
                self.options.find.min_probability, self.content.count(video)
            )
        return np.asarray(scores >= threshold, bool)

    def _by_video(self) -> Iterator[tuple[VideoRecord, Mask | slice]]:
        """Each video, and which tokens are its."""
        if self.is_one:
            yield self.record, slice(None)
        else:
            for record in self.content.records:
                yield record, self.tokens.video_ids == record.id

    def find(self, text: str) -> Found:
        """The moments of one video that a query describes, best first, at most `find.top`.

        By the trained head `find.head` where one is set; BackendError if it cannot be loaded.
        """
        question = self.content.question(text)
        return Found(text, self.match(question.relevance), self.moments(question))

    def curve(self, question: Question) -> Curve:
        """How relevant each instant of the video is."""
        return relevance_curve(self.tokens, question.relevance, self.options.find)

    def moments(self, question: Question) -> list[Moment]:
        """The moments of a question, best first, at most `find.top`."""
        options = self.options.find
        if options.head is None:
            moments = find_moments(self.curve(question), options)
        else:
            moments = self._localised(question, options.top)
        return self._shown_by(moments, question.relevance)

    def _localised(self, question: Question, top: int) -> list[Moment]:
        head = self.head
        from seal.ground.examples import looking
        from seal.ground.localise import localise

        options = DecodeOptions(top=top, candidates=max(top, DecodeOptions().candidates))
        look = looking(self.pictures, self.tokens, head.sizes)
        asked = [question.embedding], [question.relevance]
        return localise(head, self.tokens, *asked, options, look=look)[0]

    @property
    def head(self) -> Head:
        """The trained head of `find.head`, loaded once."""
        if self._head is None:
            require("torch")
            from seal.ground.checkpoint import load

            self._head = load(str(self.options.find.head), encoder=self.record.encoder)
        return self._head

    def _shown_by(self, moments: list[Moment], scores: Float32) -> list[Moment]:
        """The moments, with their video and the most relevant token on the screen in each."""
        start_s, end_s = self.tokens.start_s, self.tokens.end_s
        shown = []
        for moment in moments:
            inside = (end_s > moment.span.start_s) & (start_s < moment.span.end_s)
            rows = np.flatnonzero(inside)
            token = str(self.tokens.ids[rows[np.argmax(scores[rows])]]) if len(rows) else ""
            shown.append(replace(moment, video=self.record.id, token=token))
        return shown


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
