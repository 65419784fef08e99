"""Media over HTTP: the library's files and no others, and copies that browsers play."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import quote

import av
import numpy as np
import pytest
from PIL import Image

import seal
from filmed import write_film
from seal.export import FORMATS, STORYBOARD
from seal.serve import exports
from seal.serve.originals import version_of
from seal.serve.playable import PlayableCopies
from seal.serve.schemas import LONGEST_ID
from serving import Reply, Server, serving
from small_disk import mounted
from sounding import write_sounding
from synthetic import number_of, write_video
from test_serve import waited

PICTURES = [round(at * 40) for at in range(50)]
"""Two seconds at 25 Hz, in milliseconds."""
UNEVEN = [at + 7 * (at // 40 % 3) for at in PICTURES]
"""As many, at no rate."""
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--no-sandbox", "--headless", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SUBTITLES = "1\n00:00:01,000 --> 00:00:03,000\nThe ball rolls down the hill & away.\n\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of a film with subtitles, which browsers play."""
    folder = tmp_path_factory.mktemp("media")
    write_film(folder / "film.mp4", seed=0, duration_s=8.0)
    (folder / "film.srt").write_text(SUBTITLES)
    seal.open(folder / "store").index(folder / "film.mp4", jobs=1)
    return folder


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with serving(home / "store") as server:
        yield server


@pytest.fixture(scope="module")
def film(home: Path) -> seal.Video:
    (video,) = seal.open(home / "store")
    return video


def ranges_of(rng: random.Random, size: int) -> str:
    """A Range header, valid or not."""

    if rng.random() < 0.5:
        cuts = sorted(rng.sample(range(size), 2 * rng.choice([1, 1, 2, 5])))
        listed = [f"{first}-{last}" for first, last in zip(cuts[::2], cuts[1::2], strict=True)]
        listed[-1] = rng.choice([listed[-1], f"{cuts[-1]}-", f"-{cuts[-1]}"])
        rng.shuffle(listed)
        return "bytes=" + ",".join(listed)

    def number() -> str:
        return str(rng.choice([0, 1, size - 1, size, size + 1, 10**25, rng.randrange(size)]))

    shapes = [f"{number()}-{number()}", f"{number()}-", f"-{number()}", "-", "x-1", "5", ""]
    unit = rng.choice(["bytes", "bytes", "Bytes", "lines", ""])
    return f"{unit}={','.join(rng.choices(shapes, k=rng.choice([1, 1, 2, 3])))}"


