"""The front door: one video and all of them, asked in the same way, with the same results."""

import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import seal
from filmed import write_film
from forked import python
from seal import Library, OptionError
from seal.cli import main
from seal.config import FindOptions
from seal.content import rows_by_video
from seal.encode.calibration import SHARPNESS
from seal.encode.names import known
from seal.errors import NotIndexedError, StoreError
from seal.files import size_bytes
from seal.library import LocalLibrary
from seal.nearest import NearestContent, one_after_another
from seal.store import Store
from seal.types import Tokens
from store_worker import KEYS, known_part, make_part, make_record


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def printed_by(*arguments: str | Path) -> Any:
    """The JSON that a command prints."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Two films in one library, indexed from their folder."""
    folder = tmp_path_factory.mktemp("library")
    films = folder / "films" / "of two years"
    films.mkdir(parents=True)
    for seed in (0, 1):
        write_film(films / f"film{seed}.mp4", seed=seed, duration_s=8.0)
    (films / ".hidden.mp4").write_bytes(b"not a film")
    library = seal.open(folder / "tokens")
    videos = library.index(folder / "films", jobs=1)
    assert [video.record.path for video in videos] == [
        str(films / "film0.mp4"),
        str(films / "film1.mp4"),
    ]
    return library


def test_the_nearest_are_the_most_relevant_of_all_videos_under_their_own_ids(
    library: Library,
) -> None:
    scores = {
        (video.id, name): score
        for video in library
        for name, score in zip(
            video.tokens.ids.tolist(),
            video.content.question("a red ball").relevance.tolist(),
            strict=True,
        )
    }
    video = next(iter(library))
    content = NearestContent(
        library.store, library.store.videos(), video.content.encoder, "a red ball", 20
    )
    tokens = content.tokens
    names = list(zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True))
    assert len(set(names)) == len(names) == 20
    assert len(set(tokens.video_ids)) == 2
    worst = sorted(scores.values())[-20]
    assert min(scores[name] for name in names) == pytest.approx(worst, abs=1e-5)
    for row, (video_id, name) in enumerate(names):
        own = library[video_id].tokens
        (there,) = np.flatnonzero(own.ids == name)
        np.testing.assert_array_equal(own.embeddings[there], tokens.embeddings[row])
        assert own.time(int(there)) == tokens.time(row)


def test_one_video_alone_and_all_of_one_video_give_the_same(
    library: Library, tmp_path: Path
) -> None:
    first = next(iter(library))
    alone = seal.open(tmp_path / "tokens")
    video = alone.index(first.record.path, jobs=1)
    own = video.select("a red ball", solver="greedy")
    everywhere = alone.select("a red ball", solver="greedy")
    assert sorted(everywhere.tokens.ids) == sorted(own.tokens.ids)
    assert everywhere.objective == pytest.approx(own.objective, rel=1e-5)
    assert everywhere.match == own.match
    found = alone.find("a red ball")
    assert found.to_json() == video.find("a red ball").to_json()
    assert (
        alone.ask("a red ball").evidence.ids.tolist()
        == video.ask("a red ball").evidence.ids.tolist()
    )


def test_the_best_moments_of_all_are_those_of_the_videos_together(library: Library) -> None:
    for query in ("a red ball", "a boat on the sea"):
        every, total = [], sum(len(video.tokens) for video in library)
        for video in library:
            shift = math.log(total / len(video.tokens)) / SHARPNESS
            own = video.find(query, top=9).moments
            every += [replace(moment, score=moment.score + shift) for moment in own]
        every.sort(key=lambda moment: -moment.score)
        found = library.find(query, top=4)
        assert found.moments == every[:4]
        assert found.match == max(
            (video.find(query).match for video in library), key=lambda match: match.probability
        )


