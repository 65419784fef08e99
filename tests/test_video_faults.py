"""Damage becomes gaps, and what is no video becomes an error that says so."""

import contextlib
import io
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video import Gap, content_id, open_video
from seal.video.source import image_files, unreadable
from synthetic import number_of, numbered, write_sound, write_video

ALL = VideoOptions(rate_hz=1000, timeout_s=1.0)
STEP_S = 0.04
FRAMES = 200


def read(path: Path | str, options: VideoOptions = ALL) -> tuple[dict[float, int], list[Gap]]:
    """The number that the picture at each time shows, and the gaps."""
    with open_video(path, options) as video:
        shown = {frame.time_s: number_of(frame.image) for frame in video.frames()}
        return shown, video.gaps


# ---- damage ----


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight seconds with a keyframe every second; noise, so that every packet has some size."""
    folder = tmp_path_factory.mktemp("sound")
    pts = [round(1000 * STEP_S) * i for i in range(FRAMES)]
    made = {}
    for name in ("film.mp4", "film.mkv", "film.ts"):
        how = {"movflags": "faststart"} if name.endswith("mp4") else {}
        made[name] = write_video(
            folder / name,
            pts,
            gop=25,
            options={"qp": "2", "preset": "ultrafast", "x264-params": "scenecut=0"},
            container_options=how,
            noise=True,
        )
    return made


def damage(path: Path, target: Path, kind: str) -> Path:
    data = bytearray(path.read_bytes())
    rng = random.Random(0)
    first, last = int(len(data) * 0.50), int(len(data) * 0.53)
    if kind == "overwritten":
        data[first:last] = rng.randbytes(last - first)
    elif kind == "zeroed":
        data[first:last] = bytes(last - first)
    elif kind == "flipped":
        for _ in range(40):
            data[rng.randrange(first, last)] ^= 1 << rng.randrange(8)
    elif kind == "cut off":
        del data[first:]
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("kind", ["overwritten", "zeroed", "flipped", "cut off"])
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts"])
def test_damage_becomes_gaps_and_the_rest_is_read(
    sound_files: dict[str, Path], tmp_path: Path, name: str, kind: str
) -> None:
    whole, none = read(sound_files[name])
    assert none == []
    assert len(whole) == FRAMES
    shown, gaps = read(damage(sound_files[name], tmp_path / name, kind))

    # What is shown is right, and whatever is missing lies in a gap.
    assert {time_s: whole[time_s] for time_s in shown} == shown
    start_s = min(whole)
    missing = [time_s - start_s for time_s in whole if time_s not in shown]
    if kind == "cut off":
        assert max(shown) - start_s < 4.5
        if name == "film.ts":  # Nothing in it says how long it was.
            return
        assert gaps[-1].span.end_s == pytest.approx(FRAMES * STEP_S, abs=0.1)
    else:
        assert gaps
        assert len(shown) >= 0.6 * FRAMES
        assert max(shown) == max(whole)
    spans = [(gap.span.start_s - start_s, gap.span.end_s - start_s) for gap in gaps]
    for time_s in missing:
        assert any(a - STEP_S / 2 <= time_s < b + STEP_S / 2 for a, b in spans), (time_s, spans)
    assert all(gap.reason for gap in gaps)


@pytest.mark.parametrize("rate_hz", [5, 25])
def test_damage_is_a_gap_wherever_it_lies(tmp_path: Path, rate_hz: float) -> None:
    path = write_video(tmp_path / "a.mkv", range(0, 6000, 40), gop=25, noise=True)
    content = path.read_bytes()
    for first in range(len(content) // 2, len(content) // 2 + 9000, 600):
        path.write_bytes(content[:first] + bytes(3000) + content[first + 3000 :])
        with open_video(path, VideoOptions(rate_hz=rate_hz)) as video:
            times_s = np.array([frame.time_s for frame in video.frames()])
        assert len(video.gaps) == 1
        start_s, end_s = video.gaps[0].span.start_s, video.gaps[0].span.end_s
        assert 2 < start_s < end_s < 5
        # Nothing is shown of it, and nothing else is missing.
        assert not ((times_s >= start_s) & (times_s < end_s - 1e-6)).any()
        hole_s = np.diff(times_s).max()
        assert hole_s <= 1 / rate_hz + end_s - start_s + 1e-6


def test_a_gap_is_told_once_by_parts(sound_files: dict[str, Path], tmp_path: Path) -> None:
    path = damage(sound_files["film.mp4"], tmp_path / "film.mp4", "overwritten")
    _, whole = read(path)
    with open_video(path, ALL, threads=1) as video:
        starts = video.part_starts(1.0)
        for start, end in itertools.zip_longest(starts, starts[1:]):
            list(video.frames(start, end))
        total = sum(gap.span.duration_s for gap in video.gaps)
        spans = [gap.span for gap in video.gaps]
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(spans))
    assert total == pytest.approx(sum(gap.span.duration_s for gap in whole), abs=3 * STEP_S)


def test_a_picture_before_a_gap_does_not_last_through_it(
    sound_files: dict[str, Path], tmp_path: Path
) -> None:
    path = damage(sound_files["film.mp4"], tmp_path / "film.mp4", "overwritten")
    with open_video(path, ALL) as video:
        frames = list(video.frames())
    assert max(float((f.end_pts - f.pts) * f.time_base) for f in frames) < 2 * STEP_S


# ---- no video ----


def _text(path: Path) -> Path:
    path.write_text("This is not a video.\n" * 50)
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return _text(path / "notes.txt").parent


def _no_frames(path: Path) -> Path:
    return write_video(path, [])


def _unknown_codec(path: Path) -> Path:
    data = write_video(path, [0, 40]).read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zzz9"))
    return path


def _cut_in_its_index(path: Path) -> Path:
    data = write_video(path, range(0, 2000, 40)).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (_text, "notes.mp4", "not a video"),
        (_text, "notes.txt", "expected a video"),
        (_empty, "empty.mp4", "empty"),
        (lambda path: path, "missing.mp4", "no such file"),
        (_folder, "folder", "no video and no picture in it or the folders below"),
        (write_sound, "sound.m4a", "audio"),
        (_no_frames, "none.mkv", "expected"),
        (_unknown_codec, "codec.mp4", "codec"),
        (_cut_in_its_index, "cut.mp4", "cut off"),
    ],
)
def test_what_is_no_video_is_a_clear_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], Path],
    name: str,
    says: str,
) -> None:
    make(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match=says) as caught:
        open_video(name, ALL)
    # The path is shown as it was given.
    assert str(caught.value).startswith(f"{name}: ")


def test_a_file_that_may_not_be_read_is_a_clear_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "secret.mp4", [0])
    path.chmod(0)
    if os.access(path, os.R_OK):
        # The tests run as root, whom no mode stops: the message alone.
        error: Exception = unreadable(path, PermissionError(13, "Permission denied"))
    else:
        with pytest.raises(VideoError) as caught:
            open_video(path, ALL)
        error = caught.value
    assert "no permission" in str(error)
    assert str(path) in str(error)


# ---- folders of images ----


def test_images_follow_each_other_by_number(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        Image.fromarray(numbered(number)).save(tmp_path / f"frame{number}.png")
    Image.fromarray(numbered(3)).save(tmp_path / "Frame3.JPG", quality=95)
    (tmp_path / "notes.txt").write_text("not an image")
    names = [path.name for path in image_files(tmp_path)]
    assert names == ["frame1.png", "frame2.png", "Frame3.JPG", "frame10.png"]
    options = VideoOptions(image_rate_hz=2.0)
    shown, gaps = read(tmp_path, options)
    assert shown == {0.0: 1, 0.5: 2, 1.0: 3, 1.5: 10}
    assert gaps == []
    with open_video(tmp_path, options) as video:
        assert video.info.duration_s == 2.0
        assert [frame.time_s for frame in video.frames(0.4, 1.5)] == [0.5, 1.0]


def test_a_damaged_image_is_a_gap(tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"nothing")
    shown, gaps = read(tmp_path, VideoOptions())
    assert shown == {0.0: 0, 1.0: 1, 3.0: 3}
    assert [(gap.span.start_s, gap.span.end_s) for gap in gaps] == [(2.0, 3.0)]
    assert "2.png" in gaps[0].reason


# ---- addresses ----


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        # Whoever seeks drops the line in the middle of an answer.
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)

    def do_GET(self) -> None:
        if self.path == "/page":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><html><body>Sign in to watch</body></html>" * 99)
        elif self.path == "/stall":
            time.sleep(4)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self._broadcast()
        else:
            super().do_GET()

    def _broadcast(self) -> None:
        """A live stream: the film's bytes as they come, no length, and the line stays open."""
        data = (Path(self.directory) / "film.ts").read_bytes()
        try:
            for at in range(0, len(data), 18800):
                self.wfile.write(data[at : at + 18800])
            time.sleep(4)
        except OSError:
            pass


