"""`seal select --all`: the nearest tokens of every video, and a choice among them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from filmed import write_film
from seal import IndexedVideo, Store
from seal.cli import main
from seal.corpus import Corpus, one_after_another
from seal.errors import NotIndexedError, StoreError
from seal.types import Tokens
from store_worker import KEYS, make_part, make_record


def seal(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films in one store."""
    folder = tmp_path_factory.mktemp("corpus")
    for seed in (0, 1):
        write_film(folder / f"film{seed}.mp4", seed=seed, duration_s=8.0)
        path = folder / f"film{seed}.mp4"
        assert seal("index", path, "--store", folder / "store", "--jobs", "1").exit_code == 0
    return folder


def every(store: Store, query: str) -> dict[tuple[str, str], float]:
    """(video, id) -> relevance of every token, by the queries over one video."""
    found = {}
    for record in store.videos():
        video = IndexedVideo(store, record.id)
        scores = video.relevance(query).tolist()
        found |= {
            (record.id, str(name)): r for name, r in zip(video.tokens.ids, scores, strict=True)
        }
    return found


def test_the_nearest_are_the_most_relevant_of_all_videos_under_their_own_ids(folder: Path) -> None:
    store = Store(folder / "store")
    scores = every(store, "a red ball")
    tokens = Corpus(store, ["attention.candidates=20"]).nearest("a red ball")
    names = list(zip(tokens.video_ids.tolist(), tokens.ids.tolist(), strict=True))
    assert len(set(names)) == len(names) == 20
    assert len(set(tokens.video_ids)) == 2
    worst = sorted(scores.values())[-20]
    assert min(scores[name] for name in names) == pytest.approx(worst, abs=1e-5)
    for row, (video, name) in enumerate(names):
        own = store.tokens(video)
        (there,) = np.flatnonzero(own.ids == name)
        np.testing.assert_array_equal(own.embeddings[there], tokens.embeddings[row])
        assert own.time(int(there)) == tokens.time(row)


def test_all_candidates_of_one_video_give_its_own_choice(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    seal("index", folder / "film0.mp4", "--store", path, "--jobs", "1")
    video = IndexedVideo(Store(path), str(folder / "film0.mp4"), ["attention.solver=greedy"])
    own = video.select("a red ball")
    tokens, chosen = Corpus(Store(path), ["attention.solver=greedy"]).select("a red ball")
    assert sorted(tokens.ids) == sorted(video.tokens.ids[own.rows])
    assert chosen.objective == pytest.approx(own.objective, rel=1e-5)


def test_the_command_names_the_videos(folder: Path) -> None:
    store = ["--store", folder / "store"]
    result = seal("select", "--all", "a red ball", "--budget", "12", *store, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == {"selection", "objective", "upper_bound", "gap", "seconds"}
    assert len(found["selection"]) == 12
    assert {row["video"] for row in found["selection"]} <= {v.id for v in Store(store[1]).videos()}
    text = seal("select", "--all", "a red ball", *store).stdout
    assert found["selection"][0]["video"] in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["select", "--all", "a", "b"],
        ["select", "a"],
        ["select", "--all"],
        ["select", "--all", "a", "--include", "scene-0"],
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str]) -> None:
    assert seal(*arguments).exit_code == 2


def test_a_store_without_videos_or_with_two_encoders_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotIndexedError, match="no videos"):
        Corpus(Store(tmp_path / "empty", create=True))
    store = Store(tmp_path / "store", create=True)
    for number in range(13):
        encoder = "mini-of-today" if number == 12 else "mini-of-another-day"
        record = make_record(f"v{number}", path=f"film{number}.mp4", encoder=encoder)
        store.finish(record, KEYS)
    with pytest.raises(StoreError) as caught:
        Corpus(store)
    named = ", ".join(f"film{number}.mp4 (mini-of-another-day)" for number in range(10))
    assert f"than film12.mp4 (mini-of-today): {named} and 2 more;" in str(caught.value)


def test_videos_come_one_after_another_with_long_pauses() -> None:
    """However late their times are: those of live sources count from 1970."""
    late, early = make_part(["object"] * 3, [4 * 10**10, 0, 300])[0], make_part(["scene"], [9])[0]
    late, early = (
        replace(late, video_ids=np.full(3, "a")),
        replace(early, video_ids=np.array(["b"])),
    )
    times_s = one_after_another(Tokens.concatenate([late, early, late]))
    tick_s = 1001 / 30000
    want = np.array([4e10, 0, 300, 4e10, 4e10, 0, 300]) * tick_s
    want[3] += 1e4
    np.testing.assert_allclose(times_s, want, rtol=1e-9)
    times_s = one_after_another(late.take([0]))
    np.testing.assert_array_equal(times_s, [0])
