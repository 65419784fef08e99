"""A path is a path, content is what was read, secrets stay out, and the film is what is read."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import seal
from conftest import DATA
from forked import python
from seal import Options, Progress
from seal.cli import main
from seal.config import VideoOptions, deciding
from seal.errors import NotIndexedError, OptionError, VideoError
from seal.ingest import index as index_video
from seal.store import Store
from seal.types import Tokens
from seal.video import content_id, open_video, shown
from seal.video.source import has_no_end, is_address
from synthetic import numbered, write_video

ALL = VideoOptions(rate_hz=1000, timeout_s=2.0)
ANYWHERE = VideoOptions(rate_hz=1000, playlist="anywhere")
STEP_MS = 40


def film_of(path: Path, frames: int) -> Path:
    """A film that is told from others by its number of pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if path.suffix in {".ts", ".mkv"} else ".mkv"
    made = write_video(path.parent / f"made{suffix}", range(0, frames * STEP_MS, STEP_MS), gop=5)
    return made.rename(path)


def pictures(source: str | Path, options: VideoOptions = ALL) -> int:
    with open_video(source, options, threads=1) as video:
        return sum(1 for _ in video.frames())


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A port on loopback, and who has connected to it."""
    came: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, peer = server.accept()
                    came.append(peer)
                    line.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


# ---- a path is a path ----

NAMES = [
    "2024-01-01T12:00:00.ts",
    "concat:other.ts",
    "subfile,,start,0,end,0,,:other.ts",
    "http:127.0.0.1:PORT",
    "http:127.0.0.1:PORT/film.mkv",
    "tcp:127.0.0.1:PORT/film.mkv",
    "file:other.ts",
    "data:text",
    "crypto:other.ts",
    "pipe:0",
    "-",
    "100%.mkv",
    "film%03d.mkv",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_opened_as_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: tuple[int, list[Any]], name: str
) -> None:
    port, came = listener
    name = name.replace("PORT", str(port))
    film_of(tmp_path / "other.ts", 3)
    film_of(tmp_path / "film001.mkv", 4)
    film_of(tmp_path / name, 7)
    monkeypatch.chdir(tmp_path)
    assert not is_address(name)
    assert not has_no_end(name)
    assert pictures(name) == pictures(tmp_path / name) == 7
    assert content_id(name) == content_id(tmp_path / name)
    assert shown(name) == name
    assert came == []


@pytest.mark.parametrize("name", ["concat:001.jpg", "%03d.jpg", "http:127.0.0.1:PORT.png"])
def test_a_picture_is_opened_as_that_file(
    tmp_path: Path, listener: tuple[int, list[Any]], name: str
) -> None:
    port, came = listener
    Image.fromarray(np.full((48, 64, 3), 40, np.uint8)).save(tmp_path / "001.jpg")
    white = Image.fromarray(np.full((48, 64, 3), 220, np.uint8))
    white.save(tmp_path / name.replace("PORT", str(port)))
    # As a picture of a folder, and as a video of its own.
    with open_video(tmp_path, ALL) as video:
        folder = sorted(int(frame.image.mean()) for frame in video.frames())
    with open_video(tmp_path / name.replace("PORT", str(port)), ALL) as video:
        alone = [int(frame.image.mean()) for frame in video.frames()]
    assert folder == [40, 220]
    assert alone == [220]
    assert came == []


def test_a_protocol_that_is_not_meant_for_video_is_named(tmp_path: Path) -> None:
    film = film_of(tmp_path / "film.mkv", 3)
    for address in (f"file://{film}", f"concat://{film}", f"subfile://{film}", "gopher://x/1"):
        with pytest.raises(VideoError, match="does not read addresses of"):
            open_video(address, ALL)


# ---- playlists ----

HLS = """#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:1
#EXT-X-MEDIA-SEQUENCE:0
{tag}
#EXTINF:0.2,
{name}
#EXT-X-ENDLIST
"""
MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000\n{name}\n"
CONCAT = "ffconcat version 1.0\n# a list\nfile '{name}'\nduration 0.2\n"


def playlist(path: Path, text: str, name: str = "", tag: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(name=name, tag=tag))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a playlist, with two segments in it and a film beside it."""
    film_of(tmp_path / "secret.ts", 9)
    film_of(tmp_path / "list" / "parts" / "a 1.ts", 5)
    film_of(tmp_path / "list" / "b.ts", 6)
    (tmp_path / "list" / "link.ts").symlink_to(tmp_path / "secret.ts")
    return tmp_path / "list"


