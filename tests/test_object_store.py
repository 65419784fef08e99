"""A store in an object store: made once, found by its address, read without asking for all anew."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import s3_server
import seal
from filmed import write_film
from s3_server import SECRET, S3Server, only_s3
from seal.cli import main
from seal.errors import OptionError, StoreError, StoreVersionError
from seal.indexed import LocalVideo
from seal.library import LocalLibrary
from seal.store import Store, schema
from seal.store.bucket import Bucket, explained
from seal.store.place import is_bucket, parsed
from serving import serving
from store_worker import assert_known, index, make_record

_SOON_S = 60.0
"""No error takes longer, however busy this machine is."""


# Addresses


def test_addresses_of_object_stores_and_folders() -> None:
    assert parsed("S3://films/lab/tokens/") == "s3://films/lab/tokens"
    assert parsed("gs://films") == "gs://films"
    assert parsed("az://films//a") == "az://films/a"
    assert parsed("s3:x") == Path("s3:x")
    for folder in ("tokens", "s3", "s3x/tokens"):
        assert parsed(Path(folder)) == parsed(folder) == Path(folder)
    assert not is_bucket("s3:x")


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/x",
        "s3://",
        f"s3://key:{SECRET}@bucket/x",
        f"az://bucket/x?sig={SECRET}",
        Path("s3://bucket/x"),
    ],
)
def test_what_is_no_address_of_a_store_is_refused_without_its_keys(address: str | Path) -> None:
    with pytest.raises(OptionError, match="://") as caught:
        Store(address, create=True)
    assert SECRET not in str(caught.value)


# Made once


@only_s3
def test_of_two_that_make_a_table_the_second_keeps_what_the_first_has_written(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LanceDB's own `create_table` empties the table here."""
    store, other, put = Store(place, create=True), Store(place), Bucket._put_new

    def slow(bucket: Bucket, path: str, content: bytes) -> bool:
        monkeypatch.undo()
        index(other, make_record("first"))
        return put(bucket, path, content)

    monkeypatch.setattr(Bucket, "_put_new", slow)
    index(store, make_record("second"))
    assert {video.id for video in store.videos()} == {"first", "second"}
    for video in store.videos():
        assert_known(store, video)


