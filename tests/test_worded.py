"""Tokens that are words beside tokens that are pictures: one ranking, one budget."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from seal.attention import Budget
from seal.attention.worded import AskedVideo, WordedTokens
from seal.attention.words import UNQUOTED, Meaning, calibrated, log_odds, matched
from seal.config import MiniEncode, Options, WatchOptions
from seal.content import VideoContent
from seal.encode import load
from seal.errors import OptionError
from seal.opening import open_library
from seal.scope import Scope
from seal.types import Tokens
from seal.watch import watch
from seal.words.index import WordIndex
from synthetic import write_video

ENCODER = load(MiniEncode())
LINES = [
    "the price of the remote control is twelve euros",
    "and then we went to the beach with the children",
    "nobody knows where the blue notebook was left",
    "we should meet again on Thursday afternoon",
]


def film(lines: list[str] = LINES, pause_s: float = 1.0, scenes: int = 8) -> Tokens:
    """Scenes of no particular look, and sentences with a pause between them."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(scenes, ENCODER.dimension)).astype(np.float32)
    said = ENCODER.encode_texts(lines)
    starts = [1000 * i for i in range(scenes)]
    starts += [round(1000 * i * (4 + pause_s)) for i in range(len(lines))]
    lengths = [40] * scenes + [4000] * len(lines)
    return Tokens.of(
        ["scene"] * scenes + ["speech"] * len(lines),
        [[start, start + length] for start, length in zip(starts, lengths, strict=True)],
        Fraction(1, 1000),
        np.concatenate([looks, said])[:, None],
        ids=[f"t-{i}" for i in range(scenes + len(lines))],
        text=[""] * scenes + lines,
    )


def relevance(tokens: Tokens, query: str, calibrated: bool = True) -> np.ndarray:
    worded = WordedTokens.of(tokens)
    assert worded is not None
    video = AskedVideo(np.arange(len(tokens)), 0.5, len(tokens))
    pictures = np.linspace(-0.2, 0.2, len(tokens)).astype(np.float32)
    embedding = ENCODER.encode_texts([query])[0]
    calibration = ENCODER.calibration if calibrated else None
    return worded.relevance(pictures, query, worded.parts(query, embedding), [video], calibration)


def test_pictures_keep_their_relevance_and_words_get_that_of_their_log_odds() -> None:
    tokens = film()
    query = "where is the notebook"
    scores = relevance(tokens, query)
    np.testing.assert_array_equal(scores[:8], np.linspace(-0.2, 0.2, 12).astype(np.float32)[:8])
    index, meaning = WordIndex(LINES), Meaning.of(tokens.embeddings[8:])
    odds = log_odds(index, meaning, query, ENCODER.encode_texts([query])[0])
    assert ENCODER.calibration is not None
    np.testing.assert_allclose(scores[8:], calibrated(odds, ENCODER.calibration, 0.5, 12), 1e-5)
    assert scores[8:].argmax() == 2


def test_without_a_calibration_words_are_measured_by_the_pictures_of_their_video() -> None:
    tokens = film()
    query = "where is the notebook"
    scores = relevance(tokens, query, calibrated=False)
    index, meaning = WordIndex(LINES), Meaning.of(tokens.embeddings[8:])
    odds = log_odds(index, meaning, query, ENCODER.encode_texts([query])[0])
    np.testing.assert_allclose(scores[8:], matched(odds, scores[:8]), 1e-5)


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_no_picture_has_the_words_that_are_asked_for_in_quotes(is_calibrated: bool) -> None:
    scores = relevance(film(), '"blue notebook"', is_calibrated)
    assert scores.argmax() == 10
    limit = np.array([-UNQUOTED], np.float32)
    plain = np.linspace(-0.2, 0.2, 12).astype(np.float32)[:8]
    if is_calibrated:
        assert ENCODER.calibration is not None
        limit = calibrated(limit, ENCODER.calibration, 0.5, 12)
    else:
        limit = matched(limit, plain)
    np.testing.assert_array_equal(scores[:8], np.minimum(plain, limit))