def test_what_is_as_relevant_as_an_answer_is_near_to_what_is_selected(library: Library) -> None:
    video = next(iter(library))
    relevance = video.content.question("a red ball").relevance
    tokens = video.tokens
    for budget in (1, 4, 16):
        selection = video.select("a red ball", budget=budget)
        reach, chosen = selection.reach, selection.tokens
        assert reach is not None
        assert reach.relevance == pytest.approx(selection.relevance[selection.is_answer].min())
        far = 0.0
        for row in np.flatnonzero(relevance >= reach.relevance).tolist():
            apart = [
                max(tokens.start_s[row] - end_s, start_s - tokens.end_s[row], 0.0)
                for start_s, end_s in zip(chosen.start_s, chosen.end_s, strict=True)
            ]
            far = max(far, min(apart))
        assert reach.within_s == pytest.approx(far)
        assert f"within {far:.1f} s of a selected token." in str(selection)
    bars = {"find.min_probability": 1.0, "find.unsure_probability": 1.0}
    assert video.select("a red ball", options=bars).reach is None
    assert library.select("a red ball").reach is None


def test_a_question_is_embedded_once_and_its_relevance_computed_once(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = next(iter(library))
    encoder, calls = video.content.encoder, []
    encode, relevance = encoder.encode_texts, seal.content.relevance

    def encoded(texts: list[str]) -> np.ndarray:
        calls.append("encode")
        return encode(texts)

    def related(*arguments: object) -> np.ndarray:
        calls.append("relevance")
        return relevance(*arguments)

    monkeypatch.setattr(encoder, "encode_texts", encoded)
    monkeypatch.setattr("seal.content.relevance", related)
    for number, call in enumerate(
        [
            video.find,
            video.select,
            lambda query: video.show(query, tmp_path / "board.html"),
            lambda query: library.select(query),
        ]
    ):
        calls.clear()
        call(f"a red ball, asked for the {number}. time")
        assert sorted(calls) == ["encode", "relevance"]
    calls.clear()
    for call in (video.find, video.select, lambda query: video.show(query, tmp_path / "b.png")):
        call("a green balloon")
    assert sorted(calls) == ["encode", "relevance"]


def test_the_command_line_prints_what_python_gives_back(library: Library, tmp_path: Path) -> None:
    store = ["--store", library.store.path, "--json"]
    video = next(iter(library))

    def printed(*arguments: str | Path) -> object:
        result = run(*arguments, *store)
        assert result.exit_code == 0, result.stderr
        value = json.loads(result.stdout)
        if isinstance(value, dict):
            value.pop("seconds", None)
        return value

    def given(result: seal.results.Result) -> object:
        value = json.loads(json.dumps(result.to_json(), allow_nan=False))
        if isinstance(value, dict):
            value.pop("seconds", None)
        return value

    board = tmp_path / "board.html"
    query, few = "a red ball", ("--budget", "5")
    for name, asked in (([video.id], video), (["--all"], library)):
        assert printed("find", *name, query) == given(asked.find(query))
        assert printed("select", *name, query, *few) == given(asked.select(query, budget=5))
        assert printed("ask", *name, query, *few) == given(asked.ask(query, budget=5))
        assert printed("show", *name, query, "-o", board) == given(asked.show(query, board))
    assert printed("tokens", video.id) == given(video.list_tokens())
    assert printed("list") == given(library.listing())
    keys = {
        "find": {"match", "moments"},
        "select": {
            "selection",
            "match",
            "objective",
            "upper_bound",
            "gap",
            "seconds",
            "cost",
            "candidates",
        }
        | {"reach"},
        "ask": {"answer", "citations", "evidence", "match", "moments", "notes", "model", "seconds"},
    }
    assert video.find(query).to_json().keys() == keys["find"]
    assert video.select(query).to_json().keys() == keys["select"]
    assert video.ask(query).to_json().keys() == keys["ask"]
    (row, *_) = video.list_tokens().to_json()
    assert row.keys() == {"id", "kind", "start_s", "end_s", "box", "text", "score", "track"}
    (row, *_) = library.listing().to_json()
    assert row.keys() >= {"video", "path", "duration_s", "tokens", "gaps", "seconds"}
    assert "realtime_factor" in row


def test_results_show_themselves_in_a_terminal_and_in_a_notebook(library: Library) -> None:
    video = next(iter(library))
    several = library.select("a red ball", budget=12)
    assert several.tokens.video_ids[0] in str(several)
    assert len(several.answers) + len(several.context) == len(several) == 12
    assert set(several.tokens.video_ids) <= {each.id for each in library}
    odd = replace(video.select("a red ball", budget=2), query="<b>")
    for result in (
        odd,
        video.find("<b>"),
        video.ask("<b>"),
        library.listing(),
        video.list_tokens(),
    ):
        html = result._repr_html_()
        assert "<b>" not in html
        assert html.startswith(("<table>", "<pre>"))


def test_tokens_reach_the_threshold_of_a_match_or_are_context(library: Library) -> None:
    video = next(iter(library))
    selection = video.select("a red ball", budget=16)
    calibration = video.content.encoder.calibration
    count = len(video.tokens)
    (query,) = video.content.encoder.encode_texts(["a red ball"])
    prior = calibration.prior(query, known("a red ball"))
    for relevance, is_answer in zip(selection.relevance, selection.is_answer, strict=True):
        probability = calibration.probability(np.array([relevance]), prior, count)
        assert is_answer == (probability >= FindOptions().unsure_probability)
    bars = {"find.min_probability": 1, "find.unsure_probability": 1}
    none = video.select("a red ball", options=bars)
    assert not none.is_answer.any()
    assert none.match.verdict == "unlikely"
    for least, verdict in ((1, "unsure"), (0, "likely")):
        bars = {"find.min_probability": least, "find.unsure_probability": 0}
        every = video.select("a red ball", options=bars)
        assert every.is_answer.all()
        assert every.match.verdict == verdict


def test_options_that_a_call_does_not_read_or_that_come_twice_are_errors(library: Library) -> None:
    video = next(iter(library))
    for call, options in (
        (video.find, {"attention.budget": 3}),
        (video.find, {"answer.strip": 3}),
        (video.select, {"find.top": 3}),
        (video.ask, {"attention.query_weight": 0.9}),
        (library.find, {"attention.budget": 3}),
        (video.find, {"find.misspelt": 3}),
    ):
        with pytest.raises(OptionError, match=next(iter(options))):
            call("a red ball", options=options)
    with pytest.raises(OptionError, match="given twice"):
        video.find("a red ball", top=3, options={"find.top": 3})
    assert len(library.find("a", options={"find.top": 1, "attention.candidates": 9})) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["select", "--all", "a", "b"],
        ["select", "a"],
        ["select", "--all"],
        ["find", "a"],
        ["ask", "--all", "a", "b"],
        ["select", "--all", "a", "--include", "scene-0"],
        ["show", "--all", "a", "-o", "b.html", "--exclude", "scene-0"],
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], library: Library) -> None:
    assert run(*arguments, "--store", library.store.path).exit_code == 2