@only_s3
def test_of_many_that_make_a_store_at_once_all_have_one(place: str) -> None:
    stores: list[Store] = []
    threads = [
        threading.Thread(target=lambda: stores.append(Store(place, create=True))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 4
    index(stores[0], make_record())
    for store in stores:
        assert_known(store, store.resolve("film"))


@only_s3
def test_a_prefix_that_is_no_store_is_refused(place: str, s3: S3Server) -> None:
    with pytest.raises(StoreError, match=r"no token store at s3://.* seal index"):
        Store(place)
    s3.put(f"{place}/holiday.mp4", b"a film")
    with pytest.raises(StoreError, match=r"not a token store and not empty \(holiday\.mp4"):
        Store(place, create=True)
    # What has the prefix as a part of its name is something else.
    Store(f"{place}/holiday", create=True)


@only_s3
def test_stores_of_other_layouts_are_refused(place: str, s3: S3Server) -> None:
    for version, error in ((schema.VERSION + 1, StoreVersionError), (1, StoreError)):
        s3.put(f"{place}/{schema.VERSION_FILE}", schema.version_file(version))
        with pytest.raises(error, match="upgrade"):
            Store(place, create=True)
    s3.put(f"{place}/{schema.VERSION_FILE}", b"{}")
    with pytest.raises(StoreError, match=f"{place} cannot be used"):
        Store(place)


# Errors


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[S3Server]:
    """A server that knows nobody's keys, but for one request."""
    with s3_server.running(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="1") as server:
        yield server


def check_refused(call: Callable[[], object], says: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=says) as caught:
        call()
    assert time.monotonic() - began < _SOON_S
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    # A traceback would show it.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@only_s3
def test_what_is_wrong_with_an_object_store_is_said_in_a_line(
    place: str, strict: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_refused(lambda: Store("s3://no-such-bucket/x", create=True), "make the bucket")
    check_refused(lambda: Store("s3://no-such-bucket/x"), "make the bucket")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT", strict.url)
        check_refused(lambda: Store(strict.new_address()), "check the keys")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
        check_refused(lambda: Store(place), "cannot be reached")
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ALLOW_HTTP")
        check_refused(lambda: Store(place), "AWS_ALLOW_HTTP=true")


@only_s3
def test_an_object_store_that_goes_away_is_an_error_of_every_call(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server.running(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT", server.url)
        store = Store(server.new_address(), create=True)
        index(store, make_record())
    check_refused(lambda: store.tokens("film"), "cannot be reached")
    check_refused(lambda: index(store, make_record("other")), "cannot be reached")


def test_a_number_in_a_name_is_not_taken_for_a_reason() -> None:
    assert "cannot be used: data/4030401.lance is damaged" in explained(
        "s3://b/x", "data/4030401.lance is damaged"
    )


def test_refused_access_names_the_variables_of_its_kind_of_bucket() -> None:
    names = {"s3": "AWS_ACCESS_KEY_ID", "gs": "GOOGLE_SERVICE_ACCOUNT", "az": "AZURE_STORAGE"}
    for scheme in names:
        said = explained(f"{scheme}://b/x", "status: 403")
        assert [each for each in names if names[each] in said] == [scheme]


def test_no_message_holds_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", SECRET)
    said = explained("az://b/x", f"odd: PUT https://h/x?sig=abc%3D (key {SECRET}) failed\nmore")
    assert said == "the token store az://b/x cannot be used: odd: PUT https://h/x (key ***) failed"


@only_s3
def test_who_may_not_write_is_known(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(place, create=True)
    assert Store(place)._tables.is_writable
    refused = StoreError("refuses access")

    def refuse(bucket: Bucket, path: str, content: bytes) -> bool:
        raise refused

    store = Store(place)
    monkeypatch.setattr(Bucket, "_put_new", refuse)
    assert not store._tables.is_writable


# Reading


def of_tokens(requests: list[str]) -> list[str]:
    return [line for line in requests if "/tokens_" in line and "/data/" in line]


@only_s3
def test_a_second_question_reads_no_tokens_until_the_video_is_indexed_anew(
    place: str, s3: S3Server, tmp_path: Path
) -> None:
    write_film(tmp_path / "film.mp4", seed=1, duration_s=2.0)
    library = seal.open(place)
    video = library.index(tmp_path / "film.mp4", jobs=1)
    assert isinstance(library, LocalLibrary)
    before = len(s3.requests())
    library.by_id(video.id).find("a red ball")
    assert of_tokens(s3.requests()[before:])
    before = len(s3.requests())
    for query in ("a red ball", "a blue square"):
        assert library.by_id(video.id).find(query)
    asked = s3.requests()[before:]
    assert not of_tokens(asked)
    # Whether it has been indexed anew is a list of versions each time.
    assert len(asked) <= 4, asked
    seal.open(place).index(tmp_path / "film.mp4", jobs=1, options=["scenes.interval_s=0.5"])
    again = library.by_id(video.id)
    assert isinstance(again, LocalVideo)
    assert len(again.tokens) == sum(library.store.count(video.id).values())
    assert len(again.tokens) != len(video.tokens)


# Commands and the server


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@only_s3
def test_commands_and_the_server_use_a_store_in_an_object_store(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("one", "two")):
        write_film(tmp_path / f"{name}.mp4", seed=seed, duration_s=2.0)
    at = ("--store", place, "--json")
    for line in run("index", "one.mp4", "two.mp4", "--jobs", "2", *at).splitlines():
        assert sum(json.loads(line)["tokens"].values()) > 0
    assert json.loads(run("find", "one.mp4", "a red ball", *at))["moments"]
    assert json.loads(run("select", "two.mp4", "a red ball", "--budget", "4", *at))["selection"]
    found = json.loads(run("find", "--all", "a red ball", *at))
    assert found["moments"]
    assert len(json.loads(run("list", *at))) == 2
    with serving(place, "--state", str(tmp_path / "state")) as server:
        reply = server.post("/api/v1/find", {"query": "a red ball"})
        assert reply.json["moments"] == found["moments"]
    assert [each["path"] for each in json.loads(run("remove", "one.mp4", *at))] == ["one.mp4"]
    sizes = json.loads(run("optimize", *at))
    assert 0 < sizes["bytes_after"] <= sizes["bytes_before"]
    assert [each["path"] for each in json.loads(run("list", *at))] == ["two.mp4"]
    # Nothing was made in the folder that the commands ran in.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mp4", "state", "two.mp4"]


@only_s3
def test_the_state_of_a_server_has_to_be_named(place: str) -> None:
    Store(place, create=True)
    result = CliRunner().invoke(main, ["serve", "--store", place, "--port", "0"])
    assert result.exit_code == 1
    assert "--state DIR" in result.output