def wanted_of(header: str, size: int) -> list[tuple[int, int]] | None:
    """The ranges that a header asks for, first and last byte; None where it cannot be met."""
    unit, _, listed = header.partition("=")
    found = []
    for part in listed.split(","):
        matched = re.fullmatch(r"(\d*)-(\d*)", part)
        if unit.lower() != "bytes" or matched is None or part == "-":
            return None
        first, last = matched[1], matched[2]
        begin = int(first) if first else max(size - int(last), 0)
        end = min(int(last), size - 1) if first and last else size - 1
        huge = max(len(first), len(last)) > 18
        backwards = first and last and int(last) < int(first)
        if begin >= size or huge or backwards or (not first and int(last) == 0):
            return None
        found.append((begin, end))
    return found


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, and those that touch or overlap as one."""
    done: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if done and begin <= done[-1][1] + 1:
            done[-1] = (done[-1][0], max(done[-1][1], end))
        else:
            done.append((begin, end))
    return done


def parts_of(reply: Reply) -> dict[tuple[int, int], bytes]:
    """What a reply has of a file, by first and last byte."""
    kind = reply.headers["content-type"]
    if not kind.startswith("multipart/byteranges"):
        first, last = re.fullmatch(
            r"bytes (\d+)-(\d+)/\d+", reply.headers["content-range"]
        ).groups()
        return {(int(first), int(last)): reply.body}
    mark = b"--" + kind.partition("boundary=")[2].encode()
    found = {}
    for part in reply.body.split(mark)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        first, last = re.search(rb"Content-Range: bytes (\d+)-(\d+)/", head).groups()
        found[int(first), int(last)] = body.removesuffix(b"\r\n")
    return found


def test_ranges_are_those_of_the_file(server: Server, home: Path, film: seal.Video) -> None:
    data = (home / "film.mp4").read_bytes()
    rng = random.Random(19)
    met = 0
    for _ in range(160):
        header = ranges_of(rng, len(data))
        reply = server.get(f"/media/{film.id}", Range=header)
        wanted = wanted_of(header, len(data))
        if wanted is None:
            assert reply.status == 416, header
            assert reply.headers["content-range"] == f"bytes */{len(data)}"
            assert reply.headers["content-type"] == "application/problem+json"
            continue
        met += 1
        assert reply.status == 206, header
        parts = parts_of(reply)
        assert sorted(parts) == merged(wanted), header
        for (first, last), body in parts.items():
            assert body == data[first : last + 1], header
    assert met > 50


def test_the_whole_file_comes_with_what_players_ask_for(
    server: Server, home: Path, film: seal.Video
) -> None:
    data = (home / "film.mp4").read_bytes()
    path = f"/media/{film.id}"
    whole = server.get(path)
    assert (whole.status, whole.body) == (200, data)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-disposition"] == 'inline; filename="film.mp4"'
    head = server.send("HEAD", path)
    same = {key: value for key, value in whole.headers.items() if key != "date"}
    assert {key: value for key, value in head.headers.items() if key != "date"} == same
    assert head.body == b""
    tag, at = whole.headers["etag"], whole.headers["last-modified"]
    for known in ({"If-None-Match": f'"x", W/{tag}'}, {"If-Modified-Since": at}):
        reply = server.get(path, **known)
        assert (reply.status, reply.body) == (304, b"")
    for other in ({"If-None-Match": '"x"', "If-Modified-Since": at}, {"If-Modified-Since": "?"}):
        assert server.get(path, **other).status == 200
    assert server.get(path, Range="bytes=0-9", **{"If-Range": tag}).body == data[:10]
    for outdated in ('"x"', f"W/{tag}"):
        reply = server.get(path, Range="bytes=0-9", **{"If-Range": outdated})
        assert (reply.status, reply.body) == (200, data)


@pytest.mark.parametrize(
    "path",
    [
        "/media/../film.mp4",
        "/media/..%2Ffilm.mp4",
        "/media/%2e%2e/%2e%2e/etc/passwd",
        "/media/..%2f..%2f..%2fetc%2fpasswd",
        "/media//etc/passwd",
        "/media/%2Fetc%2Fpasswd",
        "/media/{video}/../../etc/passwd",
        "/media/{video}%00",
        "/media/{video}/pictures/..%2F..%2Ffilm.mp4.jpg",
        "/media/{video}/pictures/%00.jpg",
        "/media/{video}/pictures/' OR 1=1.jpg",
        "/media/{video}/thumbnails/-1.jpg",
        "/media/{video}/thumbnails/..jpg",
        "/media/{file}",
        "/media/" + "a" * 5000,
        "/media/ilm",
        "/media/film.mp4",
    ],
)
def test_no_other_file_is_served(server: Server, home: Path, film: seal.Video, path: str) -> None:
    filled = path.replace("{video}", film.id).replace("{file}", quote(str(home / "film.mp4"), ""))
    connection = HTTPConnection(server.url.removeprefix("http://"))
    with closing(connection):
        # Not urllib, which would tidy the path up.
        connection.putrequest("GET", filled.replace(" ", "%20"))
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
    assert reply.status in (404, 422), reply.status
    assert json.loads(body)["status"] == reply.status
    assert "root:" not in body.decode()


def indexed(folder: Path, path: Path) -> seal.Video:
    """A video in the store of a folder; its pictures at even steps are all that is needed."""
    return seal.open(folder / "store").index(path, quick=True)


@pytest.mark.parametrize("length", ["same", "other"])
def test_a_file_that_was_replaced_is_not_served(home: Path, tmp_path: Path, length: str) -> None:
    path = tmp_path / "film.mp4"
    shutil.copy(home / "film.mp4", path)
    video = indexed(tmp_path, path)
    with serving(tmp_path / "store") as server:
        before = server.get(f"/media/{video.id}")
        assert before.body == path.read_bytes()
        secret = b"secret" * (os.path.getsize(path) if length == "other" else 10)
        path.write_bytes(secret + path.read_bytes()[len(secret) :])
        for address in ("", "/clip?start_s=0&end_s=1"):
            reply = server.get(f"/media/{video.id}{address}")
            assert reply.status == 404
            assert "has changed since" in reply.json["detail"]
        assert server.get(f"/api/v1/videos/{video.id}/playable").status == 404
        path.unlink()
        assert server.get(f"/media/{video.id}", Range="bytes=0-9").status == 404
        # What is stored of it is there as before, and so is the file once it is back.
        assert server.get(f"/media/{video.id}/poster.jpg").status == 200
        path.write_bytes(before.body)
        assert server.get(f"/media/{video.id}").body == before.body


def test_nothing_is_fetched_for_a_client(server: Server, film: seal.Video, tmp_path: Path) -> None:
    video = seal.open(tmp_path / "store").index(f"{server.url}/media/{film.id}", quick=True)
    with serving(tmp_path / "store") as other:
        for path in (f"/media/{video.id}", f"/api/v1/videos/{video.id}/playable"):
            reply = other.get(path)
            assert reply.status == 404
            assert "lies on another server" in reply.json["detail"]
        assert other.get(f"/media/{video.id}/poster.jpg").status == 200


# ---- playable copies ----


def encoded(folder: Path, case: str) -> Path:
    """A video that browsers do not play, of 50 numbered pictures."""
    quiet = {"x265-params": "log-level=error"}
    if case in ("hevc.mkv", "played.mkv"):
        return write_video(
            folder / case, UNEVEN, codec="libx265", options=quiet, b_frames=2, audio_s=2.0
        )
    if case == "hevc10.mp4":
        return write_video(
            folder / case, PICTURES, codec="libx265", pix_fmt="yuv420p10le", options=quiet
        )
    if case == "high10.mp4":
        return write_video(folder / case, PICTURES, pix_fmt="yuv420p10le", audio_s=2.0)
    if case == "mpeg4.avi":
        return write_video(folder / case, range(50), codec="mpeg4", time_base=Fraction(1, 25))
    # A clock that does not begin at 0, and sound before the first picture.
    late = [at + 1500 for at in PICTURES]
    return write_video(folder / case, late, b_frames=2, audio_s=3.5)


def frames(file: Path | io.BytesIO) -> tuple[list[float], list[int]]:
    """When each picture comes, and its number."""
    with av.open(file) as container:
        shown = [
            (float(frame.pts * frame.time_base), number_of(frame.to_ndarray(format="rgb24")))
            for frame in container.decode(video=0)
        ]
    return [at_s for at_s, _ in shown], [number for _, number in shown]


def codecs(file: Path | io.BytesIO) -> list[str]:
    with av.open(file) as container:
        return [each.codec_context.name for each in container.streams]


def made(server: Server, video: str) -> dict[str, Any]:
    """The job that makes the copy of a video, when it is over."""
    reply = server.post(f"/api/v1/videos/{video}/playable")
    assert reply.status == 202, reply.json
    assert reply.headers["location"] == f"/api/v1/jobs/{reply.json['id']}"
    return waited(server, reply.json["id"])


CASES = {
    "hevc.mkv": ("video/matroska", "transcode"),
    "hevc10.mp4": ("video/mp4", "transcode"),
    "high10.mp4": ("video/mp4", "transcode"),
    "mpeg4.avi": ("video/x-msvideo", "transcode"),
    "h264.ts": ("video/mp2t", "remux"),
    "h264.mkv": ("video/matroska", "remux"),
    "h264.mov": ("video/quicktime", "remux"),
}
"""By file: its type, and how browsers come to play it."""


@pytest.fixture(scope="module")
def unplayable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server, and the folder of its library of videos that browsers do not play."""
    folder = tmp_path_factory.mktemp("unplayable")
    for case in (*CASES, "again.mkv", "played.mkv"):
        indexed(folder, encoded(folder, case))
    with serving(folder / "store") as server:
        yield server, folder


