"""The server as a process: results are as in Python, jobs outlive kills, strangers stay out."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

import seal
from filmed import write_film, write_long
from forked import python
from seal.cli import main
from seal.config.serving import ServeOptions
from seal.errors import NotIndexedError, OptionError
from seal.library import LocalLibrary
from seal.serve import answers, problems
from seal.serve.answers import told
from seal.serve.problems import BusyError
from seal.serve.replies import KeptReply
from seal.serve.rest import page
from seal.serve.safety import (
    COOKIE,
    Guard,
    Rates,
    session_of,
)
from seal.serve.schemas import AskRequest
from seal.serve.service import Chosen, Service
from seal.serve.sources import media_files
from seal.serve.state import ServerState
from seal.store import Store
from serving import Server, serving

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of one film, and a folder of media with another."""
    folder = tmp_path_factory.mktemp("served")
    write_film(folder / "film.mp4", seed=0, duration_s=8.0)
    (folder / "media").mkdir()
    write_film(folder / "media" / "other.mp4", seed=1, duration_s=6.0)
    seal.open(folder / "store").index(folder / "film.mp4", jobs=1)
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with serving(home / "store", "--media", str(home / "media")) as server:
        yield server


def timeless(value: Any) -> Any:
    """JSON without how long something took."""
    return {key: of for key, of in value.items() if key != "seconds"}


def film_id(server: Server) -> str:
    return str(server.get("/api/v1/videos").json["videos"][0]["video"])


