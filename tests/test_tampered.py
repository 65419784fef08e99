"""Stores, states and dialogues that somebody else made: one error that names them, and no more."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

import seal
from filmed import write_film
from seal.attention.streaming import Stream
from seal.cli import main
from seal.config import AttentionOptions
from seal.errors import SealError, StoreError
from seal.store import schema

READING = {
    "list": ["list"],
    "tokens": ["tokens", "VIDEO"],
    "find": ["find", "VIDEO", "a red ball"],
    "find all": ["find", "--all", "a red ball"],
    "select": ["select", "VIDEO", "a red ball", "--budget", "4"],
    "show": ["show", "VIDEO", "a red ball", "-o", "PAGE"],
    "index": ["index", "FILM"],
    "optimize": ["optimize"],
}
Tamper = Callable[[Path], None]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, seed=0, duration_s=6.0)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    path = tmp_path_factory.mktemp("made") / "store"
    seal.open(path).index(film, jobs=1)
    return path


@pytest.fixture
def store(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "somebody's"))


def video_of(made: Path) -> str:
    (video,) = seal.open(made)
    return video.id


def table_of(store: Path, name: str) -> Any:
    return lancedb.connect(store / schema.FOLDER).open_table(name)


def tokens_table(store: Path) -> str:
    names = lancedb.connect(store / schema.FOLDER).list_tables().tables
    (name,) = (name for name in names if name.startswith(schema.TOKENS))
    return str(name)


def in_json(column: str, change: Callable[[Any], Any]) -> Tamper:
    """Change what JSON a commit holds."""

    def tamper(store: Path) -> None:
        table = table_of(store, schema.VIDEOS)
        (row,) = table.search().limit(None).to_list()
        text = json.dumps(change(json.loads(row[column])))
        table.update("true", {column: text})

    return tamper


def in_record(**values: Any) -> Tamper:
    return in_json("record", lambda record: record | values)


def in_column(name: str, change: Callable[[Any], Any], of: str = "") -> Tamper:
    """Change a column of the tokens, or of another table, as a NumPy array, in place."""

    def tamper(store: Path) -> None:
        table = of or tokens_table(store)
        rows = table_of(store, table).to_arrow()
        place, kind = rows.schema.get_field_index(name), rows.schema.field(name).type
        array = rows[name].combine_chunks()
        is_list = pa.types.is_fixed_size_list(kind)
        values = (array.flatten() if is_list else array).to_numpy(zero_copy_only=False).copy()
        values = change(values.reshape(rows.num_rows, -1) if is_list else values)
        if is_list:
            flat = pa.array(values.reshape(-1), kind.value_type)
            array = pa.FixedSizeListArray.from_arrays(flat, type=kind)
        else:
            array = pa.array(values, kind)
        rows = rows.set_column(place, rows.schema.field(name), array)
        database = lancedb.connect(store / schema.FOLDER)
        # LanceDB itself would refuse NaN; whoever tampers would not.
        spoiled = {"on_bad_vectors": "fill", "fill_value": np.nan}
        database.create_table(table, rows, mode="overwrite", **spoiled)

    return tamper


def at(place: Any, value: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values[place] = value
        return values

    return change


def another_dimension(store: Path) -> None:
    """The table says one thing and its name another."""
    name = tokens_table(store)
    rows = table_of(store, name).to_arrow()
    flat = pa.array(np.zeros(rows.num_rows * 3, np.float32))
    short = pa.FixedSizeListArray.from_arrays(flat, 3)
    rows = rows.set_column(rows.schema.get_field_index("embedding"), "embedding", short)
    lancedb.connect(store / schema.FOLDER).create_table(name, rows, mode="overwrite")


def part(place: int, value: Any) -> Tamper:
    """Change a value of the first part of each kind in a commit's contents."""

    def change(contents: Any) -> Any:
        for parts in contents.values():
            parts[0][place] = value
        return contents

    return in_json("contents", change)


def not_json(store: Path) -> None:
    table_of(store, schema.VIDEOS).update("true", {"record": "{'a': "})


def deep_json(store: Path) -> None:
    table_of(store, schema.VIDEOS).update("true", {"record": "[" * 100_000})


