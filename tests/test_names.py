"""What a query has to do with the names that a detector gives."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.attention import NAMED, relevance
from seal.detect.coco import COCO
from seal.encode.names import matches
from seal.errors import OptionError
from seal.types import Tokens


def asked(query: str) -> dict[str, float]:
    """The names that a query asks for, by more than a fifth."""
    found = matches(query, COCO)
    return {COCO[i]: float(found[i]) for i in np.flatnonzero(found > 0.2)}


@pytest.mark.parametrize("name", COCO)
def test_a_name_asks_for_itself_most(name: str) -> None:
    found = matches(f"a {name}", COCO)
    assert COCO[int(found.argmax())] == name
    assert found.max() > 0.9


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("a dog", {"dog"}),
        ("a bear", {"bear"}),
        ("puppy", {"dog"}),
        ("a kitten", {"cat"}),
        ("a motorbike", {"motorcycle"}),
        ("vehicles", {"bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"}),
        ("somebody", {"person"}),
        ("a woman", {"person"}),
        ("the sea", set()),
        ("hands", set()),
        ("a guitar", set()),
    ],
)
def test_plain_words(query: str, names: set[str]) -> None:
    assert set(asked(query)) == names


def test_an_animal_is_each_of_them_and_no_hot_dog() -> None:
    found = asked("an animal")
    assert {"dog", "cat", "horse", "zebra"} <= set(found)
    assert "hot dog" not in found


def test_the_words_of_a_sentence_count_less() -> None:
    found = asked("a dog chasing a man")
    assert found["dog"] == pytest.approx(0.5, abs=0.05)
    assert found["person"] == pytest.approx(0.4)
    assert asked("a woman")["person"] < asked("people")["person"]


@given(st.text(min_size=1, max_size=40), st.lists(st.sampled_from(COCO), max_size=5))
def test_any_text_gives_shares(text: str, names: list[str]) -> None:
    try:
        found = matches(text, names)
    except OptionError:
        return  # There is no word in it.
    assert found.shape == (len(names),)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_name_adds_to_the_relevance_of_what_is_seen() -> None:
    facets = np.tile(np.array([0.1, 1, 0, 0], np.float32), (4, 1, 1))
    tokens = Tokens.of(
        ["object", "object", "action", "object"],
        [(i, i + 1) for i in range(4)],
        Fraction(1),
        facets,
        scores=[0.9, 0.9, 0.5, 0.9],
        text=["dog", "", "dog", "car"],
    )
    query = np.array([1, 0, 0, 0], np.float32)
    plain = relevance(tokens, query)
    named = relevance(tokens, query, text="a dog")
    np.testing.assert_allclose(named - plain, [NAMED * 0.9, 0, NAMED * 0.5, 0], atol=1e-3)
    np.testing.assert_array_equal(relevance(tokens, query, text="the sea"), plain)
    assert [tokens.words(i) for i in range(4)] == ["dog 0.90", "", "dog 0.50", "car 0.90"]