@pytest.mark.parametrize(
    ("name", "text", "segment", "frames"),
    [
        ("a.m3u8", HLS, "parts/a 1.ts", 5),
        ("a.m3u8", HLS, "parts/../b.ts", 6),
        ("a.ffconcat", CONCAT, "parts/a 1.ts", 5),
        ("a.ffconcat", CONCAT, "b.ts", 6),
        ("a.txt", CONCAT, "inner.ffconcat", 6),
    ],
)
def test_a_playlist_reads_its_folder_and_is_all_that_it_names(
    folder: Path, name: str, text: str, segment: str, frames: int
) -> None:
    path = playlist(folder / name, text, segment)
    playlist(folder / "inner.ffconcat", CONCAT, "b.ts")
    assert pictures(path) == frames
    before = content_id(path)
    copy = folder.rename(folder.with_name("copy"))
    assert content_id(copy / name) == before
    for part in (copy / "parts" / "a 1.ts", copy / "b.ts"):
        content = part.read_bytes()
        part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert content_id(copy / name) != before


@pytest.mark.parametrize(
    "segment",
    [
        "../secret.ts",
        "SECRET",
        "file:SECRET",
        "file://SECRET",
        "link.ts",
        "parts/../../secret.ts",
        "http://127.0.0.1:PORT/secret.ts",
        "//127.0.0.1/secret.ts",
        "tcp://127.0.0.1:PORT",
        "concat:../secret.ts",
        "subfile,,start,0,end,0,,:../secret.ts",
        "missing.ts",
    ],
)
@pytest.mark.parametrize("how", ["hls", "key", "map", "master", "nested", "concat", "inside"])
def test_a_playlist_that_leads_elsewhere_is_an_error_that_names_it(
    folder: Path, listener: tuple[int, list[Any]], segment: str, how: str
) -> None:
    port, came = listener
    segment = segment.replace("PORT", str(port)).replace("SECRET", str(folder.parent / "secret.ts"))
    key = {"key": "#EXT-X-KEY:METHOD=AES-128,", "map": "#EXT-X-MAP:"}.get(how, "")
    if how in ("hls", "key", "map"):
        tag = f'{key}URI="{segment}"' if key else ""
        path = playlist(folder / "a.m3u8", HLS, "b.ts" if key else segment, tag)
    elif how == "master":
        path = playlist(folder / "a.m3u8", MASTER, segment)
    elif how == "nested":
        playlist(folder / "inner.m3u8", HLS, segment)
        path = playlist(folder / "a.m3u8", MASTER, "inner.m3u8")
    elif how == "inside":
        # A playlist under the name of a film.
        playlist(folder / "film.ts", CONCAT, segment)
        path = playlist(folder / "a.m3u8", HLS, "film.ts")
    else:
        path = playlist(folder / "a.ffconcat", CONCAT, segment)
    with pytest.raises(VideoError, match="playlist names") as caught:
        open_video(path, ALL)
    assert segment in str(caught.value)
    assert came == []


def test_an_option_lets_a_playlist_read_anywhere(folder: Path) -> None:
    for name, text in (("a.m3u8", HLS), ("a.ffconcat", CONCAT)):
        path = playlist(folder / name, text, "../secret.ts")
        assert pictures(path, ANYWHERE) == 9
        before = content_id(path, ANYWHERE)
        assert before != content_id(folder.parent / "secret.ts")
    with pytest.raises(OptionError, match="folder, anywhere"):
        Options.load("mini", ["video.playlist=all"])