def waited(server: Server, job: str) -> dict[str, Any]:
    """The job when it is over."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found: dict[str, Any] = server.get(f"/api/v1/jobs/{job}").json
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"the job is not over: {found}")


def media_id(home: Path, name: str = "other.mp4") -> str:
    return next(file.id for file in media_files((home / "media",)) if file.name == name)


def test_results_are_those_of_the_library(server: Server, home: Path) -> None:
    library = seal.open(home / "store")
    video = library.by_id(film_id(server))
    for asked, name in ((video, video.id), (library, None)):
        body = {"query": "a red ball", "video": name}
        found = server.post("/api/v1/find", body | {"top": 2}).json
        assert found == json.loads(json.dumps(asked.find("a red ball", top=2).to_json()))
        chosen = server.post("/api/v1/select", body | {"budget": 4}).json
        assert timeless(chosen) == timeless(asked.select("a red ball", budget=4).to_json())
        answer = server.post("/api/v1/ask", {"question": "Where is the ball?", "video": name}).json
        assert timeless(answer) == timeless(asked.ask("Where is the ball?").to_json())
        prompt = server.post("/api/v1/prompt", {"question": "Where?", "video": name}).json
        assert prompt == {"prompt": asked.prompt("Where?")}


def in_pages(server: Server, address: str, key: str, limit: int) -> list[Any]:
    """All that a list has, page by page."""
    every, after = [], ""
    while after is not None:
        more = f"&after={after}" if after else ""
        page = server.get(f"{address}&limit={limit}{more}").json
        assert len(page[key]) <= limit
        every += page[key]
        after = page["next"]
    return every


def test_tokens_and_videos_come_in_pages(server: Server, home: Path) -> None:
    video = seal.open(home / "store").by_id(film_id(server))
    every = in_pages(server, f"/api/v1/tokens?video={video.id}", "tokens", 7)
    assert every == video.list_tokens().to_json()
    scenes = server.get(f"/api/v1/tokens?video={video.id}&kind=scene").json["tokens"]
    assert scenes == video.list_tokens("scene").to_json()
    described = server.get(f"/api/v1/videos/{video.id}").json
    assert described == video.describe().to_json() | {"title": "film.mp4"}


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("find", {"query": ""}, 422, 'query is ""; expected a text of 1 to 1,000 characters'),
        ("find", {}, 422, 'query is missing; expected a text of 1 to 1,000 characters, such as "'),
        ("find", {"query": "a", "videos": "x"}, 422, "videos is not supported: leave it out; supp"),
        ("find", [], 422, "the body is a list of 0 items; expected an object with query, video"),
        ("select", {"query": "a", "budget": 0}, 422, "expected a whole number from 1 to 1,024."),
        (
            "select",
            {"query": "a", "alpha": "x"},
            422,
            'alpha is "x"; expected a number from 0 to 1',
        ),
        ("jobs", {"source": {"medium": "x"}}, 422, "source.medium is not supported: leave it out"),
        ("find", b"{", 422, "send JSON, with the header Content-Type: application/json"),
        ("find", {"query": "a ball", "video": "nothing"}, 404, "nothing"),
        ("find", {"query": "a ball", "video": "../film.mp4"}, 422, "video"),
        ("find", {"query": "a ball", "options": {"find.head": "/etc"}}, 422, "find.head"),
        ("find", {"query": "a ball", "options": {"encode.weights": "x"}}, 422, "encode.weights"),
        ("select", {"query": "a ball", "objective": "best"}, 422, "coverage"),
        ("ask", {"question": "who?", "options": {"answer.base_url": "x"}}, 422, "answer.base_url"),
        ("ask", {"question": "who?", "dialogue": "new"}, 422, "one video"),
        ("ask", {"question": "who?", "dialogue": "../../film"}, 422, "one video"),
        ("jobs", {"source": {}}, 422, "exactly one"),
        ("jobs", {"source": {"media": "/etc/passwd"}}, 404, "/etc/passwd"),
        ("jobs", {"source": {"url": "https://elsewhere.example/film.mp4"}}, 403, "not allowed"),
        ("jobs", {"source": {"url": "file:///etc/passwd"}}, 422, "address"),
        ("jobs/none/cancel", {}, 404, "none"),
    ],
)
def test_wrong_values_are_problems(
    server: Server, path: str, body: Any, status: int, said: str
) -> None:
    reply = server.post(f"/api/v1/{path}", body, **{"Content-Type": "application/json"})
    assert reply.status == status, reply.json
    assert reply.headers["content-type"] == "application/problem+json"
    assert said in reply.json["detail"]
    assert reply.json["status"] == status


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("videos?limit=0", 'limit is "0"; expected a whole number from 1 to 1,000. How many'),
        ("videos?limit=many", 'limit is "many"; expected a whole number'),
        ("tokens", "video is missing; expected a text of at most 300 characters"),
        ("tokens?video=x&start_s=nan", 'start_s is "nan"; expected a finite number. Leave out'),
        (f"jobs/{'x' * 65}", "job is a text of 65 characters; expected a text of at most 64"),
    ],
)
def test_wrong_parameters_are_problems(server: Server, path: str, said: str) -> None:
    reply = server.get(f"/api/v1/{path}")
    assert reply.status == 422
    assert said in reply.json["detail"]
    assert reply.json["errors"][0]["what"] == reply.json["detail"]


def test_a_body_that_is_not_sent_as_json_is_told_so(server: Server) -> None:
    """As curl sends `-d` by itself."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = server.send("POST", "/api/v1/find", b'{"query": "a ball"}', form)
    assert reply.status == 422
    assert reply.json["detail"] == (
        "the body was not sent as JSON: send JSON, with the header Content-Type: application/json."
    )


def test_a_path_that_is_not_there_is_told_so(server: Server) -> None:
    reply = server.get("/api/v1/nothing")
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["detail"].startswith("nothing is served at /api/v1/nothing: /openapi.json")


def test_a_video_is_named_by_its_id_alone(server: Server, home: Path) -> None:
    path = str(home / "film.mp4").replace("/", "%2F")
    assert server.get(f"/api/v1/videos/{path}").status == 404
    assert server.get("/api/v1/videos/film.mp4").status == 404