def test_a_store_without_videos_or_with_two_encoders_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotIndexedError, match="no videos"):
        seal.open(tmp_path / "empty").find("a")
    store = Store(tmp_path / "store", create=True)
    for number in range(13):
        encoder = "mini-of-today" if number == 12 else "mini-of-another-day"
        record = make_record(f"v{number}", path=f"film{number}.mp4", encoder=encoder)
        store.finish(record, KEYS)
    with pytest.raises(StoreError) as caught:
        LocalLibrary(store).select("a")
    named = ", ".join(f"film{number}.mp4 (mini-of-another-day)" for number in range(10))
    assert f"than film12.mp4 (mini-of-today): {named} and 2 more;" in str(caught.value)


def test_videos_come_one_after_another_with_long_pauses() -> None:
    """However late their times are: those of live sources count from 1970."""
    late, early = make_part(["object"] * 3, [4 * 10**10, 0, 300])[0], make_part(["scene"], [9])[0]
    late = replace(late, video_ids=np.full(3, "a"))
    early = replace(early, video_ids=np.array(["b"]))
    tokens = Tokens.concatenate([late, early, late])
    times_s = tokens.middle_s + one_after_another(tokens, ["b", "a"])
    tick_s = 1001 / 30000
    want = np.array([4e10, 0, 300, 0, 4e10, 0, 300]) * tick_s + 1e4
    want[3] = 0
    np.testing.assert_allclose(times_s, want, rtol=1e-9)


@pytest.mark.parametrize("named", ["", "a", "baab", "cbacba"])
def test_the_rows_of_each_video_are_those_of_its_name(named: str) -> None:
    tokens = make_part(["scene"] * len(named), list(range(len(named))))[0]
    tokens = replace(tokens, video_ids=np.array(list(named), str))
    found = [rows.tolist() for rows in rows_by_video(tokens, ["c", "a", "d"])]
    assert found == [[i for i, name in enumerate(named) if name == one] for one in "cad"]