def test_a_playlist_cannot_change_what_is_allowed(folder: Path) -> None:
    for line in ("option protocol_whitelist file,http", "unknown x", "x" * 5000):
        path = playlist(folder / "a.ffconcat", CONCAT + line + "\n", "b.ts")
        with pytest.raises(VideoError, match=r"not allowed|too long"):
            open_video(path, ALL)


def test_a_playlist_that_leads_back_to_itself_is_an_error(folder: Path) -> None:
    for name, text in (("a.ffconcat", CONCAT), ("a.m3u8", HLS)):
        path = playlist(folder / name, text, name)
        with pytest.raises(VideoError, match="named before"):
            open_video(path, ALL)
    # Each of thirty lists names the next one twice.
    for i in range(30):
        playlist(folder / f"{i}.ffconcat", CONCAT + f"file {i + 1}.ffconcat\n", f"{i + 1}.ffconcat")
    with pytest.raises(VideoError, match="named before"):
        open_video(folder / "0.ffconcat", ALL)
    playlist(folder / "inner.m3u8", HLS, "b.ts")
    sound = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="inner.m3u8"\n'
    assert pictures(playlist(folder / "a.m3u8", MASTER + sound, "inner.m3u8")) == 6


# ---- content is what was read ----

SHORT = ["video.part_s=1", "scenes.interval_s=0.5"]


def columns(tokens: Tokens) -> list[Any]:
    return [tokens.ids.tolist(), tokens.pts.tolist(), tokens.embeddings.tobytes()]


def replaced(path: Path, other: bytes) -> None:
    (path.parent / "new").write_bytes(other)
    (path.parent / "new").rename(path)


def grown(path: Path, other: bytes) -> None:
    with path.open("ab") as file:
        file.write(other)


def cut_off(path: Path, other: bytes) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("change", "jobs"), [(replaced, 1), (replaced, 2), (grown, 1), (cut_off, 1), (cut_off, 2)]
)
def test_a_file_that_changes_while_it_is_read_is_an_error(
    tmp_path: Path, change: Any, jobs: int
) -> None:
    film, other = tmp_path / "film.mkv", tmp_path / "other.mkv"
    for path, colour in ((film, 0), (other, 90)):
        write_video(path, range(0, 4000, STEP_MS), gop=25, noise=bool(colour))
    content, store = film.read_bytes(), Store(tmp_path / "store", create=True)
    options, changed = Options.load("mini", SHORT), []

    def on_progress(progress: Progress) -> None:
        if progress.stage == "indexing" and not changed:
            changed.append(True)
            change(film, other.read_bytes())

    with pytest.raises(VideoError, match=r"film\.mkv: the file was replaced or written to"):
        index_video(film, store, options, jobs=jobs, on_progress=on_progress)
    assert changed
    assert store.videos() == []
    # Nothing of the other file stays under the name of this one.
    film.write_bytes(content)
    record = index_video(film, store, options, jobs=1)
    fresh = Store(tmp_path / "fresh", create=True)
    assert index_video(film, fresh, options, jobs=1).id == record.id
    assert columns(store.tokens(record.id)) == columns(fresh.tokens(record.id))


def test_a_segment_that_changes_while_it_is_read_is_an_error(folder: Path) -> None:
    path = playlist(folder / "a.ffconcat", CONCAT, "b.ts")
    store = Store(folder / "store", create=True)

    def on_progress(progress: Progress) -> None:
        if progress.stage == "indexing":
            os.utime(folder / "b.ts", ns=(1, 1))

    with pytest.raises(VideoError, match=r"b\.ts: the file was replaced or written to"):
        index_video(path, store, on_progress=on_progress)


def test_a_playlist_whose_segment_changed_is_not_answered_from_its_old_tokens(
    folder: Path,
) -> None:
    path, library = playlist(folder / "a.m3u8", HLS, "b.ts"), seal.open(folder / "store")
    first = library.index(path, jobs=1)
    assert library.video(path).id == first.id
    film_of(folder / "b.ts", 8)
    with pytest.raises(NotIndexedError):
        library.video(path)
    assert library.index(path, jobs=1).id != first.id