@pytest.mark.parametrize("case", CASES)
def test_a_copy_plays_and_has_the_times_of_the_video(
    unplayable: tuple[Server, Path], case: str
) -> None:
    server, folder = unplayable
    path = folder / case
    video = seal.open(folder / "store").video(path)
    at = f"/api/v1/videos/{video.id}/playable"
    media_type, way = CASES[case]
    before = server.get(f"/media/{video.id}")
    assert before.headers["content-type"] == media_type
    assert before.body == path.read_bytes()
    assert server.get(at).json["state"] == way
    job = made(server, video.id)
    assert job["state"] == "done", job
    assert job["video"] == video.id
    assert server.get(at).json | {"why": ""} == {"state": "ready", "why": "", "job": None}
    assert server.post(at).status == 409
    after = server.get(f"/media/{video.id}")
    assert after.headers["content-type"] == "video/mp4"
    assert after.headers["etag"] != before.headers["etag"]
    assert codecs(io.BytesIO(after.body)) == ["h264", *["aac"] * (len(codecs(path)) - 1)]
    times_s, shown = frames(path)
    copied_s, copied = frames(io.BytesIO(after.body))
    assert copied == shown == list(range(50))
    assert times_s[0] == pytest.approx(video.record.start_s, abs=1e-6)
    expected = [at_s - video.record.start_s for at_s in times_s]
    assert copied_s == pytest.approx(expected, abs=1.1e-4)
    # The index lies in front, so that a player can begin at once.
    assert after.body.index(b"moov") < after.body.index(b"mdat")
    copies = folder / "store-server" / "playable"
    assert files_in(copies) == [PlayableCopies(copies).place(video.id).name]
    assert server.send("DELETE", f"/api/v1/videos/{video.id}").status == 200
    assert files_in(copies) == []
    assert path.exists()


