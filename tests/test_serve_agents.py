"""MCP by the official client: over HTTP to a running server, and over stdio to `seal mcp`."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import anyio
import httpx2
import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

import seal
from filmed import write_film
from forked import python
from seal.library import LocalLibrary
from seal.serve.agents import SERVER_TOOLS, TOOLS
from seal.serve.stills import pictures
from serving import Server, serving

PAGE = Path(__file__).parents[1] / "docs" / "agents.md"
TOKEN = "0123456789abcdef0123456789abcdef"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}

Reach = Callable[[Callable[[Client], Awaitable[Any]]], Any]
"""Runs something with a client."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of two films, and a folder of media with another."""
    folder = tmp_path_factory.mktemp("agents")
    library = seal.open(folder / "store")
    for seed, name in enumerate(("first.mp4", "second.mp4")):
        write_film(folder / name, seed=seed, duration_s=6.0)
        library.index(folder / name, jobs=1)
    (folder / "media").mkdir()
    write_film(folder / "media" / "third.mp4", seed=3, duration_s=4.0)
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with serving(home / "store", "--media", str(home / "media")) as server:
        yield server


def with_client(target: Any, work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Client(target) as client:
            return await work(client)

    return anyio.run(run)


@pytest.fixture(scope="module", params=["http", "http-legacy", "stdio"])
def reach(request: pytest.FixtureRequest, home: Path) -> Iterator[Reach]:
    """One client, in each way in which the library can be reached."""
    if request.param == "stdio":
        arguments = ["-m", "seal.cli", "mcp", "--store", str(home / "store")]
        command, *first = python()
        target: Any = StdioServerParameters(
            command=command, args=[*first, *arguments], env=environment()
        )
    else:
        target = f"{request.getfixturevalue('server').url}/mcp"
    made = Client(target, mode="legacy" if request.param == "http-legacy" else "auto")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(made) as client:
        yield lambda work: portal.call(work, client)


def environment() -> dict[str, str]:
    """The environment of this process: the SDK gives a process of its own hardly any."""
    return dict(os.environ)


def ids(home: Path) -> list[str]:
    return [video.id for video in seal.open(home / "store")][:2]


def timeless(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: of for key, of in value.items() if key not in ("seconds", "titles")}


def call(reach: Reach, name: str, **arguments: Any) -> Any:
    """The structured result of a tool, which the client has held against its schema."""
    result = reach(lambda client: client.call_tool(name, arguments))
    assert not result.is_error, result.content[0].text
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


def test_tools_are_described(reach: Reach) -> None:
    tools = {tool.name: tool for tool in reach(lambda client: client.list_tools()).tools}
    assert set(tools) >= {"list", "find", "select", "ask", "tokens", "pictures"}
    rows = re.findall(
        r"^\| (`[a-z`, ]+`) \|", PAGE.read_text().partition("## MCP")[2], re.MULTILINE
    )
    described = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert described == {tool.name for tool in (*TOOLS, *SERVER_TOOLS)} >= set(tools)
    for tool in tools.values():
        assert len(tool.description) > 40
        assert tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        for name, value in tool.input_schema["properties"].items():
            assert value["description"], name
        assert tool.annotations.read_only_hint == (tool.name != "index")


def test_results_are_those_of_the_library(reach: Reach, home: Path) -> None:
    library = seal.open(home / "store")
    first = library.by_id(ids(home)[0])
    found = call(reach, "find", query="a red ball", video=first.id, top=2)
    assert timeless(found) == as_json(first.find("a red ball", top=2))
    assert found["titles"] == {first.id: "first.mp4"}
    chosen = call(reach, "select", query="a red ball", video=first.id, budget=4)
    assert timeless(chosen) == timeless(as_json(first.select("a red ball", budget=4)))
    answer = call(reach, "ask", question="Where is the ball?", video=first.id)
    assert timeless(answer) == timeless(as_json(first.ask("Where is the ball?")))
    assert answer["answer"] is None


def as_json(result: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(result.to_json()))
    return value


def test_an_agent_sees_the_pictures_of_tokens(reach: Reach, home: Path) -> None:
    video = seal.open(home / "store").by_id(ids(home)[0])
    chosen = call(reach, "select", query="a red ball", video=video.id, budget=8)["selection"]
    wanted = [row for row in chosen if row["kind"] in ("scene", "object", "action")][:3]
    names = [row["id"] for row in wanted]
    arguments = {"video": video.id, "tokens": [*names, names[0]]}
    result = reach(lambda client: client.call_tool("pictures", arguments))
    assert not result.is_error, result.content[0].text
    text, *images = result.content
    assert json.loads(text.text) == result.structured_content
    assert result.structured_content["left_out"] == []
    assert [row["id"] for row in result.structured_content["pictures"]] == names
    assert [row["box"] for row in result.structured_content["pictures"]] == [
        row["box"] for row in wanted
    ]
    rows = [video.tokens.ids.tolist().index(name) for name in names]
    assert [base64.b64decode(image.data) for image in images] == video.pictures(
        video.tokens.take(np.array(rows))
    )
    assert {image.mime_type for image in images} == {"image/jpeg"}


def test_pictures_are_bounded_in_bytes(home: Path) -> None:
    video = LocalLibrary.at(home / "store").by_id(ids(home)[0])
    names = video.list_tokens("scene").tokens.ids.tolist()
    every = pictures(video, names, 64, 1 << 20)
    assert list(every) == names
    assert all(Image.open(io.BytesIO(jpeg)).width <= 64 for jpeg in every.values())
    room = sum(len(every[name]) for name in names[:2])
    assert list(pictures(video, names, 64, room)) == names[:2]
    assert list(pictures(video, names, 64, room - 1)) == names[:1]


def test_all_videos_are_asked_without_an_id(reach: Reach, home: Path) -> None:
    chosen = call(reach, "select", query="a red ball", budget=16)
    assert {token["video"] for token in chosen["selection"]} == set(ids(home))
    assert chosen["titles"] == dict(zip(ids(home), ["first.mp4", "second.mp4"], strict=True))


def test_videos_and_tokens_come_in_pages(reach: Reach, home: Path) -> None:
    first = call(reach, "list", limit=1)
    (row,) = first["videos"]
    assert row.keys() == {"video", "title", "duration_s", "tokens"}
    assert (row["video"], row["title"]) == (ids(home)[0], "first.mp4")
    assert call(reach, "list", after=first["next"])["videos"][0]["title"] == "second.mp4"
    tokens = call(reach, "tokens", video=row["video"], kind="scene", limit=2)
    assert [token["kind"] for token in tokens["tokens"]] == ["scene", "scene"]
    more = call(reach, "tokens", video=row["video"], kind="scene", after=tokens["next"])
    assert more["tokens"][0]["id"] not in {token["id"] for token in tokens["tokens"]}


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("find", {}, "query is missing; expected a text of 1 to 1,000 characters"),
        ("find", {"query": ""}, "query"),
        ("find", {"query": 7}, "query"),
        ("find", {"query": "a" * 100_000}, "query"),
        ("find", {"query": "a ball", "top": "many"}, "top"),
        ("find", {"query": "a ball", "top": 10**9}, "expected a whole number from 1 to 100."),
        ("find", {"query": "a ball", "head": "/etc"}, "head"),
        ("find", {"query": "a ball", "options": {"find.head": "/etc"}}, "options"),
        ("find", {"query": "a ball", "video": "../film.mp4"}, "video"),
        ("find", {"query": "a ball", "video": "nothing"}, "no video 'nothing' in the library"),
        ("find", {"query": "a ball", "video": "/etc/passwd"}, "video"),
        ("find", {"query": "a ball", "video": None, "x" * 10_000: 1}, "xxx"),
        ("select", {"query": "a ball", "budget": 0}, "budget"),
        ("ask", {"question": "who?", "choices": "a"}, "choices"),
        ("ask", {"question": "who?", "dialogue": "../../film"}, "dialogue"),
        ("tokens", {"video": "nothing"}, "no video 'nothing' in the library"),
        ("tokens", {"video": "nothing", "kind": "../etc"}, "nothing"),
        ("list", {"limit": 10**6}, "limit"),
        ("pictures", {"video": "nothing", "tokens": ["x"]}, "no video 'nothing'"),
        ("pictures", {"video": "first", "tokens": ["../x"]}, "has no token '../x'"),
        ("pictures", {"video": "first", "tokens": []}, "expected a list of 1 to 8 items"),
        ("pictures", {"video": "first", "tokens": ["x"] * 9}, "expected a list of 1 to 8 items"),
        ("remove", {"video": "x"}, "find, select, ask"),
    ],
)
def test_wrong_calls_are_errors_of_the_tool(
    server: Server, home: Path, name: str, arguments: dict[str, Any], said: str
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    body["params"] = {"name": name, "arguments": arguments}
    reply = server.post("/mcp", body, **ACCEPT)
    result = reply.json["result"]
    assert result["isError"], result
    text = result["content"][0]["text"]
    assert said in text
    assert len(text) <= 500
    assert "\n" not in text
    for private in (str(home), "Traceback", "site-packages", "pydantic"):
        assert private not in text
    assert not any("Traceback" in line for line in server.said)


def test_wrong_calls_over_stdio_are_errors_too(home: Path) -> None:
    arguments = ["-m", "seal.cli", "mcp", "--store", str(home / "store")]
    process = StdioServerParameters(command=sys.executable, args=arguments, env=environment())

    async def work(client: Client) -> list[Any]:
        calls = [("find", {"query": ""}), ("find", {"query": "x", "video": "nothing"})]
        calls += [("jobs", {}), ("tokens", {"video": "../first.mp4"})]
        return [await client.call_tool(name, values) for name, values in calls]

    results = with_client(process, work)
    assert all(result.is_error for result in results)
    texts = [result.content[0].text for result in results]
    assert "there is no tool 'jobs'" in texts[2]
    assert not any(str(home) in text for text in texts)


def test_a_file_is_indexed_by_its_id(server: Server, home: Path) -> None:
    def reach(work: Callable[[Client], Awaitable[Any]]) -> Any:
        return with_client(f"{server.url}/mcp", work)

    (file,) = call(reach, "media")["files"]
    assert file["title"] == "third.mp4"
    job = call(reach, "index", media=file["media"], quick=True)
    deadline = time.monotonic() + 120
    while job["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        shown = call(reach, "jobs", job=job["id"])
        (job,) = shown["jobs"]
    assert job["state"] == "done", job
    assert shown["titles"] == {job["video"]: "third.mp4"}
    assert [each["id"] for each in call(reach, "jobs")["jobs"]] == [job["id"]]
    for wrong in ({"media": "none"}, {"video": "none"}, {}, {"media": "/etc/passwd"}):
        result = reach(lambda client, wrong=wrong: client.call_tool("index", wrong))
        assert result.is_error
    server.send("DELETE", f"/api/v1/videos/{job['video']}")


def test_a_failed_job_names_no_path(home: Path, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "broken.mp4").write_bytes(b"this is no video")
    flags = ("--media", str(tmp_path / "media"), "--state", str(tmp_path / "state"))
    with serving(tmp_path / "store", *flags) as server:

        def reach(work: Callable[[Client], Awaitable[Any]]) -> Any:
            return with_client(f"{server.url}/mcp", work)

        (file,) = call(reach, "media")["files"]
        job = call(reach, "index", media=file["media"])
        while job["state"] in ("queued", "running"):
            time.sleep(0.1)
            (job,) = call(reach, "jobs", job=job["id"])["jobs"]
        assert job["state"] == "failed"
        assert "broken.mp4" in job["failure"]
        assert str(tmp_path) not in json.dumps(job)
        empty = reach(lambda client: client.call_tool("find", {"query": "a ball"}))
        assert empty.content[0].text.startswith("the library has no videos")


def test_strangers_stay_out(home: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    flags = ("--token-file", str(secret), "--state", str(tmp_path / "state"))
    with serving(home / "store", *flags) as server:
        url = f"{server.url}/mcp"

        async def named(token: str) -> list[str]:
            async with (
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http,
                Client(streamable_http_client(url, http_client=http)) as client,
            ):
                return [tool.name for tool in (await client.list_tools()).tools]

        assert "find" in anyio.run(named, TOKEN)
        with pytest.RaisesGroup(MCPError, flatten_subgroups=True):
            anyio.run(named, TOKEN[:-1] + "0")
        assert server.post("/mcp", HELLO, **ACCEPT).status == 401
        right = server.post("/mcp", HELLO, **ACCEPT, Authorization=f"Bearer {TOKEN}")
        assert right.json["result"]["serverInfo"]["name"] == "seal"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 421),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(
    server: Server, headers: dict[str, str], status: int
) -> None:
    assert server.post("/mcp", HELLO, **ACCEPT, **headers).status == status


def test_what_is_no_call_is_refused(server: Server) -> None:
    assert server.get("/mcp", **ACCEPT).status == 405
    json_type = {"Content-Type": "application/json"}
    half = json.dumps(HELLO | {"method": "\ud800"}).encode()
    for body in (b"{", b"[]", b'{"jsonrpc": "2.0"}', half):
        reply = server.send("POST", "/mcp", body, ACCEPT | json_type)
        assert reply.status == 400
        assert b"Traceback" not in reply.body
    connection = HTTPConnection(server.url.removeprefix("http://"))
    with closing(connection):
        connection.putrequest("POST", "/mcp")
        connection.putheader("Content-Length", str(17 << 20))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_stdout_has_the_protocol_alone(home: Path) -> None:
    calls = [
        HELLO,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        *(
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "tools/call",
                "params": {"name": "find", "arguments": {"query": query}},
            }
            for number, query in ((2, "a red ball"), (3, ""))
        ),
    ]
    command = [*python(), "-m", "seal.cli", "mcp", "--store", str(home / "store")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.writelines(json.dumps(call) + "\n" for call in calls)
        process.stdin.flush()
        replies = [json.loads(process.stdout.readline()) for _ in range(3)]
        rest, said = process.communicate(timeout=60)
    assert sorted(reply["id"] for reply in replies) == [1, 2, 3]
    assert (rest, process.returncode) == ("", 0)
    assert "Traceback" not in said


def test_a_store_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    command = [*python(), "-m", "seal.cli", "mcp", "--store", str(tmp_path / "none")]
    run = subprocess.run(command, input="", capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "none").exists()
