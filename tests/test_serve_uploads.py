"""Uploads by the protocol tus: resumed after cuts and kills, bounded, and never a path."""

from __future__ import annotations

import base64
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from filmed import write_film
from serving import Reply, Server, serving
from test_serve import waited

PATH = "/api/v1/uploads"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("upload") / "film.mp4"
    write_film(path, seed=0, duration_s=4.0)
    return path.read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("uploads") / "store") as server:
        yield server


def begin(server: Server, size: int, name: str = "a film.mp4", **headers: str) -> Reply:
    encoded = base64.b64encode(name.encode()).decode()
    said = {"Upload-Length": str(size), "Upload-Metadata": f"filename {encoded}", **headers}
    return server.send("POST", PATH, b"", said)


def send(server: Server, where: str, offset: int, data: bytes) -> Reply:
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return server.send("PATCH", where, data, headers)


def arrived(server: Server, where: str) -> int:
    return int(server.send("HEAD", where).headers["upload-offset"])


def cut_off(server: Server, where: str, offset: int, data: bytes) -> None:
    """Announce more than is sent, and hang up."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"PATCH {where} HTTP/1.1\r\nHost: {host}:{port}\r\nUpload-Offset: {offset}\r\n"
        head += f"Content-Type: application/offset+octet-stream\r\nContent-Length: {10**9}\r\n\r\n"
        connection.sendall(head.encode() + data)
        time.sleep(0.5)


def test_a_film_is_uploaded_in_pieces_and_indexed(server: Server, film: bytes) -> None:
    made = begin(server, len(film))
    assert made.status == 201
    where = made.headers["location"]
    third = len(film) // 3
    assert send(server, where, 0, film[:third]).headers["upload-offset"] == str(third)
    assert send(server, where, 5, film[:third]).status == 409
    assert arrived(server, where) == third
    last = send(server, where, third, film[third:])
    assert last.status == 204
    job = waited(server, last.headers["seal-job"])
    assert job["state"] == "done", job
    video = server.get(f"/api/v1/videos/{job['video']}").json
    assert video["title"] == "a film.mp4"
    assert video["duration_s"] == pytest.approx(4.0, abs=0.1)
    # The uploaded file goes with its video.
    assert Path(video["path"]).exists()
    server.send("DELETE", f"/api/v1/videos/{job['video']}")
    assert not Path(video["path"]).exists()


def test_what_has_arrived_stays_when_the_client_hangs_up(server: Server, film: bytes) -> None:
    where = begin(server, len(film)).headers["location"]
    cut_off(server, where, 0, film[:1000])
    deadline = time.monotonic() + 20
    while arrived(server, where) != 1000:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert send(server, where, 1000, film[1000:]).headers["seal-job"]


@pytest.mark.parametrize("pieces", [1, 3])
def test_an_upload_outlives_kills(film: bytes, tmp_path: Path, pieces: int) -> None:
    store, sent = tmp_path / "store", 0
    with serving(store, program=[sys.executable]) as server:
        where = begin(server, len(film)).headers["location"]
        server.kill()
    step = len(film) // pieces + 1
    while sent < len(film):
        with serving(store, program=[sys.executable]) as server:
            assert arrived(server, where) == sent
            reply = send(server, where, sent, film[sent : sent + step])
            sent = int(reply.headers["upload-offset"])
            server.kill()
    with serving(store) as server:
        assert waited(server, server.send("HEAD", where).headers["seal-job"])["state"] == "done"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Upload-Length": "0"}, 422),
        ({"Upload-Length": "-1"}, 422),
        ({"Upload-Length": "many"}, 422),
        ({"Upload-Length": str(1 << 50)}, 413),
        ({"Upload-Metadata": "filename ***"}, 422),
        ({"Upload-Metadata": "filename " + base64.b64encode(b"\xff").decode()}, 422),
    ],
)
def test_wrong_uploads_are_refused(server: Server, headers: dict[str, str], status: int) -> None:
    assert server.send("POST", PATH, b"", {"Upload-Length": "10"} | headers).status == status


def test_a_name_is_never_a_path(server: Server, tmp_path: Path, film: bytes) -> None:
    outside = tmp_path / "outside.mp4"
    for name in (str(outside), f"../../../../..{outside}", "..\\..\\outside.mp4", "a\0b.mp4", ""):
        made = begin(server, len(film), name)
        assert made.status == 201
        job = send(server, made.headers["location"], 0, film).headers["seal-job"]
        assert "/" not in server.get(f"/api/v1/jobs/{job}").json["title"]
    assert waited(server, job)["state"] == "done"
    assert not outside.exists()


def test_no_more_than_was_announced_is_taken(server: Server) -> None:
    where = begin(server, 10).headers["location"]
    assert send(server, where, 0, b"x" * 11).status == 413
    assert arrived(server, where) == 0
    assert server.send("DELETE", where).status == 204
    assert server.send("HEAD", where).status == 404


def test_the_number_of_unfinished_uploads_is_bounded(tmp_path: Path) -> None:
    with serving(tmp_path / "store") as server:
        replies = [begin(server, 10) for _ in range(17)]
        assert [reply.status for reply in replies] == [201] * 16 + [429]
        assert int(replies[-1].headers["retry-after"]) > 0
        same = {"Idempotency-Key": "one"}
        server.send("DELETE", replies[0].headers["location"])
        places = {begin(server, 10, **same).headers["location"] for _ in range(2)}
        assert len(places) == 1


def test_two_requests_do_not_add_at_once(server: Server) -> None:
    where = begin(server, 10**6).headers["location"]
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"PATCH {where} HTTP/1.1\r\nHost: {host}:{port}\r\nUpload-Offset: 0\r\n"
        head += "Content-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + os.urandom(10))
        time.sleep(0.3)
        assert send(server, where, 0, b"x").status == 409


def test_what_is_no_video_fails_in_one_sentence(server: Server) -> None:
    data: Any = b"this is no film" * 100
    made = begin(server, len(data), "film.mp4")
    job = waited(server, send(server, made.headers["location"], 0, data).headers["seal-job"])
    assert job["state"] == "failed"
    assert "Traceback" not in job["failure"]
