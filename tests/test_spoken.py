"""What is said in a video as a whole: its transcript, and its chapters."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seal.cli import main
from seal.config import ChapterOptions, SubtitleOptions
from seal.errors import OptionError
from seal.spoken import chapters, cut, transcript
from seal.store import Store
from seal.types import Tokens
from seal.words.subtitles import find
from store_worker import make_record

TOPICS = {
    "cook": "we cut the onions and fry them in a pan",
    "sea": "the ship sails over the waves to the harbour",
    "law": "the court heard the lawyer and the judge",
}


def speech(topics: list[str], step_s: float = 10.0) -> Tokens:
    """A sentence for each topic, one every `step_s`; the embedding is that of its topic."""
    rng = np.random.default_rng(0)
    axes = np.eye(8, dtype=np.float32)
    places = [list(TOPICS).index(topic) for topic in topics]
    facets = axes[places] + 0.3 * rng.normal(size=(len(topics), 8)).astype(np.float32)
    return Tokens.of(
        ["speech"] * len(topics),
        [[int(1000 * i * step_s), int(1000 * (i + 0.9) * step_s)] for i in range(len(topics))],
        Fraction(1, 1000),
        facets[:, None],
        ids=[f"speech-{i}" for i in range(len(topics))],
        text=[TOPICS[topic] for topic in topics],
        tracks=[
            np.array([[i * step_s + word, 0, 0, 1, 1] for word in range(len(TOPICS[t].split()))])
            for i, t in enumerate(topics)
        ],
    )


def test_a_transcript_has_every_sentence_with_its_words_in_order_of_time() -> None:
    tokens = speech(["cook", "sea", "law"])
    said = transcript(tokens.take([2, 0, 1]), make_record("film"))
    assert [cue.text for cue in said.cues] == list(TOPICS.values())
    assert [cue.start_s for cue in said.cues] == [0.0, 10.0, 20.0]
    assert [word.start_s for word in said.cues[1].words] == [10.0 + i for i in range(9)]
    assert " ".join(word.text for word in said.cues[1].words) == TOPICS["sea"]
    assert str(said).splitlines()[1] == f"[0:10.0] {TOPICS['sea']}"


def test_chapters_change_where_the_subject_does_and_are_named_by_a_sentence() -> None:
    record = replace(make_record("film"), duration_s=900.0, start_s=0.0)
    topics = ["cook"] * 30 + ["sea"] * 36 + ["law"] * 24
    found = chapters(speech(topics), record, ChapterOptions(every_s=300))
    # Cuts lie between blocks of a minute.
    assert [round(cue.start_s / 60) for cue in found.cues] == [0, 5, 11]
    assert [cue.text for cue in found.cues] == list(TOPICS.values())
    assert [(a.end_s == b.start_s) for a, b in pairwise(found.cues)] == [True, True]
    assert found.cues[-1].end_s == 900.0


def test_one_subject_is_cut_into_no_more_chapters_than_were_asked_for() -> None:
    record = replace(make_record("film"), duration_s=600.0, start_s=0.0)
    assert len(chapters(speech(["sea"] * 60), record, ChapterOptions(every_s=600)).cues) == 1
    # A video that is shorter than a chapter is one.
    assert len(chapters(speech(["sea"]), record, ChapterOptions(every_s=6000)).cues) == 1


def test_a_long_title_is_cut_between_words() -> None:
    tokens = speech(["law"])
    long = replace(tokens, text=np.array(["word " * 40], tokens.text.dtype))
    (cue,) = chapters(long, make_record("film"), ChapterOptions()).cues
    assert len(cue.text) <= 61
    assert cue.text.endswith("word…")


def test_a_sentence_of_a_few_words_is_no_title() -> None:
    tokens = speech(["sea", "sea", "sea"])
    short = replace(tokens, text=np.array(["Yes.", TOPICS["sea"], "No."], tokens.text.dtype))
    short = replace(short, embeddings=np.tile(tokens.embeddings[0], (3, 1)))
    (cue,) = chapters(short, make_record("film"), ChapterOptions()).cues
    assert cue.text == TOPICS["sea"]
    only = short.take([0])
    assert chapters(only, make_record("film"), ChapterOptions()).cues[0].text == "Yes."


def test_no_chapter_is_much_shorter_than_what_was_asked_for() -> None:
    record = replace(make_record("film"), duration_s=1180.0, start_s=0.0)
    found = chapters(speech(["cook"] * 110 + ["law"] * 8), record, ChapterOptions(every_s=600))
    assert len(found) == 2
    assert all(cue.end_s - cue.start_s >= 120 for cue in found.cues)


def test_one_long_sentence_does_not_outweigh_a_minute() -> None:
    record = replace(make_record("film"), duration_s=600.0, start_s=0.0)
    topics = ["sea"] * 27 + ["law"] + ["sea"] * 2 + ["law"] * 30
    tokens = speech(topics)
    texts = tokens.text.copy()
    texts[27] = "word " * 300
    found = chapters(replace(tokens, text=texts), record, ChapterOptions(every_s=300))
    assert [cue.start_s for cue in found.cues] == [0.0, 300.0]


def slow_gain(blocks: np.ndarray, edges: list[int]) -> float:
    """The formula of `cut`, as it stands there."""
    total = 0.0
    for first, last in pairwise(edges):
        total += float((blocks[first:last].sum(0) ** 2).sum()) / (last - first)
    return total


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 10))
def test_the_cuts_are_the_best_of_all(n: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n, 5)).astype(np.float32)
    got = cut(embeddings, np.ones(n), np.arange(n + 1) * 60.0, count, shortest_s=100.0)
    blocks = embeddings - embeddings.mean(0)
    blocks /= np.maximum(np.linalg.norm(blocks, axis=1, keepdims=True), 1e-12)
    blocks -= blocks.mean(0)
    allowed = [
        [0, *inner, n]
        for k in range(min(count, n))
        for inner in combinations(range(1, n), k)
        # A segment of one block lasts 60 s, which is too short unless the video is no longer.
        if n == 1 or all(b - a >= 2 for a, b in pairwise([0, *inner, n]))
    ]
    best = max(slow_gain(blocks, edges) for edges in allowed)
    assert [0, *got[1:], n] in allowed
    assert slow_gain(blocks, [*got, n]) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("every_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(every_s: float) -> None:
    with pytest.raises(OptionError, match="every_s must be above 0"):
        ChapterOptions(every_s)


def test_a_video_without_speech_says_what_to_do() -> None:
    with pytest.raises(OptionError, match="no speech tokens: lay a subtitle file"):
        transcript(Tokens.none(8), make_record("film"))


@pytest.fixture
def store(tmp_path: object) -> Store:
    store = Store(f"{tmp_path}/store", create=True)
    keys = {"speech": "heard"}
    tokens = speech(["cook"] * 12 + ["sea"] * 12)
    store.add("film", 0, keys, tokens, {})
    store.finish(replace(make_record("film"), duration_s=240.0, start_s=0.0), keys)
    return store


def test_the_commands_print_and_write_what_python_gives(store: Store, tmp_path: object) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(main, [*words, "--store", str(store.path)])
        assert result.exit_code == 0, result.output
        return result.stdout

    listed = json.loads(run("transcribe", "film", "--json"))
    assert [one["text"] for one in listed] == [TOPICS["cook"]] * 12 + [TOPICS["sea"]] * 12
    srt = f"{tmp_path}/film.srt"
    run("transcribe", "film", "-o", srt)
    said = find("film.mp4", SubtitleOptions(file=srt), None)
    assert [cue.text for cue in said.cues] == [one["text"] for one in listed]
    found = json.loads(run("chapters", "film", "--every", "2", "--json"))
    assert [(one["start_s"], one["end_s"]) for one in found] == [(0.0, 120.0), (120.0, 240.0)]
    run("chapters", "film", "--every", "2", "-o", f"{tmp_path}/chapters.vtt")
    with open(f"{tmp_path}/chapters.vtt") as file:
        assert file.read().startswith(f"WEBVTT\n\n00:00:00.000 --> 00:02:00.000\n{TOPICS['cook']}")


def test_another_format_is_an_error_that_lists_the_valid_ones(store: Store) -> None:
    words = ["transcribe", "film", "-o", "film.doc", "--store", str(store.path)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert ".srt, .vtt, .txt, .json" in result.stderr