def test_what_was_said_before_a_long_pause_is_no_neighbour() -> None:
    """The price is asked for; the line after it is nearer to the price than the line far off."""
    lines = [LINES[0], "that is too much", *LINES[1:3]]
    query = "what does the remote control cost"
    near = relevance(film(lines, pause_s=1.0), query)[9]
    far = relevance(film(lines, pause_s=61.0), query)[9]
    assert near > far
    assert near > relevance(film(lines, pause_s=59.0), query)[9] - 1e-6


def test_pictures_without_an_embedding_measure_nothing() -> None:
    tokens = film()
    facets = tokens.facets.copy()
    facets[0] = 0
    bare = replace(tokens, facets=facets, embeddings=facets[:, 0])
    worded = WordedTokens.of(bare)
    assert worded is not None
    pictures = np.linspace(-0.2, 0.2, 12).astype(np.float32)
    pictures[0] = -1
    embedding = ENCODER.encode_texts(["the notebook"])[0]
    video = AskedVideo(np.arange(12), 0.0, 12)
    parts = worded.parts("the notebook", embedding)
    scores = worded.relevance(pictures, "the notebook", parts, [video], None)
    odds = log_odds(worded.index, worded.meaning, "the notebook", embedding)
    np.testing.assert_allclose(scores[8:], matched(odds, pictures[1:8]), 1e-5)


def test_a_video_without_words_has_none_to_search() -> None:
    assert WordedTokens.of(film().take(range(8))) is None


SRT = """1
00:00:01,000 --> 00:00:02,000
Where is the lighthouse?

2
00:00:05,500 --> 00:00:06,500
We never found it.
"""


@pytest.fixture
def spoken_film(tmp_path: Path) -> Path:
    """Eight seconds of pictures, with subtitles beside them."""
    (tmp_path / "film.srt").write_text(SRT)
    return write_video(tmp_path / "film.mkv", list(range(0, 8000, 200)))


def test_a_file_is_watched_with_its_subtitles(spoken_film: Path) -> None:
    options = Options.load("mini", (), "watch")
    windows = list(watch(str(spoken_film), options, WatchOptions(window_s=4), ['"lighthouse"']))
    assert [window.counts["speech"] for window in windows] == [1, 1]
    for window in windows:
        (query,) = window.choices
        best = query.tokens.take([int(query.selection.relevance.argmax())])
        assert best.text.tolist() == ["Where is the lighthouse?"]


def test_a_stream_has_no_subtitle_file(spoken_film: Path, tmp_path: Path) -> None:
    named = ["subtitles.file=" + str(tmp_path / "film.srt")]
    options = Options.load("mini", named, "watch")
    with pytest.raises(OptionError, match=r"subtitles\.file has no effect"):
        next(watch("http://127.0.0.1:9/live", options, WatchOptions(), ["a dog"]))


def test_words_are_indexed_found_and_asked_about(spoken_film: Path, tmp_path: Path) -> None:
    library = open_library(tmp_path / "store")
    video = library.index(spoken_film, jobs=1)
    assert video.describe().tokens["speech"] == 2
    found = video.find("where is the lighthouse", top=1)
    assert found.match is not None
    assert found.match.verdict == "likely"
    (moment,) = found.moments
    assert (moment.span.start_s, moment.span.end_s) == (1.0, 2.0)
    assert (moment.found_by, moment.text) == ("words", "Where is the lighthouse?")
    assert library.find('"never found"').to_json()["moments"][0]["text"] == "We never found it."
    (row,) = [one for one in video.select("lighthouse").rows_json() if "found_by" in one][:1]
    assert (row["text"], row["role"]) == ("Where is the lighthouse?", "answer")
    assert '[0:01.0–0:02.0] speech\n"Where is the lighthouse?"' in video.prompt("the lighthouse?")


def test_the_language_stays_where_only_scenes_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "film.de.srt").write_text(SRT)
    film = write_video(tmp_path / "film.mkv", list(range(0, 8000, 200)))
    library = open_library(tmp_path / "store")
    assert library.index(film, jobs=1).record.language == "de"
    again = library.index(film, jobs=1, options=["scenes.interval_s=3"])
    assert again.record.language == "de"
    named = library.index(film, jobs=1, subtitles=tmp_path / "film.de.srt")
    assert named.record.language == "de"