def test_a_video_from_stdin_is_a_new_recording_each_time(tmp_path: Path) -> None:
    films = [tmp_path / f"film{seed}.mkv" for seed in (5, 6)]
    command = [*python(), "-m", "seal.cli", "index", "-", "--json"]
    command += ["--store", str(tmp_path / "store")]
    ids = []
    for seed, film in enumerate(films, 5):
        write_film(film, seed=seed, duration_s=2.0)
        got = subprocess.run(command, input=film.read_bytes(), stdout=subprocess.PIPE)
        assert got.returncode == 0
        ids.append(json.loads(got.stdout)["video"])
    assert len(set(ids)) == 2
    library = seal.open(tmp_path / "store")
    assert [video.id for video in library] == ids
    assert not np.array_equal(*(video.tokens.embeddings[:4] for video in library))


def test_the_last_video_removed_leaves_the_bytes_of_an_empty_store(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    write_film(film, seed=7, duration_s=3.0)
    empty = seal.open(tmp_path / "empty")
    library = seal.open(tmp_path / "store")
    library.index(film, jobs=1)
    assert size_bytes(library.store.path) > 60_000
    removed = printed_by("remove", film, "--store", library.store.path, "--json")
    assert removed == [{"video": removed[0]["video"], "path": str(film)}]
    optimized = printed_by("optimize", "--store", library.store.path, "--json")
    assert optimized["bytes_before"] > optimized["bytes_after"]
    assert optimized["bytes_after"] - size_bytes(empty.store.path) < 32_000
    assert len(library) == 0


def test_half_indexed_videos_are_listed_and_can_be_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    record = make_record("half-0123", path="half.mp4")
    store.begin(record, KEYS)
    store.add(record.id, 0, KEYS, *known_part("half", 1, KEYS))
    listed = run("list", "--store", store.path)
    assert listed.stdout.startswith("half-0123  unfinished, 1 part stored: ")
    begun = run("list", "--store", store.path, "--unfinished")
    assert begun.stdout == listed.stdout
    (row,) = printed_by("list", "--store", store.path, "--unfinished", "--json")
    assert row == {
        "video": "half-0123",
        "path": "half.mp4",
        "stage": "unfinished",
        "stored_parts": 1,
        "dead": [],
    }
    assert printed_by("list", "--store", store.path, "--json") == []
    assert run("find", "half.mp4", "a ball", "--store", store.path).exit_code == 1
    assert run("remove", "half.mp4", "--purge", "--store", store.path).exit_code == 0
    assert "no videos" in run("list", "--store", store.path).stdout


@pytest.mark.parametrize("slip", ["half", "half.mov", "films/half", "helf.mp4", "Half-012"])
def test_what_is_removed_is_named_as_a_whole(tmp_path: Path, slip: str) -> None:
    store = Store(tmp_path / "store", create=True)
    for number in range(7):
        store.begin(make_record(f"other-{number}", path=f"lectures/{number}.mp4"), KEYS)
        store.finish(make_record(f"other-{number}", path=f"lectures/{number}.mp4"), {})
    store.begin(make_record("half-0123", path="films/half.mp4"), KEYS)
    store.add("half-0123", 0, KEYS, *known_part("half-0123", 1, KEYS))
    refused = run("remove", slip, "--store", store.path)
    assert refused.exit_code == 1
    assert "did you mean half-0123 (films/half.mp4)?" in refused.stderr
    assert "lectures" not in refused.stderr
    assert len(store.unfinished()) == 1
    assert len(store.videos()) == 7


def test_the_beginning_of_an_id_names_a_video_that_is_asked_and_none_that_is_removed(
    library: Library,
) -> None:
    (first, *_) = [video.id for video in library]
    assert library.video(first[:-2]).id == first
    with pytest.raises(NotIndexedError, match="The whole id or path is needed"):
        library.remove(first[:-2])
    assert len(library) == 2
    with pytest.raises(NotIndexedError, match=rf"did you mean {first} \("):
        library.video("film0.mov")
