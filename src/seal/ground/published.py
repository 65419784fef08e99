"""Published features in place of tokens: examples to learn from, and moments found in them.

A row of features is a position that lasts for its stretch of the video. There is no relevance,
because features and words come from networks that share no space; a head learns without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from seal import encode
from seal.config import DecodeOptions, NetworkOptions, Options
from seal.errors import DataError
from seal.ground.data import Sample, source
from seal.ground.data.families import check_family, split_family
from seal.ground.data.features import Features
from seal.ground.examples import SCENE, HeadExample, HeadQuestion, Timeline, evenly, shown, varied
from seal.ground.localise import Localiser
from seal.ground.networks import Network
from seal.ground.words import QueryWords
from seal.training.feed import shuffled
from seal.types import Float32, Int64, Moment, Span

_QUESTIONS = 4
"""At most, asked of one video in one example: it is encoded once for all of them."""


def opened(dataset: str, features: str, words: str | None) -> tuple[str, Features, QueryWords]:
    """The family and the features that "FAMILY:PATH" names, and the words of the queries in the
    file or folder `words`, or by the encoder of the default profile.

    Raises OptionError for an unknown data set or family, DataError if there is nothing at a path.
    """
    family, path = split_family(features)
    rows = source(dataset).features(path)
    if words is not None:
        return family, rows, QueryWords(Features(words))
    return family, rows, QueryWords(encode.load(Options().encode))


def timeline(sample: Sample, features: Features) -> Timeline:
    """The rows of features of a sample's video, each as a position. Raises DataError."""
    rows = features.of(sample)
    edges_s = np.linspace(0.0, sample.duration_s, len(rows) + 1)
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (len(rows), 1))
    kinds = np.full(len(rows), SCENE, np.int64)
    return Timeline(rows, kinds, np.stack([edges_s[:-1], edges_s[1:]], 1), whole)


def fitted(
    options: NetworkOptions, family: str, features: Features, words: QueryWords, sample: Sample
) -> NetworkOptions:
    """The options of a head for these features and words, of which `sample` is one.

    Raises DataError for dimensions that the family is not published with.
    """
    asked = words.of(sample).shape[1]
    return replace(
        options,
        encoder=f"features:{family}",
        dimension=check_family(family, features, sample),
        words=words.name,
        query_dimension=asked,
    )


class PublishedExamples:
    """Examples without end: all videos in random order, then all in another one, with at most
    `_QUESTIONS` of the queries of each. Budgets are drawn (`varied`); a video with fewer rows than
    the budget is seen whole.

    Samples without times or features are left out: `missing` says how many. Raises DataError if
    none is left; making an example does for features of another dimension than the options.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        features: Features,
        words: QueryWords,
        options: NetworkOptions,
        seed: int = 0,
    ) -> None:
        self._by_video: dict[str, list[Sample]] = {}
        for sample in usable(samples, features):
            self._by_video.setdefault(sample.video, []).append(sample)
        self.missing = len(samples) - sum(map(len, self._by_video.values()))
        self._videos = list(self._by_video)
        self._features = Features(features.path, options.dimension, features.rate_hz)
        self._words, self._options, self._seed = words, options, seed

    def __getitem__(self, number: int) -> HeadExample:
        """Example `number`, from 0. Raises DataError for damaged features."""
        rng = np.random.default_rng([self._seed, number])
        of_video = self._by_video[self._videos[shuffled(number, len(self._videos), self._seed)]]
        count = min(len(of_video), _QUESTIONS)
        asked = [of_video[i] for i in rng.permutation(len(of_video))[:count]]
        video = timeline(asked[0], self._features)
        questions = [_question(sample, self._words, len(video), self._options) for sample in asked]
        budget = varied(self._options, rng).budget
        rows = evenly(np.arange(len(video)), video.spans.mean(1), budget)
        return shown(video, questions, rows)


def usable(samples: Iterable[Sample], features: Features) -> list[Sample]:
    """The samples with times, of whose videos there are features. Raises DataError if none has."""
    every = list(samples)
    found = [sample for sample in every if sample.spans and features.has(sample)]
    if not found:
        raise DataError(
            f"none of the {len(every)} queries has times and features of its video in"
            f" {features.path}"
        )
    return found


def find_in_features(
    network: Network,
    samples: Iterable[Sample],
    features: Features,
    words: QueryWords,
    options: DecodeOptions,
    budget: int | None = None,
) -> Iterator[tuple[Sample, list[Moment]]]:
    """What a head finds for each sample whose video has features, in seconds from its start.

    Samples of one video come one after another, so that it is encoded once. Raises DataError for
    damaged features and for those of another dimension than the head's.
    """
    sizes = network.sizes
    features = Features(features.path, sizes.dimension, features.rate_hz)
    opened: tuple[str, Timeline, Localiser] | None = None
    for sample in samples:
        if not features.has(sample):
            continue
        if opened is None or opened[0] != sample.video:
            video = timeline(sample, features)
            rows = evenly(np.arange(len(video)), video.spans.mean(1), budget or sizes.budget)
            localiser = Localiser(network, video, Span(0.0, sample.duration_s), _always(rows))
            opened = sample.video, video, localiser
        question = _question(sample, words, len(opened[1]), sizes)
        yield sample, opened[2]([question.query], [question.relevance], options)[0]


def _question(
    sample: Sample, words: QueryWords, positions: int, options: NetworkOptions
) -> HeadQuestion:
    query = words.of(sample)
    if query.shape[1] != options.words_dimension:
        raise DataError(
            f"the words of query {sample.id} have {query.shape[1]} dimensions, not"
            f" {options.words_dimension}"
        )
    moments = np.array([[span.start_s, span.end_s] for span in sample.spans]).reshape(-1, 2)
    return HeadQuestion(query, np.zeros(positions, np.float32), moments)


def _always(rows: Int64) -> Callable[[Float32], Int64]:
    return lambda scores: rows