@pytest.mark.parametrize("command", ["serve", "mcp"])
def test_a_model_that_cannot_be_used_is_an_error_at_the_start(
    home: Path, tmp_path: Path, command: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if "OPENAI" not in key}
    flags = ["--port", "0", "--state", tmp_path / "state"] if command == "serve" else []
    for answerer, said in (("openai:m", "set OPENAI_API_KEY"), ("openai", "the name of a model")):
        run = subprocess.run(
            [
                *(*python(), "-m", "seal.cli", command, "--store", home / "store"),
                *("--answerer", answerer, *flags),
            ],
            env=environment,
            input="",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode in (1, 2)
        assert said in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1


def test_the_beginning_of_one_id_names_a_video(home: Path, tmp_path: Path) -> None:
    for name in ("film.mp4", "other.mp4"):
        write_film(tmp_path / name, seed=len(name), duration_s=2.0)
    write_film(tmp_path / "films.mp4", seed=3, duration_s=2.0)
    store = seal.open(tmp_path / "store")
    videos = store.index([tmp_path / each for each in ("film.mp4", "films.mp4", "other.mp4")])
    with serving(tmp_path / "store") as server:
        whole = server.get(f"/api/v1/videos/{videos[2].id}").json
        assert server.get("/api/v1/videos/oth").json == whole
        found = server.post("/api/v1/find", {"query": "a ball", "video": "other"})
        assert {moment["video"] for moment in found.json["moments"]} <= {videos[2].id}
        assert server.get("/media/other", Range="bytes=0-9").status == 206
        assert server.get("/api/v1/tokens?video=other&limit=1").json["tokens"]
        several = server.get("/api/v1/videos/film")
        assert several.status == 404
        assert all(video.id in several.json["detail"] for video in videos[:2])
        assert server.get("/api/v1/tokens?video=").status == 404
        assert server.get("/api/v1/videos/none").status == 404
        with pytest.raises(NotIndexedError):
            seal.open(server.url).by_id("other")
        # What is removed is no guess.
        assert server.send("DELETE", "/api/v1/videos/other").status == 404
        removed = server.send("DELETE", f"/api/v1/videos/{videos[2].id}").json
        assert removed[0]["video"] == videos[2].id


def test_a_video_that_is_indexed_anew_keeps_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "film.mp4", seed=0, duration_s=2.0)
    monkeypatch.chdir(tmp_path)
    library = seal.open("store")
    video = library.index("films/film.mp4", options=["scenes.interval_s=1"])
    assert video.path == "films/film.mp4"
    flags = ("--media", "films", "--set", "scenes.interval_s=0.5")
    with serving(tmp_path / "store", *flags) as server:
        (file,) = server.get("/api/v1/media").json["files"]
        for source in ({"video": video.id}, {"media": file["media"]}):
            job = server.post("/api/v1/jobs", {"source": source}).json
            assert waited(server, job["id"])["state"] == "done"
            shown = server.get(f"/api/v1/videos/{video.id}").json
            assert shown["path"] == "films/film.mp4"
    assert shown["tokens"]["scene"] == 4  # The server has indexed it with its own options.