def index_command(*arguments: str | Path, program: Sequence[str] | None = None) -> list[str]:
    command = ["-m", "seal.cli", "index", "--json", "--set", "video.part_s=1"]
    return [*(program or python()), *command, *map(str, arguments)]


def test_what_comes_through_a_pipe_is_a_new_recording(tmp_path: Path) -> None:
    films = [film_of(tmp_path / f"{frames}.mkv", frames) for frames in (5, 9)]
    fifo, ids = tmp_path / "fifo", []
    os.mkfifo(fifo)
    for film in films:
        read, write = os.pipe()
        for name in ("/dev/stdin", f"/dev/fd/{read}", fifo):
            # What forks gets no other files.
            program = [sys.executable] if name == f"/dev/fd/{read}" else None
            command = index_command(name, "--store", tmp_path / "store", program=program)
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[read]
            ) as process:
                assert process.stdin
                assert process.stdout
                if name == "/dev/stdin":
                    process.stdin.write(film.read_bytes())
                elif name == fifo:
                    fifo.write_bytes(film.read_bytes())
                else:
                    os.write(write, film.read_bytes())
                    os.close(write)
                process.stdin.close()
                ids.append(json.loads(process.stdout.read())["video"])
        os.close(read)
    store = Store(tmp_path / "store")
    assert len(set(ids)) == 6
    lengths_s = [store.resolve(name).duration_s for name in ids]
    assert lengths_s == pytest.approx([0.2] * 3 + [0.36] * 3)


def test_a_long_recording_comes_through_a_pipe_in_one_pass(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mkv", range(0, 4000, STEP_MS), gop=25, noise=True)
    assert film.stat().st_size > 100_000
    command = index_command("-", "--store", tmp_path / "store", "--jobs", "2")
    got = subprocess.run(command, input=film.read_bytes(), stdout=subprocess.PIPE)
    assert json.loads(got.stdout)["duration_s"] == pytest.approx(4.0)


def test_a_file_on_stdin_is_that_file(tmp_path: Path) -> None:
    film, ids = tmp_path / "film.mkv", []
    write_video(film, range(0, 4000, STEP_MS), gop=25)
    for name in ("-", "/dev/stdin", "/dev/fd/0"):
        with film.open("rb") as file:
            command = index_command(name, "--store", tmp_path / "store", "--jobs", "2")
            got = json.loads(subprocess.run(command, stdin=file, stdout=subprocess.PIPE).stdout)
        ids.append(got["video"])
        assert got["path"] == str(film)
    assert len(set(ids)) == 1
    # A file without a name can be read by this process alone.
    with film.open("rb") as file:
        film.unlink()
        command = index_command("-", "--store", tmp_path / "other", "--jobs", "2")
        got = json.loads(subprocess.run(command, stdin=file, stdout=subprocess.PIPE).stdout)
    assert got["video"][-8:] == ids[0][-8:]


def test_the_cases_through_a_pipe(tmp_path: Path) -> None:
    names = DATA.parent / "cases" / "names"
    if not names.is_dir():
        pytest.skip(f"no cases at {names}")
    ids = []
    for film in ("c3.mkv", "d3.mkv"):
        command = index_command("/dev/stdin", "--store", tmp_path / "store")
        data = (names / film).read_bytes()
        got = subprocess.run(command, input=data, stdout=subprocess.PIPE)
        ids.append(json.loads(got.stdout)["video"])
    assert len(set(ids)) == 2


# ---- addresses ----

SECRETS = ("S1GNATUREA", "S1GNATUREB", "hunter2", "us3r")


class _Handler(SimpleHTTPRequestHandler):
    seen: list[str | None]

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.seen.append(self.headers["Authorization"])
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str | None]]]:
    """Host and port of a web server, its folder, and the Authorization of each request."""
    folder = tmp_path / "web"
    film_of(folder / "film.mkv", 6)
    handler = partial(_Handler, directory=str(folder))
    _Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", folder, _Handler.seen
        server.shutdown()
    thread.join()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("http://h/film.mp4", "http://h/film.mp4"),
        ("rtsp://us3r:hunter2@h:554/x", "rtsp://h:554/x"),
        ("HTTPS://us3r@[::1]:8/x#S1GNATUREA", "HTTPS://[::1]:8/x"),
        ("http://us3r:hunter/2@h/x", "http://..."),
        ("http://us3r:hunter#2@h/x", "http://..."),
        ("film?X-Sig=A.mp4", "film?X-Sig=A.mp4"),
    ],
)
def test_an_address_is_shown_without_secrets(source: str, name: str) -> None:
    assert shown(source) == shown(name) == name