def test_a_video_with_a_long_id_has_a_copy(tmp_path: Path) -> None:
    copies, long = PlayableCopies(tmp_path), "x" * LONGEST_ID
    copies.place(long).write_bytes(b"film")
    copies.place("other").write_bytes(b"film")
    copies.tidy([long])
    assert copies.find(long) == copies.place(long)
    assert copies.find("other") is None


def test_one_job_makes_a_copy(unplayable: tuple[Server, Path]) -> None:
    server, folder = unplayable
    video = seal.open(folder / "store").video(folder / "again.mkv")
    at = f"/api/v1/videos/{video.id}/playable"
    first, second = server.post(at, **{"Idempotency-Key": "a"}), server.post(at)
    assert first.json["id"] == second.json["id"]
    assert server.get(at).json["job"] in (first.json["id"], None)
    assert waited(server, first.json["id"])["state"] == "done"
    again = server.post(at, **{"Idempotency-Key": "a"})
    assert (again.status, again.json["id"]) == (202, first.json["id"])
    assert server.send("DELETE", f"/api/v1/videos/{video.id}").status == 200


def test_a_browser_plays_the_copy(unplayable: tuple[Server, Path]) -> None:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: nothing here plays a video")
    from playwright.sync_api import sync_playwright

    server, folder = unplayable
    video = seal.open(folder / "store").video(folder / "played.mkv")
    assert made(server, video.id)["state"] == "done"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page()
            page.goto(f"{server.url}/media/{video.id}")
            page.evaluate(
                "() => { const v = document.querySelector('video'); v.muted = true; v.play(); }"
            )
            page.wait_for_function("() => document.querySelector('video').ended")
            look = "v => [v.videoWidth, v.duration, v.error, v.seekable.end(0)]"
            width, duration_s, error, seekable_s = page.locator("video").evaluate(look)
        finally:
            browser.close()
    assert (width, error) == (320, None)
    assert duration_s == seekable_s == pytest.approx(video.record.duration_s, abs=0.05)
    assert server.send("DELETE", f"/api/v1/videos/{video.id}").status == 200


