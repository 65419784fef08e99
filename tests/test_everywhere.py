"""What `find` over all videos gives is what each video gives, in one order."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import seal
from filmed import write_film
from seal import Library
from seal.attention.words import TOWER
from seal.encode.calibration import SHARPNESS
from seal.nearest import NearestContent
from seal.results import Found
from seal.store import Store
from seal.types import Moment

LINES = {
    "ship": ["The captain sails the old ship home.", "Nobody saw a whale that day.", "Hello!"],
    "bread": ["We bake the bread at dawn.", "The old oven is hot.", "Hello again, my friends."],
    "katze": ["Die Katzen schliefen in den Häusern.", "Ein Schiff fährt nach Hause."],
}


def cues(lines: list[str]) -> str:
    times = (f"00:00:0{i},000 --> 00:00:0{i},900" for i in range(len(lines)))
    both = enumerate(zip(times, lines, strict=True), 1)
    return "\n\n".join(f"{i}\n{time}\n{line}" for i, (time, line) in both)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Three films with subtitles, one of them in German, and a longer one without."""
    folder = tmp_path_factory.mktemp("everywhere")
    for seed, (name, lines) in enumerate(LINES.items()):
        write_film(folder / f"{name}.mp4", seed=seed, duration_s=4.0)
        suffix = "de.srt" if name == "katze" else "srt"
        (folder / f"{name}.{suffix}").write_text(cues(lines), "utf-8")
    write_film(folder / "silent.mp4", seed=9, duration_s=8.0)
    library = seal.open(folder / "tokens")
    library.index(folder, jobs=1)
    return library


def of(library: Library, name: str) -> seal.Video:
    return next(video for video in library if Path(video.record.path).stem == name)


def score(library: Library, moment: Moment) -> float:
    """The relevance of a moment of one video as one among all tokens."""
    total = sum(len(video.tokens) for video in library)
    return moment.score + math.log(total / len(library[moment.video].tokens)) / SHARPNESS


def merged(library: Library, founds: list[Found]) -> list[tuple[str, str, float]]:
    """Video, token and score of moments of several videos, the best first."""
    moments = [moment for found in founds for moment in found.moments]
    rows = [(one.video, one.token, score(library, one)) for one in moments]
    return sorted(rows, key=lambda row: -row[2])


QUERIES = ["the old ship", '"old ship"', "bread at dawn", "a red ball", "Katze im Haus"]


@pytest.mark.parametrize("query", QUERIES)
def test_candidates_have_the_relevance_that_they_have_in_their_own_video(
    library: Library, query: str
) -> None:
    encoder = next(iter(library)).content.encoder
    content = NearestContent(library.store, library.store.videos(), encoder, query, 4096)
    tokens, found = content.tokens, content.question(query)
    names = zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True)
    for (video, name), relevance, by in zip(names, found.relevance, found.found_by, strict=True):
        own = library[video].content.question(query)
        (row,) = np.flatnonzero(library[video].tokens.ids == name)
        # A video without words has no words to miss.
        if by != "picture" or '"' not in query:
            assert relevance == pytest.approx(own.relevance[row], abs=1e-5)
        assert by == own.found_by[row]
    assert len(tokens) == sum(len(video.tokens) for video in library)


@pytest.mark.parametrize(
    ("query", "name", "text"),
    [
        ("the old ship", "ship", "The captain sails the old ship home."),
        ('"bake the bread"', "bread", "We bake the bread at dawn."),
        ("Katze im Haus", "katze", "Die Katzen schliefen in den Häusern."),
        ("ein Schiff nach Hause", "katze", "Ein Schiff fährt nach Hause."),
    ],
)
def test_a_line_is_the_first_moment_of_all_videos(
    library: Library, query: str, name: str, text: str
) -> None:
    first = library.find(query).moments[0]
    assert (first.video, first.text) == (of(library, name).id, text)


def test_moments_of_all_videos_come_in_the_order_of_their_probability(library: Library) -> None:
    query = "a red ball"
    found = library.find(query, top=4)
    every = merged(library, [video.find(query, top=9) for video in library])
    rows = [(one.video, one.token, pytest.approx(one.score)) for one in found.moments]
    assert every[:4] == rows


def test_a_line_in_other_words_is_the_first_moment_unless_another_is_likely(
    library: Library,
) -> None:
    query, line = "the sailor brings the vessel back", "The captain sails the old ship home."
    encoder = next(iter(library)).content.encoder
    near = float(np.prod(encoder.encode_texts([query, line]), axis=0).sum())
    assert near >= TOWER.near
    first = library.find(query).moments[0]
    assert (first.text, first.found_by) == (line, "meaning")
    least = {"find.min_probability": 1e-9}
    assert library.find(query, options=least).moments[0].score >= first.score


def test_words_of_a_video_are_read_again_when_it_has_others(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", duration_s=4.0)
    subtitles = tmp_path / "film.srt"
    subtitles.write_text(cues(["A first line of words."]))
    library = seal.open(tmp_path / "tokens")
    library.index(tmp_path / "film.mp4", jobs=1)
    assert library.find("first line").moments[0].text == "A first line of words."
    subtitles.write_text(cues(["Another sentence is said."]))
    library.index(tmp_path / "film.mp4", jobs=1)
    assert library.find("another sentence").moments[0].text == "Another sentence is said."
    texts = {moment.text for moment in library.find("first line", top=9).moments}
    assert "A first line of words." not in texts


def test_of_many_videos_that_are_alike_few_are_searched(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = of(library, "silent")
    store, keys = Store(tmp_path / "many", create=True), film.record.keys
    for number in range(12):
        pictures = dict.fromkeys(film.tokens.pts[:, 0].tolist(), b"not looked at")
        store.add(f"v{number}", 0, keys, film.tokens, pictures)
        store.finish(replace(film.record, id=f"v{number}"), keys)
    read: list[str] = []
    every = Store.tokens
    monkeypatch.setattr(
        Store, "tokens", lambda self, name, kinds=None: read.append(name) or every(self, name)
    )
    for top in (1, 2):
        read.clear()
        found = seal.open(tmp_path / "many").find("a red ball", top=top)
        assert len(found.moments) == top
        assert len(read) == 4 * top


def test_what_is_in_quotes_is_all_that_is_found(library: Library) -> None:
    ship, silent = of(library, "ship"), of(library, "silent")
    assert [one.text for one in ship.find('"old ship"').moments] == [LINES["ship"][0]]
    assert {one.text for one in library.find('"hello"').moments} == {"Hello!", LINES["bread"][2]}
    for video in (of(library, "bread"), silent):
        assert video.find('"old ship"').moments == []
    assert library.find('"a quick brown fox"').moments == []
