"""A library on a server is the library: the same class, the same methods, the same results."""

from __future__ import annotations

import inspect
import json
import select
import shutil
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import seal
from filmed import write_film
from seal.answer.conversation import Conversation
from seal.answer.prompt import draw
from seal.cli import main
from seal.client import RemoteLibrary, RemoteVideo
from seal.client.asking import Server as Asked
from seal.client.connection import ServerConnection
from seal.client.dialogue import RemoteDialogue
from seal.client.problems import UnfitError, of_problem
from seal.client.uploads import _sent
from seal.config import Options, VideoOptions
from seal.errors import (
    AnswerError,
    DataError,
    NotIndexedError,
    OptionError,
    StoreError,
    StoreVersionError,
    VideoError,
)
from seal.indexed import LocalVideo
from seal.library import LocalLibrary
from seal.results import Answer, Result
from seal.scope import Scope
from seal.serve import problems
from seal.types import Tokens
from seal.video import open_video
from serving import Server, serving

TOKEN = "0123456789abcdef0123456789abcdef"
SUBTITLES = """1
00:00:01,000 --> 00:00:03,500
The red ball begins to roll.

2
00:00:05,000 --> 00:00:07,250
A blue square waits for it.
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two films, of which one has subtitles."""
    folder = tmp_path_factory.mktemp("remote")
    write_film(folder / "film.mp4", seed=0, duration_s=8.0)
    (folder / "film.srt").write_text(SUBTITLES)
    write_film(folder / "other.mp4", seed=1, duration_s=6.0)
    library = seal.open(folder / "store")
    library.index([folder / "film.mp4", folder / "other.mp4"], jobs=1)
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    (home / "token").write_text(TOKEN)
    with serving(home / "store", "--token-file", str(home / "token")) as server:
        yield server


@pytest.fixture
def local(home: Path) -> seal.Library:
    return seal.open(home / "store")


@pytest.fixture
def remote(server: Server) -> seal.Library:
    return seal.open(server.url, token=TOKEN)


def timeless(result: Result) -> Any:
    """A result as JSON, without how long it took."""
    value = json.loads(json.dumps(result.to_json()))
    return {key: of for key, of in value.items() if key != "seconds"}


@pytest.mark.parametrize(
    ("ours", "theirs", "front"),
    [(LocalLibrary, RemoteLibrary, seal.Library), (LocalVideo, RemoteVideo, seal.Video)],
)
def test_methods_have_the_same_signatures(ours: Any, theirs: Any, front: Any) -> None:
    names = [name for name in dir(front) if not name.startswith("_")]
    for name in [*names, "__len__", "__iter__", "__getitem__"]:
        is_own = name in vars(ours) or name in vars(theirs)
        if is_own and callable(getattr(front, name, None)):
            one, other = (inspect.signature(getattr(kind, name)) for kind in (ours, theirs))
            assert list(one.parameters.values()) == list(other.parameters.values()), name
            assert inspect.getdoc(getattr(theirs, name)) or name.startswith("_"), name


def test_a_library_of_a_server_is_a_library(local: seal.Library, remote: seal.Library) -> None:
    assert isinstance(remote, seal.Library)
    assert len(remote) == len(local) == 2
    assert [video.id for video in remote] == [video.id for video in local]
    assert all(isinstance(video, seal.Video) for video in remote)
    assert remote.listing().to_json() == local.listing().to_json()
    assert str(remote.listing()) == str(local.listing())
    first = next(iter(local))
    for name in (first.id, first.path, first.id[:6], Path(first.path)):
        assert remote.video(name).id == local.video(name).id
        assert remote[name].path == first.path
    assert remote.by_id(first.id).describe().to_json() == first.describe().to_json()
    assert repr(remote.by_id(first.id)) == repr(first)


def test_a_copy_of_a_file_names_its_video(home: Path, tmp_path: Path, remote: seal.Library) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes((home / "film.mp4").read_bytes())
    assert remote.video(copy).path == str(home / "film.mp4")


def pairs(local: seal.Library, remote: seal.Library) -> list[tuple[Any, Any]]:
    """One video and all videos, here and there."""
    name = next(iter(local)).id
    return [(local.by_id(name), remote.by_id(name)), (local, remote)]


