"""What a question is asked of, with the options of a task: selections, matches and moments."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from seal.attention import Budget, Candidates, choose
from seal.attention.candidates import costs
from seal.attention.streaming import Standing, Stream
from seal.config import DecodeOptions, FindOptions, Options
from seal.content import Content, Question, VideoContent
from seal.devices import resolve_device
from seal.encode import Encoder
from seal.encoders import Encoders
from seal.ground import Curve, most_relevant, relevance_curve
from seal.lookup import find_video, options_of
from seal.results import Found, Match, Reach, Selection, Verdict
from seal.store import Store, VideoRecord
from seal.types import Choice, Float32, Float64, Int64, Mask, Moment, Tokens


class Scope:
    """Content that is asked about, and the options of a task.

    The scopes of one content share its tokens, its encoder and the questions it remembers.
    """

    def __init__(self, content: Content, options: Options) -> None:
        self.content = content
        self.options = options

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
        return self.content.is_one

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

    def candidates(self, scores: Float32, query: str) -> Candidates:
        """All tokens with this relevance [n] to a query, and when they are, with videos one after
        another."""
        candidates = Candidates.of(self.tokens, scores, query)
        return replace(candidates, times_s=candidates.times_s + self.content.shift_s)

    def choose(self, text: str, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Choice:
        """The rows of the tokens worth looking at for a query, within `attention.budget`.

        Those with the ids `include` are among them, and those with the ids `exclude` are not.
        Raises OptionError for an id that no token has, and if what is included does not fit.
        """
        attention = self.options.attention
        budget = Budget.of_tokens(self.tokens, attention, include, exclude)
        return choose(self.candidates(self.relevance(text), text), attention, budget)

    def select(
        self, text: str, include: Iterable[str] = (), exclude: Iterable[str] = ()
    ) -> Selection:
        """The tokens worth looking at for a query, and how good the choice is: see `choose`."""
        began = time.monotonic()
        return self.selection(text, self.choose(text, include, exclude), began)

    def selection(self, text: str, choice: Choice, began: float) -> Selection:
        """A choice for a query as a result; `began` is when it was started, of time.monotonic."""
        question, tokens = self.content.question(text), self.tokens.take(choice.rows)
        is_answer = self.are_answers(question)[choice.rows]
        return Selection(
            query=text,
            tokens=tokens,
            relevance=choice.relevance,
            is_answer=is_answer,
            found_by=question.found_by[choice.rows],
            reach=self._reach(question.relevance, choice.rows, is_answer),
            match=self.match(question),
            objective=choice.objective,
            upper_bound=choice.upper_bound,
            gap=choice.gap,
            cost=float(costs(tokens, self.options.attention).sum()),
            seconds=time.monotonic() - began,
            candidates=len(self.tokens),
            several=not self.is_one,
        )

    def _reach(self, relevance: Float32, rows: Int64, is_answer: Mask) -> Reach | None:
        """How far tokens as relevant as the answers among the chosen `rows` are from these.

        None where nothing answers, and of several videos, of which some may have nothing chosen.
        """
        if not (self.is_one and is_answer.any()):
            return None
        least = float(relevance[rows[is_answer]].min())
        start_s, end_s = self.tokens.start_s, self.tokens.end_s
        relevant = relevance >= least
        before_s = start_s[relevant, None] - end_s[rows]
        after_s = start_s[rows] - end_s[relevant, None]
        apart_s = np.maximum(np.maximum(before_s, after_s), 0).min(1)
        return Reach(least, float(apart_s.max()))

    def match(self, question: Question) -> Match | None:
        """Whether a video shows what is asked for; the likeliest video counts.

        None where the encoder is not calibrated.
        """
        calibration = self.content.encoder.calibration
        if calibration is None:
            return None
        chances = [
            calibration.probability(
                question.relevance[rows], question.prior[video.id], self.content.count(video)
            )
            for video, rows in self.content.by_video()
        ]
        best = max(chances, default=0.0)
        return Match(verdict_of(best, self.options.find), best, self._doubt(question))

    def _doubt(self, question: Question) -> str:
        """Why a verdict is worth little, given what speaks for the best token."""
        scores = question.relevance
        by = str(question.found_by[np.argmax(scores)]) if len(scores) else "picture"
        return self.content.doubt(question.text, by)

    def are_answers(self, question: Question) -> Mask:
        """[n] the tokens that are relevant enough to be there for the query.

        If such a token is the best one, its video is not unlikely to match. Without a calibration
        it is more relevant than the middle one of all.
        """
        scores = question.relevance
        if not len(scores):
            return np.zeros(0, bool)
        if self.content.encoder.calibration is None:
            return np.asarray(scores > np.median(scores), bool)
        threshold = np.empty(len(scores))
        for video, rows in self.content.by_video():
            threshold[rows] = self.least(question, video)
        return np.asarray(scores >= threshold, bool)

    def least(self, question: Question, video: VideoRecord) -> float:
        """The relevance from which a token of a video is an answer, where the encoder is
        calibrated; else -inf."""
        find = self.options.find
        least = min(find.min_probability, find.unsure_probability)
        return self._threshold(question, video, least)

    def _threshold(self, question: Question, video: VideoRecord, probability: float) -> float:
        """The relevance with which one token by itself makes a video match with this probability;
        none is too low where the encoder is not calibrated."""
        calibration = self.content.encoder.calibration
        if calibration is None:
            return -np.inf
        prior, count = question.prior[video.id], self.content.count(video)
        return calibration.threshold(probability, prior, count)

    def find(self, text: str) -> Found:
        """The moments of one video that a query describes, best first, at most `find.top`.

        By the trained head `find.head` where one is set; BackendError if it cannot be loaded.
        """
        question = self.content.question(text)
        return Found(text, self.match(question), self.moments(question))

    def curve(self, question: Question) -> Curve:
        """How relevant each instant of the video is."""
        return relevance_curve(self.tokens, question.relevance, self.options.find)

    def moments(self, question: Question) -> list[Moment]:
        """The moments of a question, best first, at most `find.top`.

        If the question has quotes, they are those of tokens that have the words; of a head all.
        """
        options = self.options.find
        if options.head is not None:
            return self._shown_by([(one, None) for one in self._localised(question)], question)
        least = self._threshold(question, self.record, options.unsure_probability)
        timed, has = self.content.timed(options.smoothing_s), self.content.quoted(question.text)
        found = timed.moments(question.relevance, options, least)
        if has is not None:
            found = [(moment, row) for moment, row in found if row is not None and has[row]]
        return self._shown_by(found, question)

    def _localised(self, question: Question) -> list[Moment]:
        find = self.options.find
        device = resolve_device(find.device)
        from seal.ground.checkpoint import opened
        from seal.ground.words import words_of

        head = opened(str(find.head), self.record.encoder, device)
        localiser = self.content.localiser(head, self.options.head, find.head_budget)
        options = DecodeOptions(top=find.top, candidates=max(find.top, DecodeOptions().candidates))
        query = question.embedding
        if head.sizes.by_words:
            query = words_of(self.content.encoder, question.text)
        return localiser([query], [question.relevance], options)[0]

    def _shown_by(
        self, moments: list[tuple[Moment, int | None]], question: Question
    ) -> list[Moment]:
        """The moments, with their video and the token that shows each: that of the row beside it,
        or the most relevant one on the screen."""
        tokens, shown = self.tokens, []
        for moment, named in moments:
            moment, row = replace(moment, video=self.record.id), named
            if row is None:
                row = most_relevant(tokens, question.relevance, moment.span)
            if row is not None:
                by = str(question.found_by[row])
                text = "" if by == "picture" else str(tokens.text[row])
                moment = replace(moment, token=str(tokens.ids[row]), found_by=by, text=text)
            shown.append(moment)
        return shown


def verdict_of(probability: float, options: FindOptions) -> Verdict:
    """The word for a probability that a video shows what is asked."""
    if probability >= options.min_probability:
        return "likely"
    return "unsure" if probability >= options.unsure_probability else "unlikely"


def window_matches(stream: Stream, encoder: Encoder, options: Options) -> list[Match | None]:
    """For each query of a stream, whether the last window shows what it says.

    None where nothing is asked, and where the encoder is not calibrated.
    """
    return [_window_match(stream, query, encoder, options) for query in stream.queries]


def _window_match(
    stream: Stream, query: Standing, encoder: Encoder, options: Options
) -> Match | None:
    calibration = encoder.calibration
    if calibration is None or not query.text:
        return None
    from seal.encode.names import known

    asked = known(query.words) if options.detect.backend != "none" else 0.0
    prior = calibration.prior(query.embedding, asked)
    probability = calibration.probability(stream.last_relevance(query), prior)
    return Match(verdict_of(probability, options.find), probability)