@pytest.fixture(scope="module")
def address(sound_files: dict[str, Path]) -> Iterator[str]:
    handler = partial(_Handler, directory=str(sound_files["film.mp4"].parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_an_address_is_read_like_the_file(
    address: str, sound_files: dict[str, Path], name: str
) -> None:
    assert read(f"{address}/{name}") == read(sound_files[name])
    with open_video(f"{address}/{name}", ALL) as video:
        assert not video.info.is_live
        assert video.info.source == f"{address}/{name}"


@pytest.mark.parametrize(
    ("path", "says"), [("page", "web page"), ("stall", "no answer within 1 s"), ("none.mp4", "404")]
)
def test_an_address_without_video_is_an_error_in_bounded_time(
    address: str, path: str, says: str
) -> None:
    began = time.monotonic()
    with pytest.raises(VideoError, match=says) as caught:
        open_video(f"{address}/{path}", ALL)
    assert str(caught.value).startswith(f"{address}/{path}: ")
    assert time.monotonic() - began < 3.5


def test_nobody_answers() -> None:
    for scheme in ("http", "rtsp"):
        with pytest.raises(VideoError, match="refused"):
            open_video(f"{scheme}://127.0.0.1:1/x", VideoOptions(max_duration_s=1))


def test_a_live_stream_is_read_up_to_the_limit(address: str, sound_files: dict[str, Path]) -> None:
    with pytest.raises(OptionError, match="max_duration_s"):
        open_video(f"{address}/endless", ALL)
    options = VideoOptions(rate_hz=5, max_duration_s=3.0, timeout_s=2.0)
    with open_video(f"{address}/endless", options) as video:
        assert video.info.is_live
        assert video.info.duration_s is None
        assert video.part_starts(1.0) == [video.info.start_s]
        frames = list(video.frames())
        assert len(frames) == 15
        assert [number_of(frame.image) for frame in frames] == list(range(0, 75, 5))
        with pytest.raises(VideoError, match="only once"):
            list(video.frames())


def test_a_live_stream_that_stalls_is_an_error(address: str) -> None:
    options = VideoOptions(rate_hz=5, max_duration_s=60.0, timeout_s=1.0)
    with open_video(f"{address}/endless", options) as video:  # noqa: SIM117
        with pytest.raises(VideoError, match="no answer"):
            list(video.frames())


class _Mjpeg(SimpleHTTPRequestHandler):
    """A web camera: four pictures a second, each a part of one endless answer."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number in range(40):
                jpeg = io.BytesIO()
                Image.fromarray(numbered(number)).save(jpeg, "JPEG")
                head = (
                    f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {jpeg.tell()}\r\n\r\n"
                )
                self.wfile.write(head.encode() + jpeg.getvalue() + b"\r\n")
                time.sleep(0.25)

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_source_without_a_clock_is_shown_as_it_arrives() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Mjpeg) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = VideoOptions(rate_hz=1000, max_duration_s=3.0)
        with open_video(f"http://127.0.0.1:{server.server_port}/camera", options) as video:
            times_s = [frame.time_s for frame in video.frames()]
        server.shutdown()
    # Busy machines are slower, never faster; the first pictures come together.
    assert 2 <= len(times_s) <= 15
    assert all(after - before > 0.1 for before, after in itertools.pairwise(times_s[2:]))


def test_a_live_stream_whose_pictures_stay_away_is_an_error(tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.ts", range(0, 1000, 40), audio_s=30.0).read_bytes()
    half = len(data) // 2
    server = socket.create_server(("127.0.0.1", 0))

    def send() -> None:
        with server:
            line, _ = server.accept()
        with line, contextlib.suppress(OSError):
            line.sendall(data[:half])
            for at in range(half, len(data), 1880):
                line.sendall(data[at : at + 1880])
                time.sleep(0.05)

    threading.Thread(target=send, daemon=True).start()
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    options = VideoOptions(rate_hz=5, max_duration_s=60.0, timeout_s=0.5)
    with pytest.raises(VideoError, match=r"no picture came for 0\.5 s"):  # noqa: SIM117
        with open_video(address, options) as video:
            list(video.frames())


# ---- names of contents ----


def test_content_id_follows_the_content(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [0, 40])
    name = content_id(path)
    assert len(name) == 16
    assert int(name, 16) >= 0
    copy = tmp_path / "b.mp4"
    copy.write_bytes(path.read_bytes())
    assert content_id(str(copy)) == name
    copy.write_bytes(path.read_bytes()[:-1] + b"x")
    assert content_id(copy) != name

    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(numbered(number)).save(folder / f"{number}.png")
    before = content_id(folder)
    (folder / "1.png").rename(folder / "2.png")
    assert content_id(folder) != before
    with pytest.raises(VideoError, match="no such file"):
        content_id(tmp_path / "missing.mp4")


def test_content_id_of_an_address_follows_what_the_server_says(
    address: str, sound_files: dict[str, Path]
) -> None:
    name = content_id(f"{address}/film.ts")
    assert name == content_id(f"{address}/film.ts")
    assert name != content_id(f"{address}/film.mkv")
    status = sound_files["film.ts"].stat()
    os.utime(sound_files["film.ts"], (status.st_atime, status.st_mtime - 7200))
    assert content_id(f"{address}/film.ts") != name
    with pytest.raises(VideoError, match="404"):
        content_id(f"{address}/none.mp4")


# ---- interruption ----

_READ_FOR_EVER = """
import sys
from seal.config import VideoOptions
from seal.video import open_video
while True:
    with open_video(sys.argv[1], VideoOptions()) as video:
        for frame in video.frames():
            print("going", flush=True)
"""


def test_an_interrupt_gets_through(sound_files: dict[str, Path]) -> None:
    command = [sys.executable, "-c", _READ_FOR_EVER, str(sound_files["film.mp4"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors
