"""Letters of options: no letter is read otherwise than another, in whatever words it stands."""

import random
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from seal.answer.letters import extract

LETTERS = "ABCDE"
OPTIONS = dict(
    zip(
        LETTERS,
        ["one cup", "a red cup", "the night sky", "three dogs", "somebody who sings"],
        strict=True,
    )
)
TABLES = Path(__file__).parent / "data" / "letters"


def phrasings(name: str) -> list[str]:
    """Those of a table, a line each: X stands for the letter of an option, x for its small one,
    Y and Z for those of others, t, a, b and c for the words of the options X, X, Y and Z."""
    lines = (TABLES / f"{name}.txt").read_text("utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines]


def filled(phrasing: str, letter: str) -> str:
    at = LETTERS.index(letter)
    x, y, z = (LETTERS[(at + n) % len(LETTERS)] for n in range(3))
    values = {"X": x, "x": x.lower(), "Y": y, "Z": z}
    return phrasing.format(**values, t=OPTIONS[x], a=OPTIONS[x], b=OPTIONS[y], c=OPTIONS[z])


def read_for_all(phrasing: str) -> dict[str, str]:
    return {letter: extract(filled(phrasing, letter), OPTIONS) for letter in LETTERS}


@pytest.mark.parametrize("phrasing", phrasings("decided"))
def test_every_letter_is_read(phrasing: str) -> None:
    assert read_for_all(phrasing) == {letter: letter for letter in LETTERS}


@pytest.mark.parametrize("phrasing", phrasings("undecided"))
def test_what_is_undecided_is_no_answer(phrasing: str) -> None:
    assert read_for_all(phrasing) == dict.fromkeys(LETTERS, "")


def test_the_tables_are_as_large_as_they_should_be() -> None:
    assert len(set(phrasings("decided"))) >= 60
    assert len(set(phrasings("undecided"))) >= 60


FRAGMENTS = [
    *("{0}", "{1}", "{2}", "({0})", "({1})", "'{0}'", "{0}) ", "{2}. ", "{t0}", "{t1}"),
    *(" and ", " or ", ", ", "; ", ". ", " ", "\n", "The answer is ", "Answer: ", "not ", "Both "),
    *("because ", "is wrong. ", "is correct. ", "option ", "a man ", "Man ", "Neither ", "nor "),
    *("选", "答案是", "是", "so ", "I choose ", "one ", "<think>", "</think>", "o ", "e ", "a "),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9), st.randoms(use_true_random=False))
def test_letters_that_change_places_change_the_answer_alike(
    parts: list[str], chance: random.Random
) -> None:
    order = chance.sample(LETTERS, len(LETTERS))
    text = "".join(parts)
    # "e " by itself is the letter E, and stays it.
    assume(not extract(re.sub(r"\{\w+\}", "", text), OPTIONS))

    def chosen(letters: list[str]) -> int | None:
        """The place of the option that is read, where `letters` are those of the places."""
        options = dict(zip(letters, OPTIONS.values(), strict=True))
        words = {f"t{i}": option for i, option in enumerate(options.values())}
        letter = extract(text.format(*letters, **words), dict(sorted(options.items())))
        return letters.index(letter) if letter else None

    assert chosen(order) == chosen(list(LETTERS))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("The man shows plan B of the trip", ""),
        ("He takes vitamin C", ""),
        ("At 3 A.M. he wakes", ""),
        ("A B-roll shows it", ""),
        ("A bola é vermelha", ""),
        ("The answer is A Beautiful Mind", ""),
        ("Answer: A man", ""),
        ("Is the answer A? No.", ""),
        ("The answer depends on whether A is shown", ""),
        ("It is not a red cup", ""),
        ("(B) a red cup is wrong", ""),
        ("Ａｎｓｗｅｒ： （Ｂ）", "B"),
        ("Ⓒ", "C"),
    ],
)
def test_letters_of_words_are_no_answers(output: str, expected: str) -> None:
    assert extract(output, OPTIONS) == expected


def test_a_long_output_is_read_at_once() -> None:
    assert extract("The evidence is long and of no use. " * 3000 + "Answer: D", OPTIONS) == "D"
    assert extract("Perhaps A " * 3000 + " or B", OPTIONS) == ""
