"""Folders of short videos: several at once, by processes that stay, with the result of one."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import seal
from made_up import CentreTracker, ColourEncoder, HalfSegmenter, MeetingSegmenter, MoodySegmenter
from seal import VideoError
from seal.cli import main
from seal.config.running import LocalOptions
from seal.ingest.run import LocalEngine
from seal.store import Store
from synthetic import write_video
from test_engines import same

SMALL = "video.short_side_px=64"
COUNT = 5
PATIENCE_S = 120


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips of two seconds and some, each of one part."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(COUNT):
        write_video(folder / f"{number}.mp4", range(0, 2000 + 200 * number, 40))
    return folder


def indexed(store: Path, source: Any, jobs: int, segmenter: HalfSegmenter, **how: Any) -> Any:
    return seal.open(store).index(
        source,
        jobs=jobs,
        segmenter=segmenter,
        tracker=CentreTracker(),
        encoder=ColourEncoder(),
        options=[SMALL],
        **how,
    )


def same_stores(a: Path, b: Path) -> None:
    """The same videos with the same tokens; the order of their commits may differ."""
    one, other = Store(a), Store(b)
    ids = {record.id for record in one.videos()}
    assert {record.id for record in other.videos()} == ids
    assert one.unfinished() == other.unfinished() == []
    for video in ids:
        same(one.tokens(video), other.tokens(video))


@pytest.fixture(scope="module")
def wanted(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of them."""
    store = tmp_path_factory.mktemp("wanted") / "store"
    assert len(indexed(store, clips, 1, HalfSegmenter())) == COUNT
    return store


def test_short_videos_are_done_at_once_by_processes_that_stay(
    clips: Path, wanted: Path, tmp_path: Path
) -> None:
    met = tmp_path / "met"
    met.mkdir()
    videos = indexed(tmp_path / "store", clips, 2, MeetingSegmenter(met, 2))
    assert [Path(video.path).name for video in videos] == [f"{n}.mp4" for n in range(COUNT)]
    same_stores(tmp_path / "store", wanted)
    # Two processes were at a video at a time, and there was never a third one.
    pids = {int(path.name) for path in met.iterdir()}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_lone_short_video_starts_no_process(clips: Path, tmp_path: Path) -> None:
    met = tmp_path / "met"
    met.mkdir()
    indexed(tmp_path / "store", [clips / "0.mp4"], 2, MeetingSegmenter(met))
    assert [path.name for path in met.iterdir()] == [str(os.getpid())]


def test_the_videos_in_flight_are_bounded() -> None:
    assert LocalEngine(LocalOptions(), 2, 10_000).videos_at_once == 4
    assert LocalEngine(LocalOptions(), 1, 10_000).videos_at_once == 1


def test_a_killed_process_costs_a_retry_of_its_part_alone(
    clips: Path, wanted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dies = tmp_path / "dies"
    dies.mkdir()
    (dies / "once").touch()
    indexed(tmp_path / "store", clips, 2, MoodySegmenter(dies=dies))
    same_stores(tmp_path / "store", wanted)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert "part 0 is tried again: its worker process died (SIGKILL" in told[0]


def test_a_video_that_is_read_in_one_piece_takes_the_place_of_a_process(
    clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    one = write_video(tmp_path / "one.ts", range(50), time_base=Fraction(1, 25), gop=25)
    # Its clock begins anew in the middle.
    (folder / "2.5.ts").write_bytes(one.read_bytes() * 2)
    for path in clips.iterdir():
        (folder / path.name).symlink_to(path)
    indexed(tmp_path / "wanted", folder, 1, HalfSegmenter())
    met = tmp_path / "met"
    met.mkdir()
    indexed(tmp_path / "store", folder, 2, MeetingSegmenter(met))
    same_stores(tmp_path / "store", tmp_path / "wanted")
    edges = []
    for path in met.iterdir():
        for line in path.read_text().splitlines():
            began, ended = map(float, line.split())
            edges += [(began, 1), (ended, -1)]
    at_work = most = 0
    for _, change in sorted(edges):
        at_work += change
        most = max(most, at_work)
    assert most <= 2
    assert str(os.getpid()) in {path.name for path in met.iterdir()}


def test_copies_are_one_video(clips: Path, tmp_path: Path) -> None:
    """Although several videos are planned before one of them is stored."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.mp4").write_bytes((clips / "0.mp4").read_bytes())
    videos = indexed(tmp_path / "store", folder, 2, HalfSegmenter())
    assert [video.id for video in videos] == [videos[0].id] * 3
    assert videos[0].id.startswith("a-")
    assert len(Store(tmp_path / "store").videos()) == 1


def test_an_error_ends_those_that_are_begun(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "0.mp4").write_bytes(b"nothing")
    with pytest.raises(VideoError, match=r"0\.mp4"):
        indexed(tmp_path / "store", [tmp_path / "0.mp4", *clips.iterdir()], 2, HalfSegmenter())
    done = len(Store(tmp_path / "store").videos())
    time.sleep(0.5)
    assert len(Store(tmp_path / "store").videos()) == done


def command(*words: object) -> tuple[int, list[Any], list[str]]:
    """Exit code, what was printed, and what was told without progress."""
    done = CliRunner().invoke(main, ["index", *map(str, words), "--json", "--set", SMALL])
    told = [line for line in done.stderr.splitlines() if "indexing" not in line]
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], told


def test_the_command_says_the_same_whatever_the_number_of_processes(
    clips: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for path in clips.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "1.5.mp4").write_bytes(b"nothing")
    damaged = bytearray((clips / "2.mp4").read_bytes())
    damaged[len(damaged) // 2 :] = b""
    (folder / "3.5.mp4").write_bytes(damaged)
    found = []
    for jobs in (1, 2):
        code, rows, told = command(folder, "--store", tmp_path / str(jobs), "--jobs", jobs)
        found.append((code, [(row["path"], row["video"], row["tokens"]) for row in rows], told))
    assert found[0] == found[1]
    code, rows, told = found[0]
    assert code == 1
    assert len(rows) == COUNT
    assert ["1.5.mp4" in told[0], "3.5.mp4" in told[1]] == [True, True]
    assert command(folder, "--store", tmp_path / "2", "--jobs", 2, "--quiet")[2] == told


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see the workers")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_ends_all_and_the_next_run_does_the_rest(
    clips: Path, tmp_path: Path, how: signal.Signals
) -> None:
    words = [sys.executable, "-m", "seal.cli", "index", str(clips), "--jobs", "2", "--set", SMALL]
    store = tmp_path / "store"
    words += ["--store", str(store)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    # One video is done, so that others are begun.
    first = process.stdout.readline()
    workers = children(process.pid)
    if how == signal.SIGINT:
        # As a terminal does it: to all of them.
        os.killpg(process.pid, how)
    else:
        process.kill()
    _, err = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        assert process.returncode == (130 if how == signal.SIGINT else -how)
        assert how == signal.SIGKILL or "seal: interrupted; " in err
        assert "Traceback" not in err
    deadline = time.monotonic() + PATIENCE_S
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "processes outlive the command"
        time.sleep(0.05)
    assert first.startswith("0-")
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "already indexed" in again.stdout.splitlines()[0]
    assert len(again.stdout.splitlines()) == COUNT
    assert command(clips, "--store", tmp_path / "one", "--jobs", 1)[0] == 0
    same_stores(store, tmp_path / "one")


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(c) for task in tasks.iterdir() for c in (task / "children").read_text().split()]