def test_answers_are_the_same(local: seal.Library, remote: seal.Library) -> None:
    query, question = "a red ball", "Why does the red ball stop?"
    calls: list[Callable[[Any], Result]] = [
        lambda asked: asked.find(query, top=2),
        lambda asked: asked.find("what is said of the ball"),
        lambda asked: asked.find("how many dogs are there"),
        lambda asked: asked.select(query, budget=4, objective="coverage"),
        lambda asked: asked.select(query, budget=3, options={"attention.answer_weight": 0.9}),
        lambda asked: asked.ask(question, budget=5),
        lambda asked: asked.ask(question, choices={"A": "It is tired", "B": "It hits a wall"}),
    ]
    for ours, theirs in pairs(local, remote):
        for call in calls:
            here, there = call(ours), call(theirs)
            assert type(here) is type(there)
            assert timeless(here) == timeless(there)
            assert str(here) == str(there)
            assert here._repr_html_() == there._repr_html_() or isinstance(here, Answer)
        assert ours.prompt(question, budget=3) == theirs.prompt(question, budget=3)


def test_what_a_video_knows_is_the_same(local: seal.Library, remote: seal.Library) -> None:
    ours, theirs = pairs(local, remote)[0]
    for kind in (None, "action", "speech"):
        here, there = ours.list_tokens(kind), theirs.list_tokens(kind)
        assert here.to_json() == there.to_json()
        assert str(here) == str(there)
    assert theirs.tokens.embeddings.shape == (len(ours.tokens), 0)
    assert (theirs.tokens.ids == ours.tokens.ids).all()
    for here, there in (
        (ours.transcript(), theirs.transcript()),
        (ours.chapters(every_s=4.0), theirs.chapters(every_s=4.0)),
    ):
        assert here.to_json() == there.to_json()
        assert str(here) == str(there)
    scenes = ours.tokens.take(ours.tokens.kinds == "scene")
    assert theirs.pictures(scenes) == ours.pictures(scenes)
    assert theirs.pictures(theirs.tokens.take([0])) == ours.pictures(ours.tokens.take([0]))
    ids = ours.tokens.ids.tolist()
    here, there = (
        one.select("a ball", budget=3, include=ids[-1:], exclude=ids[:2]) for one in (ours, theirs)
    )
    assert timeless(here) == timeless(there)


def test_pictures_are_those_that_a_model_is_shown(
    local: seal.Library, remote: seal.Library
) -> None:
    """Frames and crops, of one video and of several, here and there."""
    first, second = local
    for library in (local, remote):
        video, other = library.by_id(first.id), library.by_id(second.id)
        seen = [first.tokens.take(first.tokens.kinds == kind) for kind in ("object", "action")]
        seen.append(first.tokens.take(first.tokens.kinds == "scene").take([0, 1]))
        shown = Tokens.concatenate([tokens.take([0]) for tokens in seen])
        scope = Scope(first.content, Options.load(task="ask"))
        drawn = [picture.jpeg for picture in draw(scope, shown) if picture is not None]
        assert video.pictures(shown, crop=True) == drawn
        frames = video.pictures(shown)
        assert drawn[2] == frames[2]
        assert drawn[0] != frames[0]
        theirs = second.tokens.take(second.tokens.kinds == "scene").take([0])
        both = Tokens.concatenate([shown.take([0]), theirs, shown.take([1])])
        for crop in (False, True):
            mine = video.pictures(shown, crop=crop)
            wanted = [mine[0], *other.pictures(theirs, crop=crop), mine[1]]
            assert library.pictures(both, crop=crop) == wanted
        with pytest.raises(OptionError, match=f"{first.id} has no token '{theirs.ids[0]}'"):
            video.pictures(both)
        assert library.pictures(both.take([])) == video.pictures(both.take([])) == []
    words = first.tokens.take(first.tokens.kinds == "speech")
    for library in (local, remote):
        with pytest.raises(OptionError, match="of the kind 'speech' have no pictures"):
            library.pictures(words, crop=True)