def test_what_browsers_play_needs_no_copy(server: Server, film: seal.Video) -> None:
    at = f"/api/v1/videos/{film.id}/playable"
    assert server.get(at).json["state"] == "original"
    assert server.post(at).status == 409
    assert server.get("/api/v1/videos/none/playable").status == 404
    assert server.post("/api/v1/videos/none/playable").status == 404


@pytest.fixture(scope="module")
def long_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of a video whose copy takes a while."""
    folder = tmp_path_factory.mktemp("long")
    write_video(
        folder / "long.mkv",
        range(0, 30_000, 40),
        size=(640, 480),
        codec="mpeg4",
        options={"qmin": "3", "qmax": "3"},
        noise=True,
    )
    seal.open(folder / "store").index(folder / "long.mkv", quick=True)
    return folder


def begun(server: Server, video: str) -> str:
    """The id of a job that has begun to write the copy of a video."""
    job = str(server.post(f"/api/v1/videos/{video}/playable").json["id"])
    while not (found := server.get(f"/api/v1/jobs/{job}").json)["done_s"]:
        assert found["state"] in ("queued", "running"), found
        time.sleep(0.05)
    assert found["stage"] == "encoding"
    assert found["total_s"] == pytest.approx(30.0, abs=0.1)
    return job


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_copy_that_is_cancelled_leaves_nothing(long_home: Path, tmp_path: Path) -> None:
    (video,) = seal.open(long_home / "store")
    folder = tmp_path / "state" / "playable"
    with serving(long_home / "store", "--state", str(tmp_path / "state")) as server:
        job = begun(server, video.id)
        assert len(files_in(folder)) == 1
        assert server.post(f"/api/v1/jobs/{job}/cancel").json["state"] == "cancelled"
        deadline = time.monotonic() + 30
        while files_in(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert files_in(folder) == []
        assert server.get(f"/api/v1/videos/{video.id}/playable").json["state"] == "transcode"


def test_a_killed_server_serves_no_half_copy(long_home: Path, tmp_path: Path) -> None:
    (video,) = seal.open(long_home / "store")
    folder = tmp_path / "state" / "playable"
    flags = ("--state", str(tmp_path / "state"))
    with serving(long_home / "store", *flags, program=[sys.executable]) as server:
        job = begun(server, video.id)
        server.kill()
        copy = PlayableCopies(folder).place(video.id)
        assert not copy.exists()
    with serving(long_home / "store", *flags) as server:
        # The job begins anew, and the draft of the first attempt is gone.
        assert server.get(f"/media/{video.id}").body == (long_home / "long.mkv").read_bytes()
        assert len(files_in(folder)) <= 1
        over = waited(server, job)
        assert (over["state"], over["attempts"]) == ("done", 2), over
        assert files_in(folder) == [copy.name]
        with av.open(str(copy)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 750


def test_a_full_disk_is_said_in_one_sentence(long_home: Path, tmp_path: Path) -> None:
    (video,) = seal.open(long_home / "store")
    with (
        mounted(tmp_path / "small", 32) as place,
        serving(long_home / "store", "--state", str(place / "state")) as server,
    ):
        job = made(server, video.id)
        assert job["state"] == "failed"
        assert job["failure"].startswith("no space left for a playable copy"), job
        assert files_in(place / "state" / "playable") == []


# ---- pictures ----


def picture(reply: Reply) -> Image.Image:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "image/jpeg"
    image = Image.open(io.BytesIO(reply.body))
    assert image.format == "JPEG"
    return image


def test_pictures_are_those_of_the_store(server: Server, film: seal.Video) -> None:
    tokens = film.tokens
    for row in range(0, len(tokens), 7):
        token = tokens.take(np.array([row]))
        reply = server.get(f"/media/{film.id}/pictures/{token.ids[0]}.jpg")
        if token.where(lambda kind: kind.has_picture)[0]:
            assert reply.body == film.pictures(token)[0]
        else:
            assert reply.status == 404
    name = film.list_tokens("scene").to_json()[0]["id"]
    whole = picture(server.get(f"/media/{film.id}/pictures/{name}.jpg"))
    small = picture(server.get(f"/media/{film.id}/pictures/{name}.jpg?width=64"))
    assert small.width == 64
    assert small.height == pytest.approx(64 * whole.height / whole.width, abs=1)
    large = picture(server.get(f"/media/{film.id}/pictures/{name}.jpg?width=1920"))
    assert large.size == whole.size
    assert server.get(f"/media/{film.id}/pictures/{name}.jpg?width=0").status == 422
    spoken = film.list_tokens("speech").to_json()[0]["id"]
    said = server.get(f"/media/{film.id}/pictures/{spoken}.jpg")
    assert (said.status, "no picture" in said.json["detail"]) == (404, True)
    assert server.get(f"/media/{film.id}/pictures/scene-none.jpg").status == 404
    poster = server.get(f"/media/{film.id}/poster.jpg")
    scenes = film.tokens.take(np.flatnonzero(film.tokens.kinds == "scene"))
    assert poster.body in film.pictures(scenes)


def test_pictures_are_kept_until_the_video_is_indexed_anew(home: Path, tmp_path: Path) -> None:
    video = indexed(tmp_path, home / "film.mp4")
    with serving(tmp_path / "store") as server:
        path = f"/media/{video.id}/poster.jpg"
        plain = server.get(path)
        assert plain.headers["cache-control"] == "private, no-cache"
        named = f"{path}?v={version_of(video.record)}"
        kept = server.get(named)
        assert kept.headers["cache-control"] == "private, max-age=31536000, immutable"
        known = {"If-None-Match": plain.headers["etag"]}
        assert server.get(path, **known).status == 304
        seal.open(tmp_path / "store").index(
            home / "film.mp4", jobs=1, options={"scenes.interval_s": 1}
        )
        assert server.get(path, **known).status == 200
        assert server.get(named).headers["cache-control"] == "private, no-cache"


def clock_s(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def cues_of(reply: Reply) -> list[tuple[float, float, str]]:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "text/vtt; charset=utf-8"
    head, *blocks = reply.body.decode().strip().split("\n\n")
    assert head == "WEBVTT"
    found = []
    for block in blocks:
        times, text = block.split("\n")
        begin, end = times.split(" --> ")
        found.append((clock_s(begin), clock_s(end), text))
    return found


def test_thumbnails_cover_the_video(tmp_path: Path) -> None:
    """Of a transport stream, whose time does not begin at 0, with more scenes than a sheet has."""
    path = write_video(tmp_path / "long.ts", range(2_000, 122_000, 200), gop=5)
    video = seal.open(tmp_path / "store").index(path, quick=True, options={"scenes.interval_s": 1})
    assert video.record.start_s >= 2
    with serving(tmp_path / "store") as server:
        cues = cues_of(server.get(f"/media/{video.id}/thumbnails.vtt"))
        assert cues[0][0] == 0
        assert cues[-1][1] == pytest.approx(video.record.duration_s, abs=0.002)
        assert [end for _, end, _ in cues[:-1]] == [begin for begin, _, _ in cues[1:]]
        assert 100 < len(cues) <= 400
        sheets: dict[str, Image.Image] = {}
        for begin, end, text in cues:
            name, _, box = text.partition("#xywh=")
            if name not in sheets:
                reply = server.get(f"/media/{video.id}/{name}")
                assert "immutable" in reply.headers["cache-control"]
                sheets[name] = picture(reply).convert("RGB")
            x, y, width, height = map(int, box.split(","))
            assert 0 <= x < x + width <= sheets[name].width
            assert 0 <= y < y + height <= sheets[name].height
            shown = number_of(np.asarray(sheets[name].crop((x, y, x + width, y + height))))
            wanted = (begin + end) / 2 * 5
            assert abs((shown - wanted + 128) % 256 - 128) <= 6, (begin, shown)
        assert len(sheets) == 2
        assert server.get(f"/media/{video.id}/thumbnails/2.jpg").status == 404


def test_words_are_on_the_clock_of_the_player(
    server: Server, film: seal.Video, home: Path, tmp_path: Path
) -> None:
    subtitles = cues_of(server.get(f"/media/{film.id}/subtitles.vtt"))
    assert [(begin, end) for begin, end, _ in subtitles] == [(1.0, 3.0)]
    assert "hill" in subtitles[0][2]
    (chapter,) = cues_of(server.get(f"/media/{film.id}/chapters.vtt"))
    assert chapter[:2] == pytest.approx((0.0, film.record.duration_s), abs=0.001)
    shutil.copy(home / "film.mp4", tmp_path / "mute.mp4")
    mute = indexed(tmp_path, tmp_path / "mute.mp4")
    with serving(tmp_path / "store") as other:
        for name in ("chapters", "subtitles"):
            reply = other.get(f"/media/{mute.id}/{name}.vtt")
            assert reply.status == 404
            assert "no speech tokens" in reply.json["detail"]


# ---- clips ----


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, seal.Video]:
    """A folder with a library of a video of 250 numbered pictures with sound, which begins late."""
    folder = tmp_path_factory.mktemp("clips")
    path = write_sounding(
        folder / "late.mkv", 10.0, codec="aac", form="fltp", fps=25, video_start_s=0.0
    )
    return folder, indexed(folder, path)


def test_a_clip_is_cut_from_the_original(sounding: tuple[Path, seal.Video]) -> None:
    folder, video = sounding
    path = f"/media/{video.id}/clip"
    with serving(folder / "store") as server:
        exact = server.get(f"{path}?start_s=2.4&end_s=4&exact=true")
        assert exact.status == 200
        assert exact.headers["content-type"] == "video/mp4"
        assert exact.headers["content-disposition"] == 'inline; filename="late-2-4-4-0.mp4"'
        times_s, shown = frames(io.BytesIO(exact.body))
        assert shown == list(range(60, 100))
        assert times_s == pytest.approx([number / 25 for number in range(40)], abs=1e-4)
        assert codecs(io.BytesIO(exact.body)) == ["h264", "aac"]
        quick = server.get(f"{path}?start_s=2.4&end_s=4")
        _, shown = frames(io.BytesIO(quick.body))
        assert shown[0] <= 60
        assert shown == list(range(shown[0], shown[-1] + 1))
        assert shown[-1] >= 99
        assert len(quick.body) < len((folder / "late.mkv").read_bytes())
        head = server.send("HEAD", f"{path}?start_s=2.4&end_s=4")
        assert (head.status, head.body) == (200, b"")
        for asked, said in (
            ("start_s=4&end_s=2", "start_s < end_s"),
            ("start_s=0&end_s=601", "at most 600 s"),
            ("start_s=50&end_s=60", "it lasts from 0 to 10 s"),
            ("start_s=-9&end_s=-1", "shows nothing"),
            ("start_s=nan&end_s=2", "finite"),
            ("end_s=2", "start_s"),
        ):
            reply = server.get(f"{path}?{asked}")
            assert reply.status == 422
            assert said in reply.json["detail"]
        assert server.get("/media/none/clip?start_s=0&end_s=1").status == 404


def test_a_client_that_goes_away_makes_room_for_others(long_home: Path, tmp_path: Path) -> None:
    (video,) = seal.open(long_home / "store")
    path = f"/media/{video.id}/clip?start_s=0&end_s=30&exact=true"
    with serving(long_home / "store", "--state", str(tmp_path / "state")) as server:
        host = server.url.removeprefix("http://")
        # They take the first bytes and then nothing, and hold both places.
        idle = [HTTPConnection(host) for _ in range(2)]
        for connection in idle:
            connection.request("GET", path)
            assert connection.getresponse().read(10)[4:8] == b"ftyp"
        for connection in idle:
            connection.close()
        began = time.monotonic()
        reply = server.get(f"/media/{video.id}/clip?start_s=1&end_s=1.2&exact=true")
        assert reply.status == 200
        assert frames(io.BytesIO(reply.body))[0][0] == 0
        # Not after the half minute for which a client may take nothing.
        assert time.monotonic() - began < 25
        assert "Traceback" not in "".join(server.said)


# ---- exports ----


@pytest.mark.parametrize("suffix", [*FORMATS, STORYBOARD])
def test_exports_are_those_of_the_library(
    server: Server, film: seal.Video, home: Path, tmp_path: Path, suffix: str
) -> None:
    query = "a red ball"
    library = seal.open(home / "store")
    for asked, video in ((film, f"&video={film.id}"), (library, "")):
        path = tmp_path / f"export{suffix}"
        asked.export(query, path, top=3)
        form = suffix.removeprefix(".")
        reply = server.get(f"/api/v1/export?query={quote(query)}&format={form}&top=3{video}")
        assert reply.status == 200, reply.body
        name = f"{film.id if video else 'library'}-a-red-ball{suffix}"
        assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'
        if suffix == STORYBOARD:
            assert reply.headers["content-type"] == "text/html; charset=utf-8"
            assert reply.body[:15].lower() == b"<!doctype html>"
            # Nobody but the server can open its files.
            assert str(home).encode() not in reply.body
        else:
            assert reply.body == path.read_bytes()
    forms = get_args(get_args(get_type_hints(exports.export, include_extras=True)["form"])[0])
    assert {f".{form}" for form in forms} == {*FORMATS, STORYBOARD}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("query=a&format=exe", 422),
        ("query=&format=csv", 422),
        ("format=csv", 422),
        ("query=a&format=csv&video=none", 404),
        ("query=a&format=csv&top=0", 422),
    ],
)
def test_wrong_exports_are_problems(server: Server, asked: str, status: int) -> None:
    assert server.get(f"/api/v1/export?{asked}").status == status


def test_names_of_files_are_harmless(server: Server, film: seal.Video) -> None:
    query = quote('"../../etc\r\nX: y" \u202e.exe')
    reply = server.get(f"/api/v1/export?query={query}&format=csv&video={film.id}")
    name = f"{film.id}-etc-X-y-exe.csv"
    assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert "x" not in reply.headers


def test_media_are_described(server: Server) -> None:
    paths = server.get("/openapi.json").json["paths"]
    for path, types in (
        ("/media/{video}", {"video/mp4", "video/webm", "video/matroska"}),
        ("/media/{video}/poster.jpg", {"image/jpeg"}),
        ("/media/{video}/pictures/{token}.jpg", {"image/jpeg"}),
        ("/media/{video}/thumbnails.vtt", {"text/vtt"}),
        ("/media/{video}/thumbnails/{sheet}.jpg", {"image/jpeg"}),
        ("/media/{video}/chapters.vtt", {"text/vtt"}),
        ("/media/{video}/subtitles.vtt", {"text/vtt"}),
        ("/media/{video}/clip", {"video/mp4"}),
    ):
        for method in ("get", "head"):
            replies = paths[path][method]["responses"]
            assert types <= {*replies["200"]["content"]}
            assert "application/json" not in replies["200"]["content"]
            assert {"304", "404", "422"} <= {*replies}
    assert {"206", "416"} <= {*paths["/media/{video}"]["get"]["responses"]}
    names = [each["operationId"] for path in paths.values() for each in path.values()]
    assert len(names) == len(set(names))
