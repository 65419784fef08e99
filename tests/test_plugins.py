"""A kind of token and back ends from outside the package: by entry point, and as objects."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import made_up
import seal
from filmed import write_film
from seal import backends
from seal.answer import Answerer, Prompt
from seal.attention import Candidates, Objective, pick
from seal.config import AttentionOptions
from seal.detect import Detector
from seal.encode import Encoder
from seal.errors import BackendError, OptionError, StoreError, UnfinishedError
from seal.kinds import Kind
from seal.segment import Segmenter
from seal.track import Tracker
from seal.words import TextReader, Transcriber
from seal.words.meaning import SentenceEncoder
from test_types import make_tokens

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


class Broken(made_up.ColourEncoder):
    """It says that its rows are of length 1, and they are not."""

    def __init__(self, factor: float, of_texts: bool = False) -> None:
        super().__init__()
        self._factor, self._of_texts = np.float32(factor), of_texts

    def encode_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        rows = super().encode_images(images)
        return rows if self._of_texts else self._wrong(rows)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._wrong(super().encode_texts(texts))

    def _wrong(self, rows: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return rows * self._factor


@pytest.mark.parametrize("factor", [0.0, 2.0, np.nan, np.inf])
def test_an_encoder_whose_rows_are_not_of_length_1_is_an_error(
    factor: float, film: Path, tmp_path: Path
) -> None:
    library = seal.open(tmp_path / "store")
    wanted = "embeddings of 'made-up-colours-1' must be finite and L2-normalised"
    quick: dict[str, object] = {"jobs": 1, "quick": True}
    with pytest.raises(BackendError, match=wanted):
        library.index(film, encoder=Broken(factor), **quick)
    video = library.index(film, encoder=Broken(factor, of_texts=True), **quick)
    for ask in (video.find, video.select, library.find):
        with pytest.raises(BackendError, match=wanted):
            ask("red")


def test_an_encoder_whose_rows_have_another_shape_is_an_error(film: Path, tmp_path: Path) -> None:
    encoder = made_up.ColourEncoder()
    encoder.facets = 2
    with pytest.raises(BackendError, match=r"must be of shape \[\d+, 2, 8\], got \[\d+, 1, 8\]"):
        seal.open(tmp_path / "store").index(film, jobs=1, quick=True, encoder=encoder)


INTERFACES = {
    "detect": Detector,
    "segment": Segmenter,
    "track": Tracker,
    "encode": Encoder,
    "transcribe": Transcriber,
    "read": TextReader,
    "meaning": SentenceEncoder,
    "answer": Answerer,
    "objective": Objective,
}
ARGUMENTS = {
    "detect": "detector",
    "segment": "segmenter",
    "track": "tracker",
    "encode": "encoder",
    "transcribe": "transcriber",
    "read": "reader",
}


@pytest.mark.parametrize("stage", ARGUMENTS)
def test_an_object_without_an_attribute_of_its_stage_is_an_error(
    stage: str, film: Path, tmp_path: Path
) -> None:
    """Each attribute in turn, which the message names; and a class in place of an object."""
    library, names = seal.open(tmp_path / "store"), backends.members(INTERFACES[stage])
    for missing in names:
        blob = type("Blob", (), dict.fromkeys([name for name in names if name != missing]))
        for given, message in ((blob(), f"Blob has no attribute '{missing}'"), (blob, "a class")):
            with pytest.raises(BackendError, match=message):
                library.index(film, **{ARGUMENTS[stage]: given})
    if stage == "encode":
        with pytest.raises(BackendError, match="has no attribute 'fingerprint'"):
            seal.open(tmp_path / "store", encoder=object())


@pytest.mark.parametrize("stage", INTERFACES)
def test_a_class_without_an_attribute_of_its_stage_is_an_error(stage: str) -> None:
    """As an entry point names it: abstract, without an attribute, or with another constructor."""
    interface = INTERFACES[stage]
    *_, last = names = backends.members(interface)
    given = {"backend": "blob"}

    def made(blob: type) -> object:
        blobs = backends.table() | {stage: {"blob": backends.Backend("made_up:Blob")}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backends, "table", lambda: blobs)
            patch.setattr(made_up, "Blob", blob, raising=False)
            options = type("Options", (), given)()
            if stage == "objective":
                attention = AttentionOptions(objective="blob")
                return pick(Candidates.of(make_tokens(3), np.zeros(3)), attention)
            return backends.make(stage, options, interface)

    whole = dict.fromkeys(names) | {"__init__": lambda self, options: None}
    if stage != "objective":
        assert made(type("Blob", (), whole))
        with pytest.raises(BackendError, match="cannot be made from its options"):
            made(type("Blob", (), dict.fromkeys(names) | {"__init__": lambda self: None}))
        with pytest.raises(BackendError, match=f"{stage} 'blob' .*Blob.* has no attribute"):
            made(type("Blob", (interface,), {}))
    with pytest.raises(BackendError, match=f"{stage} 'blob'.* has no attribute '{last}', which"):
        made(type("Blob", (), {name: of for name, of in whole.items() if name != last}))


def test_the_page_lists_what_each_stage_has() -> None:
    """Every attribute and method of every abstract class is in its row, and nothing else is."""
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
    # Stages come first: "meaning" is a field of a kind as well.
    rows = dict(reversed(re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.MULTILINE)))
    for stage, interface in INTERFACES.items():
        named = re.findall(r"`(\w+)(?:\([^`]*\))?`", rows[stage])
        assert sorted(named) == sorted(backends.members(interface)), stage
    fields = {field.name for field in dataclasses.fields(Kind)}
    assert fields <= rows.keys()


class Counting(Answerer):
    """An answerer as the page shows it: with one method and no name."""

    def stream(self, prompt: Prompt) -> Iterator[str]:
        yield f"{sum(len(message.pictures) for message in prompt)} pictures"


def test_an_answerer_needs_one_method(film: Path, tmp_path: Path) -> None:
    library = seal.open(tmp_path / "store")
    video = library.index(film, jobs=1, quick=True)
    for asked in (video, library):
        answer = asked.ask("a red ball", budget=3, answerer=Counting())
        assert (answer.text, answer.model) == ("3 pictures", "Counting")
        with pytest.raises(BackendError, match="answerer object has no attribute"):
            asked.ask("a red ball", answerer=object())
        with pytest.raises(BackendError, match=r"a class: give Counting\(\)"):
            asked.ask("a red ball", answerer=Counting)
    assert video.chat(answerer=Counting()).model == "Counting"
    (window,) = library.watch(str(film), queries=["a red ball"], window_s=60, answerer=Counting())
    assert [each.answer.model for each in window.answers] == ["Counting"]
    with pytest.raises(BackendError, match="answerer object has no attribute"):
        list(library.watch(str(film), queries=["a red ball"], answerer=object()))


def test_the_answerer_of_the_page_is_a_plug_in(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its two blocks as a package, asked by NAME:MODEL, and without the options it needs."""
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text()
    (code,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.S) if "Counter" in text)
    (point,) = re.findall(r"\"(answer\.counter)\" = \"(my_package:Counter)\"", page)
    (tmp_path / "my_package.py").write_text(code)
    entry = f"[seal.backends]\n{point[0]} = {point[1]}\n"
    monkeypatch.setattr(made_up, "ENTRY_POINTS", entry)
    environment = made_up.installed(tmp_path)
    store = ["--store", tmp_path / "store"]
    run(environment, "index", film, "--quick", *store)
    asked = ["ask", film, "a red ball", "--budget", "3", *store, "--json"]
    answer = json.loads(run(environment, *asked, "--answerer", "counter:big"))
    assert (answer["answer"], answer["model"]) == ("I was shown 3 pictures.", "counter:big")
    (tmp_path / "my_package.py").write_text(
        code.replace("class Options(ModelAnswer)", "class Opts")
    )
    command = [sys.executable, "-m", "seal.cli", *map(str, asked), "--answerer", "counter"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "must be a subclass of seal.config.ModelAnswer, in the attribute Options" in done.stderr