@pytest.mark.parametrize("suffix", [".html", ".png"])
def test_a_storyboard_is_written_here(
    local: seal.Library, remote: seal.Library, tmp_path: Path, suffix: str
) -> None:
    for number, (ours, theirs) in enumerate(pairs(local, remote)):
        path = tmp_path / f"{number}{suffix}"
        here = ours.show("a red ball", tmp_path / f"local{suffix}", budget=3)
        there = theirs.show("a red ball", path, budget=3)
        assert there.output == path
        assert there.to_json() | {"output": ""} == here.to_json() | {"output": ""}
        assert path.read_bytes()[:4] in (b"<!do", b"<!DO", b"\x89PNG")
        # Links to files of the server would lead nowhere.
        assert b"film.mp4#t" not in path.read_bytes()


def test_choices_are_letters_or_texts_here_and_there(
    local: seal.Library, remote: seal.Library
) -> None:
    """In every call that takes them, `options` are never choices, and anything else is an error."""
    question, texts = "What colour is the ball?", ["red", "blue"]
    lettered = {"A": "red", "B": "blue"}
    for asked in (local, remote, *pairs(local, remote)[0]):
        assert asked.prompt(question, choices=texts) == asked.prompt(question, choices=lettered)
        assert "(B) blue" in asked.prompt(question, choices=texts)
        given = timeless(asked.ask(question, budget=2, choices=lettered))
        assert timeless(asked.ask(question, budget=2, choices=texts)) == given
        for wrong in ("red", 7, {"A": 1}, {1: "red"}, [["red"]], {"red", "blue"}):
            for ask in (asked.ask, asked.prompt):
                with pytest.raises(OptionError, match="choices must be texts by letter"):
                    ask(question, choices=wrong)
        with pytest.raises(OptionError, match="27 choices are given: at most 26"):
            asked.ask(question, choices=["x"] * 27)
    for video in pairs(local, remote)[0]:
        talk = video.chat(budget=2)
        assert timeless(talk.ask(question, choices=texts)) == timeless(
            video.chat(budget=2).ask(question, choices=lettered)
        )
        with pytest.raises(OptionError, match="choices must be texts by letter"):
            talk.ask(question, choices="red")
        with pytest.raises(TypeError, match="options"):
            talk.ask(question, options=lettered)  # type: ignore[call-arg]


def test_a_dialogue_goes_on_here_and_there(
    local: seal.Library, remote: seal.Library, tmp_path: Path
) -> None:
    ours, theirs = pairs(local, remote)[0]
    here, there = ours.chat(budget=4), theirs.chat(budget=4)
    assert isinstance(here, Conversation)
    assert isinstance(there, RemoteDialogue)
    assert list(there.turns) == []
    for question in ("Where is the red ball?", "And before that?"):
        assert timeless(here.ask(question)) == timeless(there.ask(question))
        assert here.cost == there.cost
    assert list(here.turns) == list(there.turns)
    assert here.model is there.model is None
    here.save(tmp_path / "here.json")
    there.save(tmp_path / "there.json")
    assert (tmp_path / "here.json").read_text() == (tmp_path / "there.json").read_text()
    again = theirs.chat(budget=4, session=tmp_path / "here.json")
    assert again.cost == here.cost
    assert list(again.turns) == list(here.turns)
    assert timeless(again.ask("And then?")) == timeless(here.ask("And then?"))
    with pytest.raises(OptionError, match="not about"):
        list(remote)[1].chat(session=tmp_path / "here.json")


def test_text_is_handed_on_as_it_is_written(home: Path, tmp_path: Path) -> None:
    said = ["The ball ", "stops at 0:02."]
    with (
        speaking(said) as model,
        serving(
            home / "store",
            *("--answerer", "openai:test", "--set", f"answer.base_url={model}"),
            *("--state", str(tmp_path / "state")),
        ) as server,
    ):
        library = seal.open(server.url)
        pieces: list[str] = []
        answer = library.video("film.mp4").ask(
            "Where is the ball?", answerer="openai:test", on_text=pieces.append
        )
        assert answer.text == "".join(pieces) == "".join(said)
        assert answer.model is not None
        with pytest.raises(OptionError, match="openai:test: leave answerer= out"):
            library.ask("Where is the ball?", answerer="openai:other")

        def enough(text: str) -> None:
            raise OSError("the reader is gone")

        # An error of the reader is not one of the connection.
        with pytest.raises(OSError, match="the reader is gone"):
            library.ask("Where is the ball?", on_text=enough)
    with (
        serving(
            home / "store",
            *("--answerer", "openai:test", "--set", f"answer.base_url={model}"),
            *("--set", "answer.retries=0", "--state", str(tmp_path / "state2")),
        ) as server,
        pytest.raises(AnswerError),
    ):
        seal.open(server.url).ask("Where is the ball?")


