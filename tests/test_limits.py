"""A query that asks for what `mini` was not taught is told so."""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import seal
from filmed import write_film
from seal.cli import main
from seal.encode.limits import limits


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("a dog on the beach", []),
        ("A woman in a red dress", []),
        ("a BMX rider in the air", []),
        ("three dogs", ["numbers (three)"]),
        ("12 eggs", ["numbers (12)"]),
        ("how many boats are there?", ["counting (many)"]),
        ("the last goal", ["the order of events (last)"]),
        ("a dog after the rain", ["the order of events (after)"]),
        ("a street without cars", ["negation (without)"]),
        ("the man on the left", ["left and right (left)"]),
        ('a sign that says "EXIT"', ['writing (")']),
        ("a talk by Marie Curie", ["names (Marie)"]),
        ("un perro con una pelota", ["other languages than English (con)"]),
        ("собака", ["other languages than English (собака)"]),
        ("two people in Paris", ["numbers (two)", "names (Paris)"]),
    ],
)
def test_kinds_of_words_that_mean_nothing(query: str, wanted: list[str]) -> None:
    assert limits(query) == wanted


@given(st.text(max_size=60))
def test_any_text_is_looked_through(query: str) -> None:
    assert all("(" in each for each in limits(query))


def test_the_command_and_the_page_say_so(tmp_path) -> None:
    film = tmp_path / "film.mp4"
    write_film(film, seed=0, duration_s=4.0)
    store = str(tmp_path / "store")
    seal.open(store).index(film, jobs=1)
    say = "mini was not taught numbers (three)"
    runner = CliRunner()
    found = runner.invoke(main, ["find", str(film), "three red balls", "--store", store])
    assert say in found.output
    plain = runner.invoke(main, ["find", str(film), "a red ball", "--store", store])
    assert "was not taught" not in plain.output
    page = tmp_path / "page.html"
    runner.invoke(main, ["show", str(film), "three red balls", "--store", store, "-o", str(page)])
    assert say in page.read_text()
