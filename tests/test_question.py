"""What a question says of how a selection should be made."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.attention import Candidates, pick
from seal.attention.question import answer_weight, features, is_summary
from seal.config import AttentionOptions


def candidates(relevance: list[float], query: str = "", **columns: object) -> Candidates:
    """Tokens that have nothing to do with each other, a second apart."""
    n = len(relevance)
    scores = np.array(relevance, np.float32)
    return Candidates(
        scores, np.eye(n, dtype=np.float32), np.arange(n) * 1.0, query=query, **columns
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "Summarize the video",
        "What happens in this video?",
        "what is this film about",
        "Give me an overview of the whole recording",
        "Describe the clip.",
        "The main events, please",
        "Summarize the video, above all Book and Street",
    ],
)
def test_a_summary_is_asked_for(text: str) -> None:
    assert is_summary(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a rabbit",
        "Summarize the discussion about remote controls",
        "What happens at the end of the video?",
        "Why does the dog bark?",
        "describe the dog",
        "a person explains the video recorder",
        "the main road",
    ],
)
def test_something_specific_is_asked_for(text: str) -> None:
    assert not is_summary(text)


ONE_PEAK = [0.9] + [0.1] * 49
MANY = [0.9] * 25 + [0.1] * 25


def test_a_summary_is_of_the_video_and_a_question_is_answered() -> None:
    for relevance in (ONE_PEAK, MANY):
        assert answer_weight(candidates(relevance, "Summarize the video")) < 0.03
        assert answer_weight(candidates(relevance, "a rabbit")) > 0.1
    assert answer_weight(candidates(MANY, "a rabbit")) > 0.7


def test_the_more_of_the_video_is_relevant_the_more_is_for_the_question() -> None:
    weights = [answer_weight(candidates([0.9] * i + [0.1] * (50 - i), "a dog")) for i in (1, 5, 25)]
    assert weights == sorted(weights)
    assert weights[2] - weights[0] > 0.3


def test_where_nothing_stands_out_nothing_answers() -> None:
    assert answer_weight(candidates([0.4] * 9, "a dog")) == 0
    assert answer_weight(candidates([])) == 0


@given(st.lists(st.integers(1, 5), min_size=2, max_size=9), st.integers(0, 99))
def test_a_token_that_stands_for_several_counts_as_several(numbers: list[int], seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, len(numbers)).tolist()
    few = candidates(scores, multiplicity=np.array(numbers, float))
    every = candidates(np.repeat(scores, numbers).tolist())
    assert features(few) == pytest.approx(features(every), abs=1e-6)
    parted = candidates(scores[:1], past=candidates(scores[1:]))
    assert features(parted) == pytest.approx(features(candidates(scores)), abs=1e-6)


def test_answers_do_not_repeat_each_other() -> None:
    relevance = np.array([0.9, 0.89, 0.7, *[0.0] * 9], np.float32)
    embeddings = np.eye(12, dtype=np.float32)
    embeddings[1] = embeddings[0]
    c = Candidates(relevance, embeddings, np.arange(12) * 9.0)
    options = AttentionOptions(budget=2, answer_weight=1.0, neighbour_weight=0.0)
    assert sorted(pick(c, options)) == [0, 2]
    repeating = AttentionOptions(budget=2, answer_weight=1.0, neighbour_weight=0.0, redundancy=0.0)
    assert sorted(pick(c, repeating)) == [0, 1]


def test_sentences_that_are_found_by_their_words_may_be_alike() -> None:
    c = candidates([0.9, 0.89, 0.7, *[0.0] * 9], by_words=np.ones(12, bool))
    c.embeddings[1] = c.embeddings[0]
    options = AttentionOptions(budget=2, answer_weight=1.0, neighbour_weight=0.0)
    assert sorted(pick(c, options)) == [0, 1]
    assert sorted(pick(replace(c, by_words=None), options)) == [0, 2]


def test_of_equal_tokens_the_one_in_a_relevant_place_is_chosen() -> None:
    scores = [0.0, 0.5, 0.0, 0.0, 0.3, 0.5, 0.3, 0.0, 0.0]
    assert pick(candidates(scores), AttentionOptions(budget=1)).tolist() == [5]
    alone = AttentionOptions(budget=1, neighbour_weight=0.0, answer_weight=1.0)
    assert pick(candidates(scores), alone).tolist() == [1]