@contextmanager
def answering(do: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server on loopback that answers every request in one way."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            do(self)

        do_GET = do_POST  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@contextmanager
def speaking(pieces: list[str]) -> Iterator[str]:
    """A model server that says these pieces."""

    def do(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for piece in pieces:
            choice = {"index": 0, "delta": {"content": piece}}
            handler.wfile.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        handler.wfile.write(b"data: [DONE]\n\n")

    with answering(do) as address:
        yield f"{address}/v1"


def replying(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def do(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return do


@pytest.mark.parametrize("suffix", [".csv", ".json", ".srt", ".vtt", ".edl", ".otio"])
def test_a_server_exports_what_a_library_exports(
    local: seal.Library, remote: seal.Library, tmp_path: Path, suffix: str
) -> None:
    asked: list[tuple[Any, Any]] = [(next(iter(local)), next(iter(remote)))]
    if suffix not in (".srt", ".vtt"):  # Files about one video.
        asked.append((local, remote))
    for number, (ours, theirs) in enumerate(asked):
        paths = [tmp_path / f"{where}{number}{suffix}" for where in ("local", "remote")]
        made = [
            of.export("a red ball", path, top=3)
            for of, path in zip((ours, theirs), paths, strict=True)
        ]
        assert paths[0].read_bytes() == paths[1].read_bytes()
        values = [timeless(each) | {"output": ""} for each in made]
        assert values[0] == values[1]


def test_a_server_cuts_the_clips_of_an_export(remote: seal.Library, tmp_path: Path) -> None:
    said: list[str] = []
    made = next(iter(remote)).export("a red ball", f"{tmp_path}/clips/", top=2, say=said.append)
    assert len(made.clips) == len(made.found.moments) == len(said)
    for clip, moment in zip(made.clips, made.found.moments, strict=True):
        with open_video(clip.path, VideoOptions()) as cut:
            assert cut.info.duration_s == pytest.approx(moment.span.duration_s, abs=0.1)
    with pytest.raises(DataError, match="is there already"):
        next(iter(remote)).export("a red ball", f"{tmp_path}/clips/", top=2)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda lib: lib.video("nothing"), NotIndexedError, "'nothing' is not indexed at http"),
        (lambda lib: lib.by_id("nothing"), NotIndexedError, "nothing"),
        (lambda lib: lib.remove("nothing"), NotIndexedError, "nothing"),
        (lambda lib: lib.find(""), OptionError, "query"),
        (lambda lib: lib.find("a ball", options={"find.tops": 1}), OptionError, "find.tops"),
        (lambda lib: lib.find("a ball", head="somewhere"), OptionError, "find.head"),
        (lambda lib: lib.find("a", top=1, options={"find.top": 1}), OptionError, "twice"),
        (lambda lib: lib.select("a ball", objective="best"), OptionError, "coverage"),
        (lambda lib: lib.ask("who?", answerer="hf:x"), OptionError, "no model: leave answerer="),
        (lambda lib: lib.ask("who?", answerer=object()), OptionError, "leave answerer= out"),
        (lambda lib: lib.show("a ball", "board.gif"), OptionError, ".gif"),
        (lambda lib: lib.optimize(), OptionError, "seal optimize"),
        (lambda lib: lib.watch("rtsp://camera"), OptionError, "watches nothing"),
        (lambda lib: lib.export("a ball", "clips/", copy=True), OptionError, "leave copy= out"),
        (lambda lib: lib.export("a ball", "moments.exe"), OptionError, ".exe"),
        (lambda lib: lib.index("none.mp4"), VideoError, "none.mp4 is no file"),
        (lambda lib: lib.index("http://elsewhere.example/a.mp4"), OptionError, "not allowed"),
        (lambda lib: lib.index("a.mp4", jobs=2), OptionError, "leave jobs= out"),
        (lambda lib: lib.index("a.mp4", profile="base"), OptionError, "leave profile= out"),
        (lambda lib: lib.index("a.mp4", tracker=object()), OptionError, "leave tracker= out"),
        (lambda lib: next(iter(lib)).list_tokens("smell"), OptionError, "smell"),
        (lambda lib: list(lib)[1].transcript(), OptionError, "no speech tokens"),
        (lambda lib: next(iter(lib)).chapters(every_s=-1), OptionError, "every_s"),
        (lambda lib: next(iter(lib)).select("a", include=["x"]), OptionError, "x"),
    ],
)
def test_errors_are_those_of_a_library(
    remote: seal.Library, call: Callable[[Any], Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught:
        call(remote)
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_is_asked_for_by_name(server: Server) -> None:
    with pytest.raises(OptionError, match="needs a token: give it as token="):
        seal.open(server.url)
    with pytest.raises(OptionError, match="does not take this token") as caught:
        seal.open(server.url, token=TOKEN[::-1])
    assert TOKEN[::-1] not in str(caught.value)
    with pytest.raises(OptionError, match="ASCII"):
        seal.open(server.url, token="a\nb")
    with pytest.raises(OptionError, match="needs no token"):
        seal.open("folder", token=TOKEN)
    assert TOKEN not in repr(ServerConnection(server.url, TOKEN))


def test_an_address_holds_no_secret() -> None:
    with pytest.raises(OptionError, match="without user") as caught:
        seal.open("http://user:password@host")
    assert "password" not in str(caught.value)
    for address in ("http://", "http://host:port", "http://ho st"):
        with pytest.raises(OptionError, match="no address"):
            seal.open(address)


def test_a_token_in_clear_text_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="unencrypted"):
        ServerConnection("http://host.example", TOKEN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ServerConnection("http://localhost", TOKEN)
        ServerConnection("https://host.example", TOKEN)
        ServerConnection("http://host.example", None)


def test_a_server_that_is_none_is_told_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(StoreError, match="refuses connections: start `seal serve`"):
            seal.open(f"http://127.0.0.1:{taken.getsockname()[1]}")
    with pytest.raises(StoreError, match=r"the connection to http://nowhere\.invalid failed"):
        seal.open("http://nowhere.invalid")
    page = replying(200, b"<html></html>", content_type="text/html")
    with answering(page) as address, pytest.raises(StoreError, match="is no SEAL server"):
        seal.open(address)
    text = replying(200, b"{", content_type="application/json")
    with answering(text) as address, pytest.raises(StoreError, match="is no SEAL server"):
        seal.open(address)
    for other in (b'{"name": "another"}', b"[]", b'"ok"', b'{"version": 3}'):
        reply = replying(200, other, content_type="application/json")
        with answering(reply) as address, pytest.raises(StoreError, match="is no SEAL") as caught:
            seal.open(address)
        assert type(caught.value) is StoreError
    lacking = replying(404, b'{"detail": "Not Found"}', content_type="application/json")
    with answering(lacking) as address, pytest.raises(StoreError, match="404") as caught:
        seal.open(address)
    assert type(caught.value) is StoreError
    with answering(replying(404, b"")) as address, pytest.raises(StoreError, match="404"):
        seal.open(address)
    other = replying(200, b'{"version": "9.9"}', content_type="application/json")
    with answering(other) as address, pytest.raises(StoreVersionError, match="cannot read"):
        seal.open(address)
    with answering(page) as address, pytest.raises(StoreError, match="https"):
        seal.open(address.replace("http:", "https:"))
    older = problem(404, "Not Found")
    with answering(older) as address, pytest.raises(StoreVersionError, match="older"):
        seal.open(address)


def problem(status: int, detail: str, **more: str) -> Callable[[BaseHTTPRequestHandler], None]:
    body = json.dumps({"status": status, "detail": detail}).encode()
    return replying(status, body, content_type="application/problem+json", **more)


def test_a_redirect_gets_no_token() -> None:
    reached: list[str] = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        reached.append(handler.headers.get("authorization", ""))

    with answering(note) as elsewhere:
        to = replying(307, b"", location=f"{elsewhere}/api/v1/server?token=x")
        with answering(to) as address, pytest.raises(StoreError, match="redirects to") as caught:
            seal.open(address, token=TOKEN)
    assert reached == []
    assert "token=x" not in str(caught.value)


def test_a_busy_server_is_asked_again() -> None:
    asked: list[str] = []

    def busy(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if len(asked) < 3:
            problem(429, "too many requests", retry_after="0")(handler)
            return
        as_json(ABOUT)(handler)

    with answering(busy) as address:
        seal.open(address)
    assert asked == ["/api/v1/server"] * 3
    asked.clear()
    always = problem(429, "too many requests", retry_after="0")
    with answering(always) as address, pytest.raises(StoreError, match="too many requests"):
        seal.open(address)
    later = problem(429, "come back tomorrow", retry_after="86400")
    with answering(later) as address, pytest.raises(StoreError, match="tomorrow"):
        seal.open(address)


def as_json(value: Any) -> Callable[[BaseHTTPRequestHandler], None]:
    return replying(200, json.dumps(value).encode(), content_type="application/json")


ABOUT = {"version": "1", "profile": "mini", "answerer": None}


def test_a_lost_answer_is_asked_for_under_the_same_key() -> None:
    keys: list[str] = []

    def losing(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/api/v1/server":
            as_json(ABOUT)(handler)
            return
        keys.append(handler.headers["idempotency-key"])
        if len(keys) == 2:
            problem(422, "enough")(handler)

    with answering(losing) as address, pytest.raises(OptionError, match="enough"):
        seal.open(address).index("https://elsewhere.example/film.mp4")
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_list_begins_anew_where_a_video_was_removed_meanwhile() -> None:
    pages = iter(
        [
            as_json({"videos": [{}], "unfinished": [], "next": "film"}),
            problem(422, "there is no 'film' to go on after"),
            as_json({"videos": [], "unfinished": [], "next": None}),
        ]
    )

    def listing(handler: BaseHTTPRequestHandler) -> None:
        is_about = handler.path == "/api/v1/server"
        (as_json(ABOUT) if is_about else next(pages))(handler)

    with answering(listing) as address:
        assert len(seal.open(address)) == 0


def test_an_upload_waits_for_a_request_that_holds_it(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    write_film(film, seed=3, duration_s=4.0)
    with serving(tmp_path / "store") as server, film.open("rb") as file:
        size, address = film.stat().st_size, Asked(server.url, None)
        begun = address.send("POST", "/uploads", {"upload-length": str(size)})
        place = f"/uploads/{begun.headers['location'].rpartition('/')[2]}"
        host, _, port = server.url.removeprefix("http://").partition(":")
        with ExitStack() as stack:

            def hold() -> socket.socket:
                held = stack.enter_context(socket.create_connection((host, int(port))))
                held.sendall(
                    f"PATCH /api/v1{place} HTTP/1.1\r\nHost: {host}:{port}\r\nUpload-Offset: 0\r\n"
                    "Content-Type: application/offset+octet-stream\r\n"
                    f"Content-Length: {size}\r\n\r\n".encode()
                )
                return held

            held = hold()
            how = {"upload-offset": "1", "content-type": "application/offset+octet-stream"}
            said = ""
            while "another request" not in said:  # Until the server has read the head.
                if select.select([held], [], [], 0)[0]:
                    held = hold()  # It was refused: it came while the request below was there.
                with pytest.raises(UnfitError) as caught:
                    address.send("PATCH", place, how, b"")
                said = str(caught.value)
            threading.Timer(1.0, held.shutdown, (socket.SHUT_RDWR,)).start()
            assert _sent(address, place, file, size)


@pytest.mark.parametrize("name", [name for name in seal.__all__ if name.endswith("Error")])
def test_an_error_of_seal_keeps_its_class(name: str) -> None:
    kind = getattr(seal, name)
    status = problems.status_of(kind("why"))
    error = of_problem(status, {"detail": "why", "error": name}, "http://host", True)
    assert type(error) is kind
    assert str(error) == "why"


def test_a_file_name_names_one_video_here_and_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    for seed, name in enumerate(("a/film.mp4", "b/film.mp4", "a/other.mp4")):
        (films / name).parent.mkdir(parents=True, exist_ok=True)
        write_film(films / name, seed=seed, duration_s=2.0)
    monkeypatch.chdir(tmp_path)
    local = seal.open("store")
    first, second, other = local.index(
        ["films/a/film.mp4", "films/b/film.mp4", "films/a/other.mp4"]
    )
    with serving(tmp_path / "store") as server:
        for library in (local, seal.open(server.url)):
            assert library.video("other.mp4").id == library.video("oth").id == other.id
            with pytest.raises(NotIndexedError, match="several videos") as e:
                library.video("film.mp4")
            assert first.id in str(e.value)
            assert second.id in str(e.value)
            with pytest.raises(NotIndexedError, match="is not indexed"):
                library.video("nothing.mp4")
        # A file that lies here is its content, whatever it is called.
        write_film(tmp_path / "other.mp4", seed=9, duration_s=2.0)
        shutil.copy(films / "b" / "film.mp4", tmp_path / "film.mp4")
        for library in (local, seal.open(server.url)):
            assert library.video("film.mp4").id == second.id
            with pytest.raises(NotIndexedError):
                library.video("other.mp4")


def test_videos_are_sent_indexed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    for seed in (1, 2):
        write_film(tmp_path / "films" / f"{seed}.mp4", seed=seed, duration_s=4.0)
    with serving(tmp_path / "store") as server:
        library = seal.open(server.url)
        stages: list[str] = []
        video = library.index(
            tmp_path / "films" / "1.mp4", on_progress=lambda progress: stages.append(progress.stage)
        )
        assert isinstance(video, seal.Video)
        assert stages[0] == "uploading"
        assert video.id == library.video(tmp_path / "films" / "1.mp4").id
        assert video.find("a ball").moments
        both = library.index(tmp_path / "films")
        assert {each.id for each in both} == {each.id for each in library}
        video = library.video("1.mp4")
        assert video.id == both[0].id
        removed = library.remove(video.id, purge=True)
        assert removed.videos == [(video.id, video.path)]
        assert len(library) == 1
        with pytest.raises(OptionError, match="leave quick= and options= out"):
            library.index(tmp_path / "films" / "1.mp4", quick=True)
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(VideoError, match="empty"):
            library.index(tmp_path / "empty.mp4")
        (tmp_path / "broken.mp4").write_bytes(b"no video")
        with pytest.raises(VideoError):
            library.index(tmp_path / "broken.mp4")


@pytest.mark.parametrize(
    "arguments",
    [
        ("find", "{video}", "a red ball"),
        ("find", "--all", "a red ball", "--top", "2"),
        ("select", "{video}", "a red ball", "--budget", "1000"),
        ("ask", "{video}", "Where is the ball?", "--dry-run"),
        ("tokens", "{video}", "--kind", "action"),
        ("list",),
        ("transcribe", "{video}"),
        ("chapters", "{video}"),
        ("find", "nothing", "a red ball"),
    ],
)
@pytest.mark.parametrize("form", ["--json", ""])
def test_the_command_prints_the_same(
    home: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    form: str,
) -> None:
    monkeypatch.setenv("SEAL_TOKEN", TOKEN)
    video = next(iter(seal.open(home / "store"))).id
    words = [one.format(video=video) for one in arguments] + ([form] if form else [])
    here, there = (
        CliRunner().invoke(main, [*words, "--store", store])
        for store in (str(home / "store"), server.url)
    )
    assert here.exit_code == there.exit_code
    strip = without_seconds if form else str
    assert strip(here.stdout) == strip(there.stdout)
    if here.exit_code == 0:
        assert here.stderr == there.stderr


def without_seconds(text: str) -> str:
    values = json.loads(text) if text else None
    if isinstance(values, dict):
        values.pop("seconds", None)
    return json.dumps(values)


def test_commands_without_a_server_say_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAL_TOKEN", TOKEN)
    for command, where in (
        (["optimize"], "on the machine with its store"),
        (["serve", "--port", "0"], "where its store can be reached"),
    ):
        run = CliRunner().invoke(main, [*command, "--store", server.url])
        assert run.exit_code == 1
        assert where in run.stderr
        assert TOKEN not in run.stderr
