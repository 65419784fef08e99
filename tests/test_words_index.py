"""The words of texts: an index against a slow, obvious reference, and words of many scripts."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.errors import OptionError
from seal.words.index import ASKED, ASKING, COMMON, GENERAL, K1, REACH, B, WordIndex, quotes
from seal.words.terms import ALGORITHMS, fold, split, stem

WORDS = ["budget", "large", "meeting", "school", "table", "what", "discuss", "we"]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=9)
QUERY = st.lists(st.sampled_from([*WORDS, "absent"]), max_size=5).map(" ".join)


def slow(
    texts: list[str],
    groups: list[int],
    query: str,
    asked: float,
    far: float,
    general: int = GENERAL,
) -> list[float]:
    """BM25 word by word, over passages in which a text j places away counts by exp(-j / far), with
    so many texts in `general` beside these."""
    n = len(texts)
    place = {row: groups[:row].count(groups[row]) for row in range(n)}

    def near(row: int, other: int) -> float:
        if groups[row] != groups[other]:
            return 0.0
        steps = abs(place[row] - place[other])
        if far == 0:
            return float(steps == 0)
        # A passage ends 31 places away.
        return math.exp(-steps / far) if steps < 32 else 0.0

    counts = [Counter(stem(word, "en") for word in text.split()) for text in texts]
    lengths = [
        sum(near(row, other) * counts[other].total() for other in range(n)) for row in range(n)
    ]
    mean = max(sum(lengths) / n, 1e-9)
    scores = [0.0] * n
    for word in dict.fromkeys(query.split()):
        term = stem(word, "en")
        found = sum(term in count for count in counts)
        in_all = found + general * COMMON.get(term, 0)
        weight = math.log(1 + (n + general - in_all + 0.5) / (in_all + 0.5))
        weight *= asked if word in ASKING else 1
        for row in range(n):
            often = sum(near(row, other) * counts[other][term] for other in range(n))
            norm = K1 * (1 - B + B * lengths[row] / mean)
            scores[row] += weight * often * (K1 + 1) / (often + norm)
    return scores


@given(TEXTS, QUERY, st.data())
def test_scores_are_those_of_the_formula(texts: list[str], query: str, data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(texts), max_size=len(texts)))
    index = WordIndex(texts, groups)
    found = index.matches(query)
    np.testing.assert_allclose(found.own, slow(texts, groups, query, ASKED, 0), rtol=1e-4)
    np.testing.assert_allclose(found.passage, slow(texts, groups, query, ASKED, REACH), rtol=1e-4)
    np.testing.assert_allclose(index.bm25(query), slow(texts, groups, query, 1, 0, 0), rtol=1e-4)


def test_a_passage_ends_at_the_end_of_a_video() -> None:
    apart = WordIndex(["the budget", "a chair", "a chair", "a table"], ["a", "a", "b", "b"])
    passage = apart.matches("budget").passage
    assert passage[0] > passage[1] > 0
    assert passage[2:].tolist() == [0, 0]


def test_a_passage_reaches_over_many_texts_and_then_ends() -> None:
    passage = WordIndex(["budget", *["chair"] * 60]).matches("budget").passage
    assert (np.diff(passage[:32]) < 0).all()
    assert passage[31] > 0
    assert not passage[32:].any()


@given(TEXTS, st.data())
def test_a_phrase_is_found_where_its_words_are(texts: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    stream = [(word, row) for row, text in enumerate(texts) for word in text.split()]
    expected = np.zeros(len(texts))
    for begin in range(len(stream) - len(wanted) + 1):
        here = stream[begin : begin + len(wanted)]
        if [word for word, _ in here] == wanted:
            for row in range(len(texts)):
                share = sum(r == row for _, r in here) / len(wanted)
                expected[row] = max(expected[row], share)
    found = WordIndex(texts).phrase(" ".join(wanted))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_phrase_has_the_words_as_they_are() -> None:
    index = WordIndex(["The budgets were large.", "Was the BUDGET, large?", "a large budget"])
    assert index.phrase("budget large").tolist() == [0, 1, 0]
    assert index.phrase("absent budget").tolist() == [0, 0, 0]
    assert index.phrase("?!").tolist() == [0, 0, 0]


def test_a_phrase_goes_on_in_the_next_text_of_its_video_alone() -> None:
    texts = ["we need a bigger", "boat now", "boat now"]
    assert WordIndex(texts).phrase("bigger boat").tolist() == [0.5, 0.5, 0]
    apart = WordIndex(texts, ["a", "b", "a"])
    assert apart.phrase("bigger boat").tolist() == [0.5, 0, 0.5]
    assert WordIndex(texts, ["a", "b", "c"]).phrase("bigger boat").tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Wir gehen ins Café", "cafe"),
        ("we go to the cafe", "CAFÉ"),
        ("Die Straße ist lang", "STRASSE"),
        ("it costs 3.5 euros", "3.5"),
        ("12,000 people came", "12000 people"),
        ("it's 10:30 now", "10:30"),
        ("I don’t know", "don't"),
        ("Σίσυφος", "σισυφοσ"),
        ("Ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("我们需要更大的船", "更大"),
        ("猫が好き", "猫"),
        ("안녕하세요 여러분", "하세"),
        ("हिन्दी भाषा", "हिन्दी"),
        ("naïve cooperation", "naive coöperation"),
    ],
)
def test_words_of_many_scripts_are_found(text: str, query: str) -> None:
    index = WordIndex(["something else", text, "other words"])
    assert index.bm25(query).argmax() == 1
    assert index.bm25(query)[[0, 2]].tolist() == [0, 0]
    assert index.phrase(query).tolist() == [0, 1, 0]


def test_numbers_are_whole() -> None:
    index = WordIndex(["version 3.5", "3 of 5 people", "version 3.", "35 people"])
    assert index.bm25("3.5").nonzero()[0].tolist() == [0]
    assert index.bm25("3").nonzero()[0].tolist() == [1, 2]


def test_characters_count_in_pairs() -> None:
    index = WordIndex(["東京", "京東", "東 京"], languages="ja")
    assert index.bm25("東京").nonzero()[0].tolist() == [0]


def test_words_are_stemmed_in_the_language_of_their_text() -> None:
    texts = ["las canciones", "the songs", "canciones"]
    index = WordIndex(texts, languages=["es", "en-GB", ""])
    assert index.bm25("canción").nonzero()[0].tolist() == [0]
    assert index.bm25("song").nonzero()[0].tolist() == [1]
    assert index.bm25("canciones").nonzero()[0].tolist() == [0, 2]


@pytest.mark.parametrize("language", ALGORITHMS)
def test_every_language_has_its_stemmer(language: str) -> None:
    assert stem("internationalen", language)


def test_words_that_ask_count_for_less() -> None:
    index = WordIndex(["we discuss this", "a budget", "else"])
    own = index.matches("discuss budget").own
    assert own[1] > 2 * own[0] > 0
    whole = index.matches("discuss budget", asked=1.0).own
    assert whole[0] == pytest.approx(own[0] / ASKED, rel=1e-5)


def test_words_that_no_text_has_count_in_the_information() -> None:
    index = WordIndex(["a budget", "a table"])
    assert index.matches("budget zebra").information > 2 * index.matches("budget").information


def test_nothing_to_look_in_or_for() -> None:
    for texts in ([], ["", "?!"]):
        index = WordIndex(texts)
        found = index.matches("a budget")
        assert len(index) == len(texts)
        for each in (found.own, found.passage, index.phrase("budget")):
            assert not each.any()
    found = WordIndex(["a budget"]).matches("...")
    assert (found.own.tolist(), found.information) == ([0], 0)


def test_as_many_groups_and_languages_as_texts() -> None:
    with pytest.raises(OptionError, match="2 texts need 2 groups, got 1"):
        WordIndex(["a", "b"], ["x"])
    with pytest.raises(OptionError, match="2 texts need 2 languages, got 3"):
        WordIndex(["a", "b"], languages=["en"] * 3)


def test_quotes() -> None:
    asked = 'who said "we need a bigger boat" and “now” or «jetzt» or „gleich“, "" or "?"'
    assert quotes(asked) == ["we need a bigger boat", "now", "jetzt", "gleich"]
    assert quotes('don\'t, it is 5" by 3" long') == []


@given(st.lists(st.text(max_size=20), max_size=5))
def test_every_text_has_its_words(texts: list[str]) -> None:
    words, counts, joined = split(texts)
    assert len(counts) == len(texts)
    assert sum(counts) == len(words) == len(joined)
    assert all(words)
    one_by_one = [split([text])[0] for text in texts]
    assert words == [word for each in one_by_one for word in each]
    WordIndex(texts).matches(" ".join(texts))


@given(st.text(alphabet=st.characters(categories=["Ll", "Lu"], max_codepoint=0x24F)))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert not re.search("[\u0300-\u036f]", fold(text))


def test_in_few_texts_a_word_counts_by_how_rare_it_is_in_general() -> None:
    """Of one sentence every word is in all texts: only in general is "telescope" the rarer one."""
    index = WordIndex(["this is the telescope"])
    (rare,), (common,) = (index.matches(word).own for word in ("telescope", "the"))
    assert rare > 3 * common
    (rare,), (common,) = (index.bm25(word) for word in ("telescope", "the"))
    assert rare == common