def test_an_answer_is_streamed(server: Server) -> None:
    body = {"question": "Where is the ball?", "stream": True}
    reply = server.post("/api/v1/ask", body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert b"event: answer" in reply.body


def test_choices_are_texts_by_letter_or_a_list(server: Server) -> None:
    body = {"question": "What colour is the ball?", "video": film_id(server)}
    given: list[Any] = [["red", "blue"], {"A": "red", "B": "blue"}]
    replies = [server.post("/api/v1/ask", body | {"choices": choices}) for choices in given]
    assert [reply.status for reply in replies] == [200, 200]
    listed, lettered = (timeless(reply.json) for reply in replies)
    assert listed == lettered
    wrong = server.post("/api/v1/ask", body | {"choices": ["x"] * 27})
    assert (wrong.status, "at most 26 have letters" in wrong.json["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"choices": "red"}, 422, 'choices is "red"; expected an object or a list.'),
        ({"video": "nothing"}, 404, "nothing"),
        ({"options": {"attention.alpha": 7}}, 422, "alpha"),
        ({"options": {"find.head": "/etc"}}, 422, "find.head"),
        ({"dialogue": "new"}, 422, "one video"),
        ({"budget": 0}, 422, "budget"),
    ],
)
def test_what_is_wrong_with_a_streamed_question_has_a_status(
    server: Server, more: dict[str, Any], status: int, said: str
) -> None:
    for stream in (True, False):
        body = {"question": "Where is the ball?", "stream": stream} | more
        reply = server.post("/api/v1/ask", body)
        assert (reply.status, reply.headers["content-type"]) == (status, problems.MEDIA_TYPE)
        assert said in reply.json["detail"]


def test_a_dialogue_goes_on(server: Server) -> None:
    video = film_id(server)
    first = server.post(
        "/api/v1/ask", {"question": "Where is the ball?", "video": video, "dialogue": "new"}
    ).json
    again = {"question": "And before that?", "video": video, "dialogue": first["dialogue"]}
    second = server.post("/api/v1/ask", again).json
    assert second["dialogue"] == first["dialogue"]
    seen = {piece["id"] for piece in second["evidence"]}
    assert {piece["id"] for piece in first["evidence"]} <= seen
    wrong = server.post("/api/v1/ask", again | {"dialogue": "0123"})
    assert wrong.status == 404


def test_files_under_media_come_in_pages(home: Path, tmp_path: Path) -> None:
    (tmp_path / "media" / "below").mkdir(parents=True)
    for name in ("one.mp4", "two.mp4", "below/three.mp4"):
        write_film(tmp_path / "media" / name, seed=0, duration_s=1.0)
    flags = ("--media", str(tmp_path / "media"), "--state", str(tmp_path / "state"))
    with serving(home / "store", *flags) as server:
        every = in_pages(server, "/api/v1/media?", "files", 2)
        assert {file["title"] for file in every} == {"one.mp4", "two.mp4", "below/three.mp4"}
        assert [file["media"] for file in every] == [
            file.id for file in media_files((tmp_path / "media",))
        ]
        assert server.get("/api/v1/media?after=none").status == 422
        assert str(tmp_path) not in server.get("/api/v1/media").body.decode()


def test_a_file_under_media_is_indexed_once_for_one_key(home: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "store", "--media", str(home / "media")) as server:
        body = {"source": {"media": media_id(home)}}
        key = {"Idempotency-Key": "once"}
        first = server.post("/api/v1/jobs", body, **key)
        assert first.status == 202
        assert first.headers["location"] == f"/api/v1/jobs/{first.json['id']}"
        assert server.post("/api/v1/jobs", body, **key).json["id"] == first.json["id"]
        other = server.post("/api/v1/jobs", body | {"quick": True}, **key)
        assert other.status == 409
        job = waited(server, first.json["id"])
        assert job["state"] == "done", job
        assert job["done_s"] == pytest.approx(6.0, abs=0.2)
        assert server.get(f"/api/v1/videos/{job['video']}").json["title"] == "other.mp4"
        listed = server.get("/api/v1/jobs").json["jobs"]
        assert [each["id"] for each in listed] == [job["id"]]
        events = server.get(f"/api/v1/jobs/{job['id']}/events")
        assert b'"state": "done"' in events.body
        assert server.post(f"/api/v1/jobs/{job['id']}/cancel").status == 409
        assert server.send("DELETE", f"/api/v1/videos/{job['video']}").status == 200
        assert server.get("/api/v1/videos").json == {"videos": [], "unfinished": [], "next": None}
        assert (home / "media" / "other.mp4").exists()


def test_a_job_can_be_cancelled_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    write_long(tmp_path / "media" / "long.mp4", 3, 30.0)
    with serving(tmp_path / "store", "--media", str(tmp_path / "media")) as server:
        body = {"source": {"media": media_id(tmp_path, "long.mp4")}}
        job = server.post("/api/v1/jobs", body).json["id"]
        queued = server.post("/api/v1/jobs", body | {"quick": True}).json["id"]
        while server.get(f"/api/v1/jobs/{job}").json["stage"] != "indexing":
            time.sleep(0.05)
        assert server.get(f"/api/v1/jobs/{queued}").json["state"] == "queued"
        assert server.post(f"/api/v1/jobs/{job}/cancel").json["state"] == "cancelled"
        # The next one runs when the process of this one is gone.
        assert waited(server, queued)["state"] == "done"
        assert server.get(f"/api/v1/jobs/{job}").json["state"] == "cancelled"
        assert server.post(f"/api/v1/jobs/{job}/retry").json["state"] in ("queued", "running")
        assert waited(server, job)["state"] == "done"


def test_waiting_jobs_and_followed_events_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    write_long(tmp_path / "media" / "long.mp4", 3, 60.0)
    limits = ("serve.max_queued=1", "serve.max_streams=1", "serve.kept_jobs=1")
    flags = [flag for limit in limits for flag in ("--set", limit)]
    with serving(tmp_path / "store", "--media", str(tmp_path / "media"), *flags) as server:
        body = {"source": {"media": media_id(tmp_path, "long.mp4")}}
        first = server.post("/api/v1/jobs", body).json["id"]
        while server.get(f"/api/v1/jobs/{first}").json["state"] == "queued":
            time.sleep(0.05)
        second = server.post("/api/v1/jobs", body).json["id"]
        refused = server.post("/api/v1/jobs", body)
        assert (refused.status, refused.headers["retry-after"]) == (429, "60")
        head = {"Upload-Length": "5", "Upload-Metadata": "filename Zg=="}
        assert server.send("POST", "/api/v1/uploads", b"", head).status == 429
        follower = HTTPConnection(server.url.removeprefix("http://"))
        with closing(follower):
            follower.request("GET", "/api/v1/events")
            assert follower.getresponse().readline()
            assert server.get("/api/v1/events").status == 429
        for job in (first, second):
            assert server.post(f"/api/v1/jobs/{job}/cancel").status == 200
        # What has begun to end holds nothing up, and the oldest jobs that are over are forgotten.
        for _ in range(2):
            server.post("/api/v1/jobs", body)
        assert server.get(f"/api/v1/jobs/{first}").status == 404


def test_a_forgotten_job_takes_its_upload_along(tmp_path: Path) -> None:
    with serving(tmp_path / "store") as server:
        name = base64.b64encode(b"no film.mp4").decode()
        head = {"Upload-Length": "7", "Upload-Metadata": f"filename {name}"}
        where = server.send("POST", "/api/v1/uploads", b"", head).headers["location"]
        more = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        job = server.send("PATCH", where, b"no film", more).headers["seal-job"]
        assert waited(server, job)["state"] == "failed"
        folder = tmp_path / "store-server" / "uploads"
        assert [file.read_bytes() for file in folder.rglob("*.mp4")] == [b"no film"]
        assert server.send("DELETE", f"/api/v1/jobs/{job}").status == 204
        assert list(folder.rglob("*.mp4")) == []
        assert server.send("DELETE", f"/api/v1/jobs/{job}").status == 404


def test_a_job_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    write_long(tmp_path / "media" / "long.mp4", 3, 18.0)
    flags = ("--media", str(tmp_path / "media"))
    with serving(tmp_path / "store", *flags, program=[sys.executable]) as server:
        source = {"media": media_id(tmp_path, "long.mp4")}
        job = server.post("/api/v1/jobs", {"source": source}).json["id"]
        while server.get(f"/api/v1/jobs/{job}").json["stage"] != "indexing":
            time.sleep(0.05)
        server.kill()
    with serving(tmp_path / "store", *flags) as server:
        over = waited(server, job)
        assert over["state"] == "done"
        assert over["attempts"] == 2
        assert server.get(f"/api/v1/videos/{over['video']}").status == 200


def test_an_index_of_another_process_is_seen_at_once(home: Path, tmp_path: Path) -> None:
    library = seal.open(tmp_path / "store")
    video = library.index(home / "film.mp4", jobs=1)
    with serving(tmp_path / "store") as server:
        path = f"/api/v1/tokens?video={video.id}&kind=object"
        before = server.get(path).json["tokens"]
        asked = {"query": "a red ball", "video": video.id, "budget": 64}
        server.post("/api/v1/select", asked)
        library.index(home / "film.mp4", jobs=1, options={"objects.interval_s": 1})
        after = server.get(path).json["tokens"]
        assert before != after
        known = {token["id"] for token in library.by_id(video.id).list_tokens().to_json()}
        chosen = server.post("/api/v1/select", asked).json["selection"]
        assert {token["id"] for token in chosen} <= known


def test_one_server_uses_a_state(server: Server, home: Path) -> None:
    with (
        pytest.raises(AssertionError, match="another server uses the state"),
        serving(home / "store"),
    ):
        pass


def test_strangers_stay_out(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    flags = ("--token-file", str(secret), "--state", str(tmp_path / "state"))
    with serving(home / "store", *flags) as server:
        assert server.get("/api/v1/videos").status == 401
        assert server.get("/health").status == 200
        wrong = server.get("/api/v1/videos", Authorization=f"Bearer {TOKEN[:-1]}0")
        assert wrong.status == 401
        assert server.get("/api/v1/videos", Authorization=f"Bearer {TOKEN}").status == 200
        assert TOKEN not in "".join(server.said)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 421),
        ({"Host": "127.0.0.1.attacker.example"}, 421),
        ({"Host": "localhost:1/@127.0.0.1"}, 421),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost"}, 200),
        ({}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(
    server: Server, headers: dict[str, str], status: int
) -> None:
    reply = server.post("/api/v1/find", {"query": "a red ball"}, **headers)
    assert reply.status == status


def test_every_reply_has_a_policy(server: Server) -> None:
    for path in ("/health", "/api/v1/videos", "/nothing"):
        headers = server.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_long_requests_are_refused(server: Server) -> None:
    connection = HTTPConnection(server.url.removeprefix("http://"))
    with closing(connection):
        connection.putrequest("POST", "/api/v1/find")
        connection.putheader("Content-Length", str(17 << 20))
        connection.endheaders()
        assert connection.getresponse().status == 413


@pytest.fixture
def service(home: Path, tmp_path: Path) -> Iterator[Service]:
    """What is behind a server at which no question may wait."""
    with closing(ServerState(tmp_path / "state")) as state:
        options = ServeOptions(waiting=0, queries=1)
        yield Service(LocalLibrary.at(home / "store"), state, options, Chosen())


def test_an_idle_server_answers_although_nobody_may_wait(service: Service) -> None:
    async def twice() -> None:
        assert await service.compute(lambda: 1) == 1
        over = threading.Event()
        first = asyncio.create_task(service.compute(over.wait))
        while service._queries.statistics().borrowed_tokens == 0:
            await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await service.compute(lambda: 2)
        over.set()
        await first

    asyncio.run(twice())


def test_an_upload_that_was_half_indexed_goes_with_its_video(
    home: Path, tmp_path: Path, service: Service
) -> None:
    store = Store(tmp_path / "half", create=True)
    service.library = LocalLibrary.at(store.path)
    place = tmp_path / "upload" / "film.mp4"
    place.parent.mkdir()
    place.write_bytes(b"film")
    (video,) = (v for v in seal.open(home / "store") if v.record.path.endswith("film.mp4"))
    record = replace(video.record, path=str(place), location=str(place))
    store.begin(record, {"scene": "key"})
    store.add(record.id, 0, {"scene": "key"}, video.tokens.take([]), {})
    with service.state.transaction() as rows:
        job = service.jobs.add(rows, "index", "film", service.spec(str(place)))
    service.state.insert("titles", {"location": str(place), "name": "film"})
    assert service.remove(record.id).videos == [(record.id, str(place))]
    assert not place.parent.exists()
    assert service.titles() == {}
    assert service.jobs.get(job.id).state == "cancelled"


def test_an_error_in_a_stream_names_no_folder(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.library = LocalLibrary.at(tmp_path / "none")

    # So slow a store that the stream has begun.
    monkeypatch.setattr(answers, "_SOON_S", 0.0)

    async def events() -> list[dict[str, str]]:
        asked = AskRequest(question="Where?", stream=True)
        return [event async for event in await told(service, asked)]

    (event,) = asyncio.run(events())
    assert event["event"] == "problem"
    assert str(tmp_path) not in event["data"]


def test_an_unknown_page_is_no_first_page() -> None:
    assert page("abc", ["a", "b", "c"], 1, "a") == ("b", "b")
    with pytest.raises(OptionError, match="begin again"):
        page("abc", ["a", "b", "c"], 1, "x")


def test_a_location_has_the_path_of_the_server() -> None:
    made = KeptReply(201, {}, "/api/v1/jobs/x").response("/seal")
    assert made.headers["location"] == "/seal/api/v1/jobs/x"


def guarded(options: ServeOptions, *headers: tuple[str, str]) -> int:
    """The status of a request for the library's page through the checks."""
    statuses = list[int]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response()(scope, receive, send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    lines = [("host", "127.0.0.1"), *headers]
    encoded = [(name.encode(), value.encode()) for name, value in lines]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": encoded}
    asyncio.run(Guard(app, options)(scope, receive, send))
    return statuses[0]


def test_a_cookie_of_another_application_does_not_hide_the_session() -> None:
    options, session = ServeOptions(token="s" * 32), session_of("s" * 32)
    assert guarded(options, ("cookie", f'other={{"a": 1}}; {COOKIE}={session}')) == 200
    assert guarded(options, ("cookie", f'other={{"a": 1}}; {COOKIE}=wrong')) == 401


def test_a_proxy_may_write_a_line_of_its_own() -> None:
    guard = Guard(Response(), ServeOptions(trusts_proxy=True))
    lines = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", b"10.0.0.9, 203.0.113.7")]
    scope = {"type": "http", "headers": lines, "client": ("127.0.0.1", 1)}
    assert guard._client(scope, Headers(scope=scope)) == "203.0.113.7"


def test_too_many_requests_are_told_when_to_come_back() -> None:
    rates = Rates(per_s=2.0, burst=3)
    waits = [rates.take("one") for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert all(0 < wait <= 1.0 for wait in waits[3:])
    assert rates.take("another") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": "0.0.0.0"}, "give a token"),
        ({"host": "0.0.0.0", "token": "short"}, "at least 32"),
        ({"host": "0.0.0.0", "token": "a " * 20}, "without spaces"),
        ({"names": ("seal.example.org",)}, "give a token"),
        ({"port": 65536}, "port"),
        ({"path_prefix": "seal/"}, "path_prefix"),
        ({"queries": 0}, "queries"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ServeOptions(**options)


def test_a_port_that_is_taken_is_an_error_in_one_line(server: Server, home: Path) -> None:
    from click.testing import CliRunner

    port = server.url.rpartition(":")[2]
    arguments = ["serve", "--store", str(home / "store"), "--port", port]
    result = CliRunner().invoke(main, [*arguments, "--state", str(home / "another")])
    assert result.exit_code == 1
    assert "choose another --host or --port" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