RECORDS: dict[str, Tamper] = {
    "NaN as duration": in_record(duration_s=float("nan")),
    "text as duration": in_record(duration_s="long"),
    "true as duration": in_record(duration_s=True),
    "negative duration": in_record(duration_s=-1.0),
    "endless number": in_record(start_s=10**400),
    "infinite gap": in_record(gaps=[[0.0, float("inf"), "lost"]]),
    "gap that ends before it begins": in_record(gaps=[[2.0, 1.0, "lost"]]),
    "gap without a reason": in_record(gaps=[[0.0, 1.0, None]]),
    "gaps that are none": in_record(gaps=7),
    "text as width": in_record(width="wide"),
    "number as path": in_record(path=3),
    "list as location": in_record(location=["/etc/passwd"]),
    "no options": in_record(options=None),
    "text as encoder options": in_record(encoder_options="mini"),
    "numbers as keys": in_record(keys={"scene": 1}),
    "rate of 0": in_record(rate_hz=0),
    "another video": in_record(id="other"),
    "unknown field": in_record(colour="red"),
    "a list": in_json("record", lambda record: [record]),
    "a number": in_json("record", lambda record: 5),
    "no JSON": not_json,
    "lists in lists": deep_json,
    "text as a part's number": part(0, "first"),
    "negative count": part(2, -1),
    "text as dimension": part(3, "wide"),
    "dimension of nothing": part(3, 10**12),
    "infinite gap of a part": part(5, [[0, float("inf"), ""]]),
    "contents that are a list": in_json("contents", lambda contents: [contents]),
    "kinds without parts": in_json("contents", lambda contents: dict.fromkeys(contents, 1)),
}
TOKENS: dict[str, Tamper] = {
    "denominator of 0": in_column("tick_denominator", at(0, 0)),
    "negative numerator": in_column("tick_numerator", at(0, -1)),
    "numerator too large": in_column("tick_numerator", at(slice(None), 2**62)),
    "end before the start": in_column("end_pts", at(0, -(2**40))),
    "NaN in an embedding": in_column("embedding", at((0, 3), np.nan)),
    "infinite embedding": in_column("embedding", at((0, 3), np.inf)),
    "embedding that is too long": in_column("embedding", at(0, 1e30)),
    "another dimension": another_dimension,
    "box outside": in_column("box", at((0, 2), 1.5)),
    "NaN as box": in_column("box", at((0, 0), np.nan)),
    "NaN as score": in_column("score", at(0, np.nan)),
    "unknown kind": in_json("contents", lambda contents: contents | {"smell": contents["scene"]}),
}


def run(arguments: list[str], store: Path, film: Path, video: str, page: Path) -> str:
    """What a command says on stderr; it fails on its input, in one line without a traceback."""
    names = {"VIDEO": video, "FILM": str(film), "PAGE": str(page)}
    words = [names.get(word, word) for word in arguments]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # As outside of a test.
        result = CliRunner().invoke(main, [*words, "--store", str(store)])
    assert result.exit_code == 1, (result.exit_code, result.output, result.exception)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert "Traceback" not in result.output
    assert str(store) in result.stderr
    assert len(result.stderr.strip().splitlines()[-1]) < 1000
    return result.stderr


@pytest.mark.parametrize("what", RECORDS)
def test_a_tampered_record_ends_each_command_in_one_error(
    what: str, store: Path, made: Path, film: Path, tmp_path: Path
) -> None:
    video, page = video_of(made), tmp_path / "page.html"
    RECORDS[what](store)
    for arguments in READING.values():
        assert video in run(arguments, store, film, video, page)
    assert not page.exists()
    # What nobody can read can be removed all the same, by its id.
    assert CliRunner().invoke(main, ["remove", video, "--store", str(store)]).exit_code == 0
    assert len(seal.open(store)) == 0


@pytest.mark.parametrize("what", TOKENS)
def test_tampered_tokens_end_each_command_in_one_error(
    what: str, store: Path, made: Path, film: Path, tmp_path: Path
) -> None:
    video, page = video_of(made), tmp_path / "page.html"
    TOKENS[what](store)
    for name in ("tokens", "find", "select", "show"):
        run(READING[name], store, film, video, page)
    assert not page.exists()
    library = seal.open(store)
    library.listing()
    library.remove(video)
    assert len(library) == 0


@pytest.mark.parametrize(
    "changes", [{"profile": "evil"}, {"encoder_options": {"backend": "evil"}}], ids=str
)
def test_what_a_record_names_and_nobody_knows_is_an_error(
    changes: dict[str, Any], store: Path, made: Path, film: Path, tmp_path: Path
) -> None:
    video = video_of(made)
    in_record(**changes)(store)
    for name in ("find", "find all", "select", "show"):
        said = run(READING[name], store, film, video, tmp_path / "page.html")
        assert "not known here" in said


def claiming(side: int) -> bytes:
    """A small picture whose header says that it is large."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    # The start of the frame: marker, length, precision, height, width.
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = side.to_bytes(2, "big") * 2
    return bytes(data)


@pytest.mark.parametrize(
    "picture",
    [claiming(16_000), claiming(9_000), claiming(60_000), b"", b"GIF89a", claiming(16)[:-40]],
    ids=["16,000", "9,000", "60,000", "empty", "another format", "cut short"],
)
@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_a_picture_that_cannot_be_shown_is_an_error(
    picture: bytes, suffix: str, store: Path, made: Path, film: Path, tmp_path: Path
) -> None:
    def change(values: Any) -> Any:
        values[:] = [picture] * len(values)
        return values

    in_column("jpeg", change, of=schema.PICTURES)(store)
    page = tmp_path / f"page{suffix}"
    said = run(READING["show"], store, film, video_of(made), page)
    assert "picture of" in said
    assert not page.exists()


SECRETS = ("/etc/passwd", "secret.txt", "other.mp4", "javascript:alert(1)", "file:///etc/passwd")


@pytest.mark.parametrize("location", SECRETS)
def test_a_page_links_to_nothing_but_the_video(
    location: str, store: Path, made: Path, film: Path, tmp_path: Path
) -> None:
    if not location.startswith(("/", "javascript", "file")):
        (tmp_path / location).write_bytes(b"x" * 100)
        location = str(tmp_path / location)
    (record,) = seal.open(store).store.videos()
    page = tmp_path / "page.html"
    library = seal.open(store)
    library[record.id].show("a red ball", page)
    assert 'class="play"' in page.read_text()
    in_record(location=location)(store)
    seal.open(store)[record.id].show("a red ball", page)
    assert 'class="play"' not in page.read_text()
    assert "passwd" not in page.read_text()


def test_a_file_of_another_name_is_linked_to_if_it_is_the_video(
    store: Path, film: Path, tmp_path: Path
) -> None:
    (record,) = seal.open(store).store.videos()
    copied = shutil.copy(film, tmp_path / "film.recording")
    page = tmp_path / "page.html"
    in_record(location=str(copied))(store)
    seal.open(store)[record.id].show("a red ball", page)
    assert 'href="film.recording#t=' in page.read_text()
    # As large, but not the same.
    Path(copied).write_bytes(bytes(Path(copied).stat().st_size))
    seal.open(store)[record.id].show("a red ball", page)
    assert 'class="play"' not in page.read_text()


def test_rows_of_what_is_unfinished_are_checked_as_well(store: Path, made: Path) -> None:
    library = seal.open(store)
    row = {"video_id": "half", "path": "3", "kind": "scene", "key": "k", "part": 0}
    row |= {"batch": "b", "stored": True, "count": 0, "dimension": 4, "facets": 1, "gaps": "[]"}
    library.store._tables.append(schema.PARTS, [row])
    with pytest.raises(StoreError, match="the path of 'half' is no text"):
        library.listing()
    library.remove("half")
    assert len(library.listing()) == 1


# States of watching and dialogues


def saved_state(path: Path, film: Path) -> None:
    for _ in seal.open(path.parent / "any").watch(str(film), ["a ball"], state=path, window_s=2.0):
        pass


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Path:
    path = tmp_path_factory.mktemp("state") / "state.npz"
    saved_state(path, film)
    return path


def in_head(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        head = json.loads(str(arrays["head"]))
        arrays["head"] = np.array(json.dumps(head | values))

    return change


def in_notes(**values: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        head = json.loads(str(arrays["head"]))
        head["notes"] |= values
        arrays["head"] = np.array(json.dumps(head))

    return change


def spoiled(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name].reshape(-1)[0] = value

    return change


def without(name: str) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        del arrays[name]

    return change


def replaced(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = value

    return change


STATES: dict[str, Callable[[dict[str, Any]], None]] = {
    "no JSON": replaced("head", np.array("{'")),
    "lists in lists": replaced("head", np.array("[" * 100_000)),
    "a list": replaced("head", np.array("[]")),
    "another schema": in_head(schema="new"),
    "negative count": in_head(seen=-1),
    "wrong count": in_head(seen=10**6),
    "text as dimension": in_head(dimension="wide"),
    "another dimension": in_head(dimension=3),
    "queries that are numbers": in_head(queries=[1]),
    "more queries than there are": in_head(queries=["a ball", "a box"]),
    "notes that are text": in_head(notes="all is well"),
    "source that is a number": in_notes(source=1),
    "text as time": in_notes(reached_s="soon"),
    "NaN as time": in_notes(origin_s=float("nan")),
    "a time beyond all": in_notes(reached_s=1e300),
    "no last window": in_notes(last=None),
    "options that are text": in_notes(options="all"),
    "NaN in an embedding": spoiled("window.embeddings", np.nan),
    "NaN in a facet": spoiled("query0.facets", np.nan),
    "NaN as relevance": spoiled("query0.relevance", np.nan),
    "NaN as query": spoiled("query0.embedding", np.nan),
    "NaN as score": spoiled("sample.scores", np.nan),
    "denominator of 0": spoiled("window.time_base", 0),
    "end before the start": spoiled("window.pts", 2**62),
    "box outside": spoiled("window.boxes", 7.0),
    "a column less": without("window.boxes"),
    "other lengths": replaced("window.scores", np.zeros(3, np.float32)),
    "text as boxes": replaced("window.boxes", np.array(["a", "b"])),
    "one value": replaced("query0.worth", np.zeros(1)),
    "NaN as value": replaced("query0.worth", np.array([np.nan, 1.0])),
    "relevance of others": replaced("query0.relevance", np.zeros(99, np.float32)),
}


@pytest.mark.parametrize("what", STATES)
def test_a_tampered_state_is_one_error(what: str, state: Path, film: Path, tmp_path: Path) -> None:
    with np.load(state, allow_pickle=False) as stored:
        arrays = dict(stored)
    STATES[what](arrays)
    path = tmp_path / "state.npz"
    np.savez(path, **arrays)
    with pytest.raises(StoreError) as caught:
        saved_state(path, film)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"x" * 1000])
def test_a_file_that_is_no_state_is_one_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(StoreError, match="is not the state of a stream"):
        Stream.load(tmp_path / "state", AttentionOptions())


def test_a_state_of_which_any_byte_changed_is_read_or_refused(state: Path, tmp_path: Path) -> None:
    content, path = state.read_bytes(), tmp_path / "state"
    rng = np.random.default_rng(0)
    refused = 0
    # NumPy reads the header of an array by Python's own tokenizer, which has errors of its own.
    header = content.index(b"\x93NUMPY")
    for place in [*range(header, header + 128), *rng.integers(0, len(content), 300).tolist()]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            Stream.load(path, AttentionOptions())
        except StoreError:
            refused += 1
    assert refused > 200


DIALOGUES: list[Any] = [
    [],
    "text",
    7,
    None,
    {"turns": 5},
    {"turns": [5]},
    {"turns": [[]]},
    {"turns": [{"question": 1, "complete": "", "evidence": [], "answer": None}]},
    {"turns": [{"question": "", "complete": "", "evidence": [1], "answer": None}]},
    {"turns": [{"question": "", "complete": "", "evidence": 3, "answer": None}]},
    {"turns": [{"question": "", "complete": "", "evidence": [], "answer": {"a": 1}}]},
    {"turns": [], "version": float("nan")},
    {"turns": [], "video": ["a"]},
    {"turns": [], "keys": "all"},
]


@pytest.mark.parametrize("values", DIALOGUES, ids=str)
def test_a_tampered_dialogue_is_one_error(
    values: Any, store: Path, made: Path, tmp_path: Path
) -> None:
    video = seal.open(store)[video_of(made)]
    right = {"version": 2, "video": video.id, "keys": dict(video.record.keys), "turns": []}
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(right))
    assert video.chat(session=path).turns == []
    path.write_text(json.dumps(right | values if isinstance(values, dict) else values))
    with pytest.raises(SealError) as caught:
        video.chat(session=path)
    assert str(path) in str(caught.value)
    words = ["chat", video.id, "--session", str(path), "--store", str(store)]
    result = CliRunner().invoke(main, words, input="What is it?\n")
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