def test_one_subtitle_file_is_that_of_one_video_looked_at_whole(
    spoken_film: Path, tmp_path: Path
) -> None:
    library = open_library(tmp_path / "store")
    srt = tmp_path / "film.srt"
    with pytest.raises(OptionError, match="cannot be that of 2 videos"):
        library.index([spoken_film, spoken_film], subtitles=srt)
    with pytest.raises(OptionError, match="a quick run takes no subtitles"):
        library.index(spoken_film, subtitles=srt, quick=True)


def test_a_video_without_tokens_is_asked(tmp_path: Path) -> None:
    library = open_library(tmp_path / "store")
    film = write_video(tmp_path / "film.mkv", list(range(0, 2000, 200)))
    video = library.index(film, jobs=1)
    content = VideoContent(library.store, video.record, kinds=["speech"])
    assert Scope(content, Options.load()).find("a dog").moments == []


def test_sentences_in_a_pause_of_the_pictures_and_after_a_stop_are_watched_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "film.srt").write_text(SRT)
    film = write_video(tmp_path / "film.mkv", [*range(0, 800, 200), *range(6800, 8000, 200)])
    found = []
    for limit_s in (6.9, 8.0):
        options = Options.load("mini", [f"video.max_duration_s={limit_s}"], "watch")
        state, watching = tmp_path / "state", WatchOptions(window_s=2)
        windows = watch(str(film), options, watching, ["a dog"], state=state)
        found += [window.counts.get("speech", 0) for window in windows]
    assert sum(found) == 2


def test_an_edited_subtitle_file_changes_speech_tokens_alone(
    spoken_film: Path, tmp_path: Path
) -> None:
    library = open_library(tmp_path / "store")
    before = library.index(spoken_film, jobs=1).tokens
    (tmp_path / "film.srt").write_text(SRT.replace("found", "built"))
    after = library.index(spoken_film, jobs=1).tokens
    seen = {True: before.kinds != "speech", False: after.kinds != "speech"}
    assert before.ids[seen[True]].tolist() == after.ids[seen[False]].tolist()
    assert "We never built it." in after.text.tolist()
    assert "We never found it." not in after.text.tolist()


def test_words_are_compared_by_the_stems_of_their_language(tmp_path: Path) -> None:
    (tmp_path / "film.es.srt").write_text(SRT.replace("We never found it.", "Unas canciones."))
    video = open_library(tmp_path / "store").index(
        write_video(tmp_path / "film.mkv", list(range(0, 8000, 200))), jobs=1
    )
    assert video.record.language == "es"
    (moment,) = video.find("canción", top=1).moments
    assert (moment.text, moment.found_by) == ("Unas canciones.", "words")


def test_speech_tokens_go_with_their_subtitles(spoken_film: Path, tmp_path: Path) -> None:
    library = open_library(tmp_path / "store")
    with_words = library.index(spoken_film, jobs=1)
    (tmp_path / "film.srt").unlink()
    without = library.index(spoken_film, jobs=1)
    assert "speech" not in without.tokens.kinds
    seen = with_words.tokens.take(with_words.tokens.kinds != "speech")
    assert without.tokens.ids.tolist() == seen.ids.tolist()
    assert without.record.duration_s == with_words.record.duration_s
    assert library.index(spoken_film, quick=True).tokens.ids.tolist() == seen.ids.tolist()
    (tmp_path / "film.srt").write_text(SRT)
    assert library.index(spoken_film, jobs=1).describe().tokens["speech"] == 2
    silent = library.index(spoken_film, jobs=1, options=["subtitles.source=none"])
    assert "speech" not in silent.tokens.kinds


def test_the_usual_size_of_a_choice_follows_from_what_tokens_cost_on_average() -> None:
    costs = np.array([1.0] * 30 + [0.125] * 10)
    mixed = Budget(16, costs)
    assert mixed.size == 24
    assert mixed.usual_size == round(16 / costs.mean()) == 20
    assert Budget.of(16, 40).usual_size == 16
    # What has to be included is chosen, whatever it costs.
    assert Budget(2, costs, include=np.arange(30, 40)).usual_size == 10
    assert Budget(0.05, costs).usual_size == 0
    assert Budget(np.inf, costs).usual_size == 40