def test_a_query_is_shown_as_a_hash() -> None:
    names = [shown(f"http://us3r:hunter2@h/x?v=1&X-Sig={one}") for one in SECRETS[:2]]
    assert len(set(names)) == 2
    for name in names:
        assert name.startswith("http://h/x?query-")
        assert shown(name) == name
        assert shown(name, with_query=False) == "http://h/x"


def all_bytes(folder: Path) -> bytes:
    return b"".join(
        os.fsencode(path) + (path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    )


@pytest.mark.parametrize("ignored", [False, True])
def test_secrets_of_an_address_are_neither_stored_nor_printed(
    tmp_path: Path, server: tuple[str, Path, list[str | None]], ignored: bool
) -> None:
    host, folder, seen = server
    store, printed, ids = tmp_path / "store", "", []
    settings = ["--set", "video.address_query=ignored"] if ignored else []
    addresses = [f"http://us3r:hunter2@{host}/film.mkv?X-Sig={one}" for one in SECRETS[:2]]

    def run(*arguments: str | Path) -> Any:
        nonlocal printed
        result = CliRunner().invoke(main, [*map(str, arguments), "--store", str(store)])
        printed += result.stdout + result.stderr + repr(result.exception)
        return result

    for address in addresses:
        result = run("index", address, "--json", *settings)
        assert result.exit_code == 0, result.stderr
        ids.append(json.loads(result.stdout)["video"])
        assert json.loads(run("tokens", address, "--json").stdout)
    # Both FFmpeg and SEAL itself logged in.
    assert seen.count(None) < len(seen)
    assert len(set(ids)) == (1 if ignored else 2)
    state = tmp_path / "state"
    assert run_watch(addresses[0], state, settings, tmp_path) == 0
    run("list")
    run("list", "--json")
    run("show", ids[0], "a ball", "-o", tmp_path / "page.html")
    for wrong in ("missing.mkv", "page"):
        (folder / "page").write_text("<!doctype html>" * 99)
        assert run("index", addresses[0].replace("film.mkv", wrong)).exit_code == 1
        assert run("find", addresses[0].replace("film.mkv", wrong), "a ball").exit_code == 1
    assert run("remove", addresses[1]).exit_code == 0
    for secret in SECRETS:
        assert secret not in printed
        assert secret.encode() not in all_bytes(store)
        for path in (state, tmp_path / "page.html", tmp_path / "watched"):
            assert secret.encode() not in path.read_bytes()


def run_watch(address: str, state: Path, settings: list[str], folder: Path) -> int:
    arguments = ["watch", address, "--state", str(state), "--json", *settings]
    result = CliRunner().invoke(main, arguments)
    (folder / "watched").write_text(result.stdout + result.stderr)
    return result.exit_code


def test_an_error_about_an_address_has_no_secret_in_its_causes() -> None:
    for address in ("http://us3r:hunter2@127.0.0.1:1/x?S1GNATUREA", "http://us3r:hunter2@[::1/x"):
        for call in (partial(open_video, address, ALL), partial(content_id, address)):
            with pytest.raises(VideoError) as caught:
                call()
            error: BaseException | None = caught.value
            while error is not None:
                assert not [secret for secret in SECRETS if secret in f"{error} {error.args!r}"]
                error = (
                    None
                    if error.__suppress_context__ and not error.__cause__
                    else (error.__cause__ or error.__context__)
                )


@pytest.mark.parametrize(("text", "suffix"), [(HLS, ".m3u8"), (CONCAT, ".ffconcat")])
def test_a_playlist_from_elsewhere_reads_no_local_file(
    tmp_path: Path, server: tuple[str, Path, list[str | None]], text: str, suffix: str
) -> None:
    host, folder, _ = server
    film = film_of(tmp_path / "local.ts", 5)
    options = VideoOptions(rate_hz=1000, max_duration_s=9.0, timeout_s=2.0)
    for name in (f"file:{film}", f"file://{film}", str(film), f"subfile,,start,0,end,0,,:{film}"):
        playlist(folder / f"a{suffix}", text, name)
        with pytest.raises(VideoError):
            pictures(f"http://{host}/a{suffix}", options)


# ---- which stream ----


def two_streams(path: Path, sizes: list[tuple[int, int]], default: int | None = None) -> Path:
    """A film with several video streams, of which at most one is marked as default."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, (width, height) in enumerate(sizes):
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, 25)
            is_default = av.stream.Disposition.default if number == default else 0
            stream.disposition = av.stream.Disposition(is_default)
            streams.append(stream)
        for stream in streams:
            for i in range(4):
                frame = av.VideoFrame.from_ndarray(
                    numbered(i, stream.width, stream.height), "rgb24"
                )
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def size(path: Path, options: VideoOptions = ALL) -> tuple[int, int]:
    with open_video(path, options) as video:
        return video.info.width, video.info.height


def test_the_default_stream_is_read_or_else_the_largest(tmp_path: Path) -> None:
    sizes = [(64, 48), (320, 240), (160, 120)]
    marked = two_streams(tmp_path / "marked.mkv", sizes, default=2)
    assert size(marked) == (160, 120)
    unmarked = two_streams(tmp_path / "unmarked.ts", sizes)
    assert size(unmarked) == (320, 240)
    for number, expected in enumerate(sizes):
        assert size(marked, VideoOptions(stream=number)) == expected
    with pytest.raises(OptionError, match=r"no video stream 3 .*0: mpeg4 64x48; 1: .*\(default\)"):
        open_video(marked, VideoOptions(stream=3))
    with pytest.raises(OptionError, match="stream must be at least 0"):
        VideoOptions(stream=-1)


def test_a_thumbnail_before_the_film_is_not_the_film() -> None:
    path = DATA.parent / "cases" / "stream" / "thumbfirst.mp4"
    if not path.is_file():
        pytest.skip(f"no case at {path}")
    assert size(path) == (320, 180)
    assert size(path, VideoOptions(stream=0)) == (64, 36)


def test_options_that_came_later_leave_the_keys_of_stored_tokens() -> None:
    before = {"rate_hz", "short_side_px", "part_s", "max_duration_s", "image_rate_hz"}
    assert set(deciding(VideoOptions(playlist="anywhere", address_query="ignored"))) == before
    assert deciding(VideoOptions(stream=0))["stream"] == 0


def test_a_cover_is_not_the_film(tmp_path: Path) -> None:
    """Neither an attached picture nor a stream of one still, however large."""
    film = write_video(tmp_path / "film.mp4", range(0, 400, STEP_MS), size=(64, 48))
    cover = tmp_path / "cover.png"
    Image.fromarray(numbered(1)).save(cover)
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg to attach a cover with")
    for name, disposition in (("attached.mp4", "attached_pic"), ("still.mp4", "default")):
        made = tmp_path / name
        command = ["ffmpeg", "-v", "error", "-i", cover, "-i", film, "-map", "0", "-map", "1"]
        command += ["-c:v:0", "mjpeg", "-c:v:1", "copy", "-disposition:v:0", disposition]
        subprocess.run([*command, made], check=True)
        assert size(made) == (64, 48)
