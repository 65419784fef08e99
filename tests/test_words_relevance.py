"""The relevance of words: each part of the score, quotes, and one scale with pictures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.attention.words import (
    EVEN,
    HALF,
    SAID,
    SHRUNK,
    TOWER,
    UNQUOTED,
    Meaning,
    Parts,
    calibrated,
    log_odds,
    matched,
)
from seal.config import FindOptions, MiniEncode
from seal.encode import load
from seal.encode.calibration import Calibration
from seal.types import Float32
from seal.words.index import WordIndex

TEXTS = [
    "Good morning to all of you.",
    "The budget of the school is too small.",
    "That is so.",
    "Now to the lifeboats of the ship.",
    "Let us close the meeting.",
]


def unit(rows: np.ndarray) -> Float32:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def asked(query: str, texts: list[str] = TEXTS) -> tuple[WordIndex, Meaning, str, Float32]:
    """A query about texts, by the encoder in the package."""
    encoder = load(MiniEncode())
    index = WordIndex(texts)
    return index, Meaning.of(encoder.encode_texts(texts)), query, encoder.encode_texts([query])[0]


def calibration(d: int = 8, slope: float = 15.5) -> Calibration:
    rng = np.random.default_rng(0)
    general = unit(rng.standard_normal((600, d)))
    zeros = np.zeros(d, np.float32)
    spread = np.eye(d, dtype=np.float32) / d
    return Calibration(zeros, zeros, spread, general, slope, -12.0, 0.7, 0.5, 1.8)


def test_the_score_is_the_sum_of_its_parts() -> None:
    parts = Parts.of(*asked("the budget of the school"))
    w = TOWER
    expected = parts.own + w.passage * parts.passage + w.meaning * parts.cosine
    expected += w.length * parts.length
    assert parts.score == pytest.approx(expected)
    assert parts.own.argmax() == parts.score.argmax() == 1
    assert parts.length[2] == pytest.approx(3 / (3 + HALF))
    # The neighbours of the sentence that has the words are ahead of those further away.
    assert parts.passage[[0, 2]].min() > parts.passage[[3, 4]].max()


def test_a_text_with_every_word_once_has_a_share_of_about_one() -> None:
    texts = ["budget school", *["other words"] * 5]
    parts = Parts.of(*asked("school budget", texts))
    assert parts.own[0] == pytest.approx(1, abs=0.01)
    assert Parts.of(*asked("school zebra", texts)).own[0] < 0.5


def test_meaning_is_the_cosine_in_the_metric_of_the_texts() -> None:
    rng = np.random.default_rng(1)
    # Most of what the texts differ in is one direction, which all of them share with any query.
    rows = unit(rng.standard_normal((500, 6)) * [8, 1, 1, 1, 1, 1] + [9, 0, 0, 0, 0, 0])
    query = unit(rng.standard_normal((1, 6)) + np.array([6, 0, 0, 0, 0, 0]))[0]
    mean = rows.sum(0) / (500 + SHRUNK)
    own = (rows - mean).T @ (rows - mean) / 500
    metric = (500 * own + SHRUNK * np.eye(6) * np.trace(own) / 6) / (500 + SHRUNK)
    values, vectors = np.linalg.eigh(metric)
    root = vectors / np.sqrt(values) @ vectors.T
    expected = unit((rows - mean) @ root) @ unit((query - mean)[None] @ root)[0]
    assert Meaning.of(rows).cosines(query) == pytest.approx(expected, abs=1e-3)


@given(st.integers(0, 3), st.integers(0, 2))
def test_meaning_of_few_texts_and_of_none(known: int, unknown: int) -> None:
    rows = np.zeros((known + unknown, 4), np.float32)
    rows[np.arange(known), np.arange(known)] = 1
    query = np.array([1, 0, 0, 0], np.float32)
    cosines = Meaning.of(rows).cosines(query)
    assert np.isfinite(cosines).all()
    assert not cosines[known:].any()
    if known:
        # So few texts leave the metric as it is.
        assert cosines[:known] == pytest.approx(rows[:known] @ query, abs=0.05)


def test_meaning_finds_other_words_for_a_thing() -> None:
    index, meaning, query, embedding = asked("rescue vessels")
    assert not index.matches(query).own.any()
    assert meaning.cosines(embedding).argmax() == 3


def test_a_line_word_for_word_is_likely_and_a_noun_that_nobody_says_is_not() -> None:
    said = log_odds(*asked("The budget of the school is too small."))
    assert said.argmax() == 1
    assert said[1] > 0
    # Below a probability of 0.02.
    for noun in ("a dog", "a motorcycle", "an umbrella"):
        assert log_odds(*asked(noun)).max() < math.log(0.02 / 0.98)


def test_a_word_that_says_little_is_no_proof() -> None:
    texts = [*TEXTS, *["They talk of other things."] * 200]
    short, long = "lifeboats", "Now to the lifeboats of the ship."
    assert log_odds(*asked(short, texts)).max() < log_odds(*asked(long, texts)).max()


def test_quotes_ask_for_the_words_exactly() -> None:
    index, meaning, quoted, embedding = asked('"close the school"')
    exact = log_odds(index, meaning, quoted, embedding)
    loose = log_odds(index, meaning, quoted.strip('"'), embedding)
    assert exact == pytest.approx(np.minimum(loose, 0) - UNQUOTED, abs=1e-4)
    found = log_odds(*asked('who said "Close the MEETING"?'))
    assert found[4] > 0
    assert np.delete(found, 4).max() <= -UNQUOTED
    # Half of a phrase in each of two neighbours.
    across = log_odds(*asked('"too small. That is"'))
    assert 0 < across[[1, 2]].min() < found[4]
    assert np.delete(across, [1, 2]).max() <= -UNQUOTED


def test_what_found_a_text() -> None:
    assert Parts.of(*asked("the budget of the school")).found_by[1] == "words"
    assert Parts.of(*asked("rescue vessels")).found_by[3] == "meaning"
    texts = ["a budget", "yes", *["something else entirely"] * 20]
    assert Parts.of(*asked("budget", texts)).found_by[1] == "passage"


@pytest.mark.parametrize("query", ["a dog", '"a dog"', '"the dog is so small"'])
def test_many_texts_without_the_words_are_no_match_together(query: str) -> None:
    made, texts = calibration(), TEXTS * 800
    relevance = calibrated(log_odds(*asked(query, texts)), made, -3.5, len(texts))
    assert made.probability(relevance, -3.5) < FindOptions().unsure_probability


@given(st.floats(-3, 3), st.integers(1, 5000), st.floats(-4, -2))
def test_words_weigh_as_much_as_a_picture_of_the_same_odds(
    odds: float, count: int, prior: float
) -> None:
    made = calibration()
    relevance = calibrated(np.array([odds], np.float32), made, prior, count)
    # Alone among tokens that do not match at all, the words decide what the video's odds are.
    rest = np.full(count - 1, -1, np.float32)
    probability = made.probability(np.append(relevance, rest).astype(np.float32), prior)
    assert math.log(probability / (1 - probability)) == pytest.approx(odds, abs=1e-3)
    threshold = made.threshold(probability, prior, count)
    assert relevance[0] == pytest.approx(threshold, abs=1e-4)


def test_words_that_do_not_match_leave_pictures_their_place() -> None:
    made = calibration()
    pictures = np.array([0.1, 0.3], np.float32)
    words = calibrated(log_odds(*asked("a dog")), made, -3.5, 7)
    assert words.max() < pictures.max()
    said = calibrated(log_odds(*asked("Let us close the meeting.")), made, -3.5, 7)
    assert said.max() > pictures.max()


def test_without_a_calibration_words_are_measured_by_the_pictures() -> None:
    pictures = np.random.default_rng(0).normal(0.2, 0.02, 500).astype(np.float32)
    even, unlikely, sure = matched(np.array([0, -8, 4], np.float32), pictures)
    assert even == pytest.approx(pictures.mean() + EVEN * pictures.std(), rel=1e-5)
    assert unlikely < pictures.mean() < pictures.max() < even < sure
    # Another scale of cosines, the same order.
    scaled = matched(np.array([0, -8, 4], np.float32), 3 * pictures)
    assert scaled == pytest.approx(3 * np.array([even, unlikely, sure]), rel=1e-4)


def test_without_pictures_words_keep_their_order() -> None:
    for pictures in (np.zeros(0, np.float32), np.full(3, 0.2, np.float32)):
        ranked = matched(np.array([-9, -4, 0, 2], np.float32), pictures)
        assert (np.diff(ranked) > 0).all()
        assert np.abs(ranked).max() <= 1


def test_a_text_that_shares_but_an_article_is_not_found_by_words() -> None:
    index = WordIndex(["I live on a whale.", "Make a bed.", "Hello there!"])
    parts = Parts.of(
        index, Meaning.of(np.eye(3, dtype=np.float32)), "a bed", np.ones(3, np.float32)
    )
    assert parts.own[0] > 0
    assert parts.found_by[1] == "words"
    assert "words" not in parts.found_by[[0, 2]]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("whale", [True, False]),
        ("a whale", [True, False]),
        ("the back of a whale", [True, False]),
        ("whale shark", [False, False]),
        ("a", [False, False]),
        ("", [False, False]),
    ],
)
def test_a_query_is_said_word_for_word_but_for_its_ends(query: str, said: list[bool]) -> None:
    index = WordIndex(["I live on the back of a whale.", "Whales? A shark!"])
    assert index.says(query).tolist() == said


def test_a_single_noun_that_is_said_is_likely_by_itself() -> None:
    index = WordIndex(["It's a whale of an island", "I'm Sinbad the sailor"])
    meaning = Meaning.of(np.eye(2, dtype=np.float32))
    odds = log_odds(index, meaning, "whale", np.zeros(2, np.float32))
    assert odds[0] == SAID
    assert odds[1] < -2
