"""Videos to stored tokens: exact times, the same tokens however the work is shared, gaps kept."""

import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from filmed import write_film
from seal import Options, Progress, VideoError, kinds
from seal.asked import draw, show
from seal.errors import NotIndexedError, StoreError
from seal.ingest import index as index_video
from seal.ingest.pool import Pool
from seal.scope import Scope
from seal.store import Store, VideoRecord
from seal.types import Tokens
from seal.video import open_video
from synthetic import turn, write_video

COLUMNS = ["ids", "kinds", "pts", "time_base", "boxes", "scores", "track_rows"]

# Parts begin at keyframes, and those of the film are ten seconds apart.
IN_PARTS = "video.part_s=2"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, seed=3, duration_s=12.0)
    return path


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film at a variable rate, turned by 90 degrees, that starts at 7 s; a disc moves in it."""
    path = tmp_path_factory.mktemp("odd") / "odd.mp4"
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:240, :320]
    ground = rng.integers(60, 120, (240, 320, 3), np.uint8)
    pts = 7000 + np.cumsum(rng.choice([20, 33, 70, 110], 120))
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, tick in enumerate(pts.tolist()):
            image = ground.copy()
            image[(x - 30 - 2 * i) ** 2 + (y - 120) ** 2 < 30**2] = (230, 40, 40)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return turn(path, (0, 1, -1, 0))


def exact_times(path: Path) -> list[Fraction]:
    """When each frame of a file is on the screen, by decoding all of it; and by ffprobe, if it is
    there, which must agree."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
        tick = stream.time_base
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"]
        command += ["-show_entries", "frame=pts", str(path)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert [int(line.strip(",")) * tick for line in lines] == times
    return times


def test_every_token_of_an_odd_file_has_a_frames_exact_time(odd: Path, store: Store) -> None:
    times = exact_times(odd)
    assert times[0] >= 7
    record = index_video(odd, store)
    assert (record.width, record.height) == (240, 320)
    assert record.start_s == float(times[0])
    tokens = store.tokens(record.id)
    assert set(tokens.kinds) == {kind.name for kind in kinds.SEEN}
    known = set(times)
    ends = known | {times[-1] + Fraction(1)}
    for i in range(len(tokens)):
        start, end = tokens.time(i)
        assert start in known
        assert end in ends or end > times[-1]
        assert end <= times[-1] + 1
        assert {float(t) for t in times}.issuperset(tokens.track(i)[:, 0].tolist())
    # The disc moves along the stored width, which is the height of the upright picture.
    best = max(
        (tokens.track(i) for i in range(len(tokens)) if tokens.kinds[i] == "action"), key=len
    )
    travelled = np.ptp(best[:, 2] + best[:, 4]) / 2, np.ptp(best[:, 1] + best[:, 3]) / 2
    assert travelled[0] > 3 * travelled[1]


def same(a: Tokens, b: Tokens) -> None:
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_allclose(a.embeddings, b.embeddings, atol=1e-5)


def test_the_number_of_processes_changes_nothing(film: Path, tmp_path: Path) -> None:
    options = Options.load("mini", [IN_PARTS])
    with open_video(film, options.video) as video:
        assert len(video.part_starts(options.video.part_s)) == 2
    tokens = []
    for jobs in (1, 2):
        store = Store(tmp_path / str(jobs), create=True)
        record = index_video(film, store, options, jobs=jobs)
        tokens.append(store.tokens(record.id))
    same(*tokens)
    assert len(tokens[0]) > 20


def test_workers_that_get_no_plan_end(
    film: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is left to do, where the video turns out to have one part, and at the end of
    their input."""
    started: list[subprocess.Popen[bytes]] = []

    class Seen(Pool):
        def start(self, count: int, options: Options) -> None:
            super().start(count, options)
            started.extend(process for process in self.processes if process not in started)

    monkeypatch.setattr("seal.ingest.run.Pool", Seen)
    options = Options.load("mini", [IN_PARTS])
    counts = []
    # The film has codec keyframes ten seconds apart, so that it has one part of at most seven.
    for given in (
        options,
        options,
        Options.load("mini", ["video.part_s=7", "video.max_duration_s=8"]),
    ):
        index_video(film, store, given, jobs=2)
        counts.append(len(started))
        assert all(process.returncode is not None for process in started)
    assert counts == [2, 4, 6]
    lone = Pool(1)
    lone.start(1, options)
    (process,) = lone.processes
    assert process.stdin
    process.stdin.close()
    assert process.wait(60) == 0
    lone.close()


def test_a_script_needs_no_guard_to_index_with_several_processes(
    film: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import seal\n"
        "print('once')\n"
        f"video = seal.open('store').index({str(film)!r}, jobs=2, options=[{IN_PARTS!r}])\n"
        "print(len(video.tokens))\n"
    )
    run = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[0] == "once"
    assert int(run.stdout.splitlines()[1]) > 20
    assert run.stderr == ""


def test_progress_rises_to_the_length_of_the_film(film: Path, store: Store) -> None:
    seen: list[Progress] = []
    record = index_video(
        film, store, Options.load("mini", [IN_PARTS]), jobs=1, on_progress=seen.append
    )
    indexing = [p.done_s for p in seen if p.stage == "indexing"]
    assert indexing == sorted(indexing)
    # The last analysed frame of each of the two parts ends a little before the part does.
    assert indexing[-1] == pytest.approx(record.duration_s, abs=2 * 0.2)
    assert {p.total_s for p in seen if p.stage == "indexing"} == {record.duration_s}
    assert (seen[0].stage, seen[-1].stage) == ("reading", "storing")


def test_a_damaged_stretch_is_a_gap_and_the_rest_is_indexed(tmp_path: Path, store: Store) -> None:
    path = write_video(tmp_path / "a.mkv", range(0, 12_000, 40), gop=25, noise=True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    record = index_video(path, store)
    assert len(record.gaps) >= 1
    start_s, end_s, reason = record.gaps[0]
    assert 4 < start_s < end_s < 9
    assert reason
    starts = store.tokens(record.id, ["scene"]).start_s
    assert (starts < start_s).any()
    assert (starts >= end_s).any()


def test_gaps_are_kept_that_lie_before_a_part_in_one_pass(tmp_path: Path, store: Store) -> None:
    one = write_video(tmp_path / "one.ts", range(75), time_base=Fraction(1, 25), gop=25, noise=True)
    content = bytearray(one.read_bytes())
    # The first picture of each recording, whose packets come before a third of the first second.
    content[188 * 6 : 188 * 9] = bytes(188 * 3)
    path = tmp_path / "joined.ts"
    path.write_bytes(content * 3)
    options = Options.load(settings=["video.part_s=3"])
    record = index_video(path, store, options)
    with open_video(path, options.video) as video:
        assert sum(1 for _ in video.frames()) > 20
        gaps = [(gap.span.start_s, gap.span.end_s, gap.reason) for gap in video.gaps]
    assert len(gaps) >= 3
    assert list(record.gaps) == gaps
    assert record.duration_s == pytest.approx(9.0, abs=0.1)


def test_a_number_of_scenes_is_kept(film: Path, store: Store) -> None:
    options = Options.load("mini", ["scenes.count=7", IN_PARTS])
    record = index_video(film, store, options)
    assert store.count(record.id)["scene"] == 7
    gaps_s = np.diff(store.tokens(record.id, ["scene"]).start_s)
    assert gaps_s == pytest.approx(12 / 7, abs=0.21)


def test_a_folder_of_images_is_a_video(tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        image = np.full((90, 120, 3), 40 * i, np.uint8)
        image[20:60, 10 * i : 10 * i + 40] = (200, 30, 30)
        with av.open(folder / f"{i}.png", "w") as out:
            stream = out.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = 120, 90, "rgb24"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(stream.encode())
    record = index_video(folder, store)
    assert record.duration_s == 5
    assert store.tokens(record.id, ["scene"]).start_s.tolist() == [0, 2, 4]


@pytest.mark.parametrize("frames", [1, 2])
def test_one_and_two_frames_are_a_video(tmp_path: Path, store: Store, frames: int) -> None:
    path = write_video(tmp_path / "short.mp4", [40 * i for i in range(frames)])
    record = index_video(path, store)
    assert store.count(record.id)["scene"] == 1
    video = Scope.of(store, record.id, "show")
    assert len(video.select("a dog")) == len(video.tokens)
    video.find("a dog")
    show(draw(video, video.find("a dog")), tmp_path / "board.html")


@pytest.mark.parametrize("size", [(16, 16), (7680, 4320)])
def test_tiny_and_huge_pictures(tmp_path: Path, store: Store, size: tuple[int, int]) -> None:
    path = write_video(tmp_path / "a.mp4", [0, 40, 80], size=size, options={"preset": "ultrafast"})
    record = index_video(path, store)
    assert (record.width, record.height) == size
    assert store.count(record.id)["scene"] == 1


def test_each_look_at_a_live_source_is_a_recording_of_its_own(tmp_path: Path, store: Store) -> None:
    """And it is connected to once: single-client cameras allow no more."""
    films = [
        write_video(tmp_path / f"{i}.ts", range(0, 1000 * length, 40))
        for i, length in enumerate((4, 6))
    ]
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for film in films:
            line, _ = server.accept()
            with line:
                line.sendall(film.read_bytes())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    options = Options.load("mini", ["video.max_duration_s=60", "video.part_s=2"])
    first, second = (index_video(address, store, options) for _ in films)
    thread.join(timeout=10)
    server.close()
    assert first.id != second.id
    assert first.duration_s == pytest.approx(4, abs=0.3)
    assert second.duration_s == pytest.approx(6, abs=0.3)
    assert [store.count(r.id)["scene"] for r in (first, second)] == [2, 3]


def test_a_file_that_is_no_video_leaves_no_trace(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing to see " * 1000)
    with pytest.raises(VideoError, match=r"notes\.txt"):
        index_video(path, store)
    assert store.videos() == []


def test_pictures_show_the_tokens_they_belong_to(film: Path, store: Store) -> None:
    record = index_video(film, store)
    tokens = store.tokens(record.id)
    pictures = store.pictures(record.id, tokens)
    assert len(pictures) == len(tokens)
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)
    scenes = tokens.kinds == "scene"
    assert len(set(np.array(pictures, object)[scenes])) == scenes.sum()


def test_other_weights_than_the_tokens_were_made_with_are_refused(film: Path, store: Store) -> None:
    record = index_video(film, store)
    other: VideoRecord = replace(record, encoder="mini-of-another-day")
    store.finish(other, dict(record.keys))
    with pytest.raises(StoreError, match="indexed with other encoder weights"):
        Scope.of(store, record.id, "find").find("a red ball")


def test_a_video_that_is_not_indexed_is_an_error(film: Path, store: Store) -> None:
    with pytest.raises(NotIndexedError, match="not indexed"):
        Scope.of(store, str(film), "show")
