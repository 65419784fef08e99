"""A kind of token and back ends from outside the package: by entry point, and as objects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import made_up
import seal
from filmed import write_film
from seal import backends
from seal.errors import BackendError, OptionError, StoreError, UnfinishedError

IN_PARTS = "video.part_s=4"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, seed=3, duration_s=24.0)
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Python that has the made-up plug-in installed."""
    return made_up.installed(tmp_path_factory.mktemp("site"))


def run(environment: dict[str, str], *arguments: str | Path) -> str:
    command = [sys.executable, "-m", "seal.cli", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_made_up_kind_goes_everywhere_without_an_edit(
    film: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    store = ["--store", tmp_path / "store"]
    indexed = json.loads(run(environment, "index", film, *store, "--set", IN_PARTS, "--json"))
    assert indexed["tokens"]["caption"] >= 12
    rows = json.loads(run(environment, "tokens", film, "--kind", "caption", *store, "--json"))
    assert [row["text"] for row in rows[:2]] == ["a red ball at second 0", "a red ball at second 2"]
    assert all(row["track"] == [] for row in rows)
    budget = ["--set", "attention.alpha=1", "--objective", "normalised", "--budget", "3"]
    query = "a red ball at second 8"
    selected = json.loads(run(environment, "select", film, query, *budget, *store, "--json"))
    kinds = {row["kind"] for row in selected["selection"]}
    assert "caption" in kinds
    # A caption takes a quarter of the budget, so that more than three tokens fit.
    assert len(selected["selection"]) > 3
    dear = [*budget, "--set", "attention.cost_caption=3"]
    few = json.loads(run(environment, "select", film, query, *dear, *store, "--json"))
    assert len(few["selection"]) < len(selected["selection"])
    for suffix in (".html", ".png"):
        board = tmp_path / f"board{suffix}"
        run(environment, "show", film, query, *budget, "-o", board, *store)
        assert board.stat().st_size > 10_000
    page = (tmp_path / "board.html").read_text()
    assert "a red ball at second" in page
    assert ".kind-caption { --on-paper: #783c8c" in page
    assert '<div class="lane kind-caption">' in page
    prompt = run(environment, "ask", film, query, "--dry-run", "--budget", "4", *store)
    assert "- words: what somebody says at that time" in prompt
    assert '] words "a red ball at second' in prompt.replace("\n", " ")
    found = json.loads(run(environment, "find", film, query, *store, "--json"))
    assert found["moments"][0]["token"]
    # Without the plug-in nobody knows what a caption is.
    bare = subprocess.run(
        [sys.executable, "-m", "seal.cli", "tokens", film, *store], capture_output=True, text=True
    )
    assert bare.returncode == 1
    assert "caption" in bare.stderr
    assert "Traceback" not in bare.stderr


def test_made_up_back_ends_by_entry_point_in_one_and_two_processes(
    film: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    chosen = [f"{stage}.backend=made_up" for stage in ("segment", "track", "encode")]
    settings = [f"--set={setting}" for setting in (*chosen, "encode.dimension=12", IN_PARTS)]
    rows = []
    for jobs in ("1", "2"):
        store = ["--store", tmp_path / f"store{jobs}"]
        run(environment, "index", film, *settings, "--jobs", jobs, *store)
        rows.append(json.loads(run(environment, "tokens", film, *store, "--json")))
        found = json.loads(run(environment, "find", film, "red", *store, "--json"))
        assert found["match"] is None
        assert found["moments"]
    assert rows[0] == rows[1]
    assert {row["kind"] for row in rows[0]} == {"scene", "object", "action", "caption"}


@pytest.mark.parametrize("stage", ["encode", "segment", "track"])
def test_the_contract_suite_of_a_stage_runs_over_a_made_up_back_end(
    stage: str, environment: dict[str, str]
) -> None:
    suite = Path(__file__).with_name(f"test_{stage}_contract.py")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "made_up"]
    done = subprocess.run([*command, suite], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("jobs", [1, 2])
def test_made_up_back_ends_as_objects(film: Path, tmp_path: Path, jobs: int) -> None:
    library = seal.open(tmp_path / "store")
    given = {
        "segmenter": made_up.HalfSegmenter(),
        "tracker": made_up.CentreTracker(),
        "encoder": made_up.ColourEncoder(),
    }
    video = library.index(film, jobs=jobs, options=[IN_PARTS], **given)
    assert video.tokens.embeddings.shape[1] == 8
    assert video.record.encoder == "made-up-colours-1"
    assert {"scene", "object", "action"} == set(video.tokens.kinds)
    moments = video.find("red").moments
    assert moments
    again = library.index(film, jobs=jobs, options=[IN_PARTS], **given)
    assert again.tokens.ids.tolist() == video.tokens.ids.tolist()
    # Whoever opens the library anew hands the encoder in again.
    with pytest.raises(StoreError, match="handed in as an object"):
        seal.open(tmp_path / "store")[film].find("red")
    reopened = seal.open(tmp_path / "store", encoder=made_up.ColourEncoder())
    assert reopened[film].find("red").moments == moments


class Unportable(made_up.ColourEncoder):
    """It holds something that no other process can have."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = lambda: None


def test_an_object_that_cannot_go_to_other_processes_is_an_error(
    film: Path, tmp_path: Path
) -> None:
    library = seal.open(tmp_path / "store")
    with pytest.raises(BackendError, match="use one process: jobs=1"):
        library.index(film, jobs=2, options=[IN_PARTS], encoder=Unportable())
    assert len(library.index(film, jobs=1, encoder=Unportable()).tokens) > 0


class UnreadableError(Exception):
    """It cannot be made again from what is pickled of it."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class Failing(made_up.ColourEncoder):
    """It fails in one of several ways as soon as it is used, in any process but the first."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def __setstate__(self, state: dict[str, str]) -> None:
        if state["way"] == "dies early":
            os._exit(9)
        self.__dict__.update(state)

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        if self.way == "dies":
            os._exit(9)
        raise UnreadableError("no red", "") if self.way == "unreadable" else ValueError("no blue")


@pytest.mark.parametrize(
    ("way", "kind", "message"),
    [
        ("raises", ValueError, "no blue"),
        ("unreadable", BackendError, "UnreadableError: no red"),
        ("dies", UnfinishedError, "its worker process died (exit code 9)"),
        ("dies early", UnfinishedError, "its worker process died (exit code 9)"),
    ],
)
def test_what_fails_in_a_worker_process_is_an_error_here(
    way: str, kind: type[Exception], message: str, film: Path, tmp_path: Path
) -> None:
    library = seal.open(tmp_path / "store")
    errors: list[BaseException] = []

    def index() -> None:
        try:
            library.index(film, jobs=2, options=[IN_PARTS], encoder=Failing(way))
        except Exception as error:
            errors.append(error)

    # A thread, because the fault that this test is about is to wait for ever.
    running = threading.Thread(target=index, daemon=True)
    running.start()
    running.join(120)
    assert not running.is_alive()
    assert [type(error) for error in errors] == [kind]
    assert message in str(errors[0])
    assert len(library) == 0


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("encoder.mine = made_up:ColourEncoder", "STAGE.NAME with a stage of kind, detect"),
        ("encode.mini = made_up:ColourEncoder", "'encode.mini', a name that is taken"),
    ],
)
def test_a_wrong_entry_point_is_an_error_of_one_line(
    point: str, message: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_up, "ENTRY_POINTS", f"[seal.backends]\n{point}\n")
    environment = made_up.installed(tmp_path)
    command = [sys.executable, "-m", "seal.cli", "index", film, "--store", tmp_path / "s"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plug_in_that_cannot_be_imported_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {stage: dict(named) for stage, named in backends.BUILT_IN.items()}
    table["encode"]["gone"] = backends.Backend("no_such_module:Encoder")
    table["encode"]["odd"] = backends.Backend("made_up:Odd")
    monkeypatch.setattr(backends, "table", lambda: table)
    with pytest.raises(BackendError, match="encode 'gone' cannot be loaded from no_such_module"):
        backends.resolve("encode", "gone")
    with pytest.raises(BackendError, match="encode 'odd' cannot be loaded"):
        backends.resolve("encode", "odd")
    monkeypatch.setattr(
        made_up, "Odd", type("Odd", (), {"Options": made_up.ColourEncoder.Options}), raising=False
    )
    with pytest.raises(BackendError, match="must say backend"):
        backends.default_options("encode", "odd")
    with pytest.raises(
        OptionError, match="valid: mini, blip2, clip, siglip, naflex, metaclip2, gone, odd"
    ):
        backends.resolve("encode", "nothing")
    assert np.isfinite(made_up.ColourEncoder().encode_texts(["red"])).all()
