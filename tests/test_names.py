"""What a query has to do with the names that a detector gives."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.attention import NAMED, relevance
from seal.detect.coco import COCO
from seal.encode.names import evidence, matches, several
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
        ("a dining chair", {"chair", "dining table"}),
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
    np.testing.assert_allclose(named - plain, [NAMED * 0.81, 0, NAMED * 0.25, 0], atol=1e-3)
    np.testing.assert_array_equal(relevance(tokens, query, text="the sea"), plain)
    assert [tokens.words(i) for i in range(4)] == ["dog 0.90", "", "dog 0.50", "car 0.90"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("dogs", {"dog"}),
        ("motorbikes", {"motorcycle"}),
        ("people", {"person"}),
        ("two men and a cat", {"person"}),
        ("cars on a road", {"car"}),
        ("buses", {"bus"}),
        ("a dog", set()),
        ("a bus", set()),
        ("a pair of scissors", set()),
        ("a man with glasses", set()),
        ("hands", set()),
    ],
)
def test_plurals_ask_for_several_things(query: str, names: set[str]) -> None:
    wanted = several(query, COCO) & (matches(query, COCO) > 0.2)
    assert {COCO[i] for i in np.flatnonzero(wanted)} == names


def seen(*things: tuple[str, tuple[int, int], str, float], video: str = "") -> Tokens:
    """Tokens of (kind, pts, name, score)."""
    kinds, pts, names, scores = zip(*things, strict=True)
    facets = np.ones((len(things), 1, 4), np.float32)
    return Tokens.of(kinds, pts, Fraction(1), facets, scores=scores, text=names, video_id=video)


def test_a_thing_alone_is_not_several() -> None:
    tokens = seen(
        ("object", (0, 1), "person", 0.8),
        ("object", (5, 6), "person", 0.9),
        ("object", (5, 6), "person", 0.6),
        ("object", (5, 6), "person", 0.4),
        ("object", (5, 6), "dog", 1.0),
        ("action", (2, 8), "person", 0.7),
        ("action", (9, 12), "person", 0.7),
        ("scene", (5, 6), "", 1.0),
    )
    alone = [0.8**2, 0.9**2, 0.6**2, 0.4**2, 0, 0.7**2, 0.7**2, 0]
    np.testing.assert_allclose(evidence(tokens, "a person"), alone, atol=1e-3)
    # Of two people at once, the less likely one decides; one by itself counts by half.
    together = [0.4**2, 0.6**2, 0.6**2, 0.4**2, 0, 0.6**2, 0.35**2, 0]
    np.testing.assert_allclose(evidence(tokens, "people"), together, atol=1e-3)


def test_what_is_seen_at_once_is_of_one_video() -> None:
    one, other = (seen(("object", (5, 6), "person", 0.8), video=video) for video in "ab")
    both = Tokens.concatenate([one, other])
    np.testing.assert_allclose(evidence(both, "people"), [0.4**2] * 2, atol=1e-3)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["object", "action"]),
            st.tuples(st.integers(0, 9), st.integers(0, 3)),
            st.sampled_from(["person", ""]),
            st.floats(0, 1, width=32),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_several_things_are_counted_as_by_hand(
    things: list[tuple[str, tuple[int, int], str, float]],
) -> None:
    things = [(k, (at, at + (k == "action") * more), n, p) for k, (at, more), n, p in things]
    wanted = []
    for _, (start, end), name, score in things:
        second = 0.0
        for at in range(start, end + 1):
            here = [p for k, t, n, p in things if (k, t, n) == ("object", (at, at), "person")]
            second = max([second, *sorted(here)[-2:-1]])
        wanted.append((name == "person") * max(score / 2, min(score, second)) ** 2)
    got = evidence(seen(*things), "people")
    np.testing.assert_allclose(got, wanted, atol=1e-4)
