"""One plan, several engines: the same tokens, retries with a limit, dead letters, shards."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import seal
from made_up import CentreTracker, ColourEncoder, HalfSegmenter, MoodySegmenter
from seal import Options, Progress
from seal.cli import main
from seal.decompose import Instances
from seal.errors import OptionError, UnfinishedError, VideoError
from seal.ingest import OnProgress, Shard, index, index_share
from seal.ingest.batch import Batch
from seal.ingest.engine import StoppedError
from seal.segment import Masks
from seal.store import Store
from seal.types import Tokens
from synthetic import write_video

IN_PARTS = ["video.part_s=4", "video.short_side_px=64"]
PARTS = 3
SECOND_S = (2.6, 7.8)
"""When the second part begins and ends."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds that are cut in three parts of two, three and three object keyframes."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", range(0, 12_000, 40), gop=50)


def made_up(segmenter: HalfSegmenter | None = None) -> Instances:
    """Models that take no time, of which one may fail."""
    return Instances(
        segmenter=segmenter or HalfSegmenter(), tracker=CentreTracker(), encoder=ColourEncoder()
    )


def indexed(path: Path, store: Path, instances: Instances, *settings: str, jobs: int = 1) -> Tokens:
    opened = Store(store, create=True)
    options = Options.load(settings=[*IN_PARTS, *settings], task="index")
    record = index(path, opened, options, instances=instances, jobs=jobs)
    return opened.tokens(record.id)


def same(a: Tokens, b: Tokens) -> None:
    for name in a.__dataclass_fields__:
        if name != "video_ids":
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.fixture(scope="module")
def wanted(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    tokens = indexed(clip, tmp_path_factory.mktemp("wanted") / "store", made_up())
    assert Counter(tokens.kinds.tolist()) == {"scene": 6, "object": 16, "action": 6}
    return tokens


def test_a_part_that_fails_once_is_tried_again_from_its_start(
    clip: Path, wanted: Tokens, tmp_path: Path
) -> None:
    """Also in its middle: nothing of the try that failed is left in the tracker."""
    for name, fails in (("first", [0]), ("middle", [3]), ("several", [1, 3, 5])):
        same(indexed(clip, tmp_path / name, made_up(MoodySegmenter(fails))), wanted)


def test_a_part_that_fails_each_time_is_a_dead_letter_and_the_next_run_completes_the_video(
    clip: Path, wanted: Tokens, tmp_path: Path
) -> None:
    # The first part has the calls 0 and 1, the second fails at once, the third has 3 to 5.
    moody = made_up(MoodySegmenter([2, 6, 7]))
    with pytest.raises(UnfinishedError, match=r"1 of 3 parts .* tried 3 times: the segmenter") as e:
        indexed(clip, tmp_path, moody)
    (share,) = e.value.shares
    assert not share.is_complete
    (letter,) = share.dead
    assert (letter.part, letter.start_s, letter.end_s, letter.tries) == (1, *SECOND_S, 3)
    listed = seal.open(tmp_path).listing()
    assert listed.videos == []
    assert listed.dead == {share.video: (letter,)}
    assert str(letter) in str(listed)
    store = Store(tmp_path)
    (begun,) = store.unfinished()
    assert dict(begun.done) == {"scene": 2, "object": 2, "action": 2}
    # A part that is tried again and fails at another time says so, once.
    with pytest.raises(UnfinishedError, match="tried once"):
        indexed(clip, tmp_path, made_up(MoodySegmenter([1])), "engine.retries=0")
    (begun,) = store.unfinished()
    assert [(each.part, each.tries) for each in begun.dead] == [(1, 1)]
    store.optimize(purge=True)
    assert store.unfinished() == [begun]
    same(indexed(clip, tmp_path, made_up()), wanted)
    assert store.unfinished() == []


def test_dead_parts_can_be_gaps_for_good(clip: Path, tmp_path: Path) -> None:
    how = ("engine.retries=0", "engine.dead_parts=gaps")
    tokens = indexed(clip, tmp_path, made_up(MoodySegmenter([2])), *how)
    assert not ((tokens.start_s >= SECOND_S[0]) & (tokens.start_s < SECOND_S[1])).any()
    (record,) = Store(tmp_path).videos()
    assert "  0:05.2 could not be read  " in str(seal.open(tmp_path).listing())
    ((start_s, end_s, reason),) = record.gaps
    assert (start_s, end_s) == SECOND_S
    assert reason == "not indexed, tried 1 times: the segmenter is in no mood"
    same(indexed(clip, tmp_path, made_up()), tokens)


def test_workers_that_die_are_replaced_until_the_limit(
    clip: Path, wanted: Tokens, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def dying(deaths: int) -> Instances:
        folder = tmp_path / f"deaths-{deaths}"
        folder.mkdir()
        for number in range(deaths):
            (folder / str(number)).touch()
        return made_up(MoodySegmenter(dies=folder))

    same(indexed(clip, tmp_path / "twice", dying(2), jobs=2), wanted)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.rpartition("; ")[2] for line in told] == ["1 so far", "2 so far"]
    assert all(
        "is tried again: its worker process died (SIGKILL; if memory" in line for line in told
    )
    with pytest.raises(UnfinishedError, match=r"its worker process died \(SIGKILL") as caught:
        # Two tries of three parts, and each of them dies.
        indexed(clip, tmp_path / "often", dying(6), "engine.retries=1", jobs=2)
    assert [(d.part, d.tries) for d in caught.value.shares[0].dead] == [(0, 2), (1, 2), (2, 2)]
    same(indexed(clip, tmp_path / "often", made_up()), wanted)


def test_progress_names_the_workers(clip: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    store = Store(tmp_path, create=True)
    options = Options.load(settings=IN_PARTS)
    index(clip, store, options, jobs=2, on_progress=seen.append)
    working = [progress.workers for progress in seen if progress.workers]
    # Whether both are at a part at one moment is up to the machine.
    names = {worker.name for workers in working for worker in workers}
    assert len(names) == 2
    assert all(re.fullmatch(r"process \d+", name) for name in names)
    assert seen[-2].done_s == pytest.approx(12, abs=0.2)
    assert seen[-2].workers == ()


# Shards


def test_the_parts_of_a_list_of_videos_are_shared_out_evenly() -> None:
    for count, videos, parts in ((4, 1, 3), (64, 103, 34), (64, 10_000, 1), (7, 50, 2)):
        shares = Counter[int]()
        for place in range(videos):
            shards = [Shard(number, count, place) for number in range(1, count + 1)]
            for part in range(parts):
                (owner,) = [shard for shard in shards if shard.has(part)]
                shares[owner.number] += 1
        assert max(shares.values()) <= 1.1 * videos * parts / count + 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2"])
def test_a_wrong_shard_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="1/64 to 64/64"):
        Shard.parse(text)


def shards_of(clip: Path, store: Path, numbers: range, **how: Any) -> list[Any]:
    opened = Store(store, create=True)
    options = Options.load(settings=IN_PARTS)
    return [index_share(clip, opened, options, shard=Shard(number, 4), **how) for number in numbers]


def test_four_shards_make_the_tokens_of_one_process(
    clip: Path, wanted: Tokens, tmp_path: Path
) -> None:
    shares = shards_of(clip, tmp_path, range(1, 5), instances=made_up())
    # Whichever comes last completes it; the fourth has none of the three parts.
    assert [(s.own, s.parts, s.is_complete) for s in shares] == [
        (1, 3, False),
        (1, 3, False),
        (1, 3, True),
        (0, 3, True),
    ]
    store = Store(tmp_path)
    same(store.tokens(store.videos()[0].id), wanted)
    before = store.videos()
    assert [s.is_complete for s in shards_of(clip, tmp_path, range(1, 5), instances=made_up())] == [
        True
    ] * 4
    assert store.videos() == before


class _ThreadCounter(HalfSegmenter):
    """Notes how many threads OpenCV has while it works."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = set[int]()

    def segment(self, image: np.ndarray) -> Masks:
        self.seen.add(cv2.getNumThreads())
        return super().segment(image)


def test_shards_leave_the_other_cores_to_each_other(clip: Path, tmp_path: Path) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        for shard, threads in ((Shard(1, 2), 1), (Shard(1, 1), 3)):
            counter = _ThreadCounter()
            store, options = (
                Store(tmp_path / str(threads), create=True),
                Options.load(settings=IN_PARTS),
            )
            index_share(clip, store, options, shard=shard, instances=made_up(counter))
            assert counter.seen == {threads}
            assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_shard_that_was_killed_before_its_commit_is_run_again(
    clip: Path, wanted: Tokens, tmp_path: Path
) -> None:
    """All parts are stored, and nobody has committed: any shard with a part of it does."""
    store = Store(tmp_path, create=True)
    finish, store_class = Store.finish, Store
    store_class.finish = lambda *_: 1 / 0  # type: ignore[assignment,method-assign]
    try:
        with pytest.raises(ZeroDivisionError):
            shards_of(clip, tmp_path, range(1, 4), instances=made_up())
    finally:
        store_class.finish = finish  # type: ignore[method-assign]
    assert store.videos() == []
    (share,) = shards_of(clip, tmp_path, range(1, 2), instances=made_up())
    assert share.is_complete
    same(store.tokens(share.video), wanted)


def test_a_video_that_cannot_be_cut_belongs_to_one_shard(tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", range(0, 2000, 40))
    shares = shards_of(short, tmp_path / "store", range(1, 5), instances=made_up())
    assert [(share.own, share.is_complete) for share in shares] == [
        (1, True),
        (0, True),
        (0, True),
        (0, True),
    ]
    os.mkfifo(tmp_path / "pipe")
    # Nobody writes into it: opening it would wait for ever.
    (share,) = shards_of(tmp_path / "pipe", tmp_path / "store", range(2, 3), instances=made_up())
    assert (share.own, share.video, share.is_complete) == (0, "", False)


def seal_index(*arguments: object) -> tuple[int, list[Any], str]:
    done = CliRunner().invoke(main, ["index", *map(str, arguments), "--json"])
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_command_says_of_a_shard_what_it_has_done(clip: Path, tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", range(0, 2000, 40))
    arguments = [clip, short, "--store", tmp_path / "store", "--jobs", 1]
    arguments += [word for setting in IN_PARTS for word in ("--set", setting)]
    code, rows, _ = seal_index(*arguments, "--shard", "1/2")
    assert code == 0
    assert [(row["own"], row["parts"], row["complete"]) for row in rows] == [
        (2, 3, False),
        (0, 1, False),
    ]
    assert rows[0] | {"video": 0, "path": 0} == {
        "video": 0, "path": 0, "shard": "1/2", "parts": 3, "own": 2, "complete": False, "dead": [],
    }  # fmt: skip
    code, rows, _ = seal_index(*arguments, "--shard", "2/2")
    assert code == 0
    assert [row["complete"] for row in rows] == [True, True]
    assert len(seal.open(tmp_path / "store")) == 2
    assert seal_index(*arguments, "--shard", "3/2")[0] == 1
    assert seal_index(*arguments, "--shard", "1/2", "--quick")[0] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_the_command_lists_dead_letters_at_the_end_and_goes_on(clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", range(0, 4000, 40))
    plugin = tmp_path / "plugin"
    about = plugin / "dying-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dying\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[seal.backends]\nsegment.dying = dying:Dying\n")
    (plugin / "dying.py").write_text(
        "import os, signal, made_up\n"
        "class Dying(made_up.HalfSegmenter):\n"
        "    def segment(self, image):\n"
        "        if 'DIES' in os.environ:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().segment(image)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(plugin), str(Path(__file__).parent), *sys.path])
    }
    store = tmp_path / "store"
    command = [sys.executable, "-m", "seal.cli", "index", clip, other, "--store", store, "--json"]
    command += ["--jobs", "2", "--set", "segment.backend=dying", "--set", "track.backend=motion"]
    command += ["--set", "engine.retries=0"]
    command += [word for setting in IN_PARTS for word in ("--set", setting)]
    done = subprocess.run(
        command,
        env=environment | {"DIES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["complete"], row["parts"], row["own"]) for row in rows] == [
        (False, PARTS, PARTS),
        (False, 1, 1),
    ]
    assert [[letter["part"] for letter in row["dead"]] for row in rows] == [[0, 1, 2], [0]]
    told = [line for line in done.stderr.splitlines() if ", tried " in line]
    assert len(told) == PARTS + 1
    assert told[0].startswith(f"seal: {clip}: part 0 (0:00.0–0:02.6), tried once: its worker")
    listed = CliRunner().invoke(main, ["list", "--store", str(store)]).stdout
    assert listed.count("tried once: its worker process died (SIGKILL") == PARTS + 1
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert Store(store).unfinished() == []


# Several at a time


def test_a_batch_begins_in_order_works_on_some_at_a_time_and_ends_in_order() -> None:
    meeting, begun, seen = threading.Barrier(3, timeout=60), list[int](), list[Progress]()

    def work(number: int, on_progress: OnProgress, end_turn: Callable[[], None]) -> int:
        begun.append(number)
        on_progress(Progress("reading", number))
        end_turn()
        if number < 3:
            # All three are at work before one of them ends.
            meeting.wait()
        on_progress(Progress("indexing", number))
        if number == 4:
            raise VideoError("four")
        return number

    ended = []
    for number, outcome in Batch(work, range(5), 3, seen.append):
        if number == 4:
            with pytest.raises(VideoError, match="four"):
                outcome()
        else:
            assert outcome() == number
        ended.append(number)
    assert begun == ended == [0, 1, 2, 3, 4]
    # Progress is that of the one that is waited for, so it never goes back.
    told = [progress.done_s for progress in seen]
    assert told == sorted(told)


def test_one_that_keeps_its_turn_is_alone_with_those_before() -> None:
    at_work, most = set[int](), list[int]()

    def work(number: int, on_progress: OnProgress, end_turn: Callable[[], None]) -> int:
        at_work.add(number)
        most.append(len(at_work))
        time.sleep(0.01)
        at_work.remove(number)
        return number

    assert [outcome() for _, outcome in Batch(work, range(6), 3, lambda progress: None)] == [
        *range(6)
    ]
    assert set(most) == {1}


def test_a_batch_that_nobody_waits_for_stops_and_waits_for_its_threads() -> None:
    go_on, errors = threading.Event(), list[BaseException]()

    def work(number: int, on_progress: OnProgress, end_turn: Callable[[], None]) -> int:
        end_turn()
        if number:
            go_on.wait(60)
            try:
                on_progress(Progress("indexing", 1.0))
            except BaseException as error:
                errors.append(error)
                raise
        return number

    batch = iter(Batch(work, range(8), 2, lambda progress: None, go_on.set))
    _, outcome = next(batch)
    assert outcome() == 0
    batch.close()
    assert errors
    assert {type(error) for error in errors} == {StoppedError}
    # Of the other seven, those began that had a thread.
    assert len(errors) <= 2


# The cost


def test_the_plan_says_what_it_will_cost(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / "no.mp4").write_bytes(b"nothing")
    code = 1

    def planned(*arguments: str) -> Any:
        command = ["plan", str(folder), "--set", "video.part_s=4", "--jobs", "4", "--json"]
        run = CliRunner().invoke(main, [*command, *arguments])
        assert run.exit_code == code, run.output
        return json.loads(run.stdout)

    found = planned()
    assert (found["videos"], found["parts"], found["speed"], found["seconds"]) == (2, 6, None, None)
    assert found["hours"] == pytest.approx(24 / 3600)
    assert [row["path"] for row in found["unknown"]] == [str(folder / "no.mp4")]
    (folder / "no.mp4").unlink()
    code = 0
    # Six parts of four seconds on four processes: two rounds, also of shards.
    at_speed = planned("--speed", "2")
    assert at_speed["seconds"] == pytest.approx(2 * 4 / 2)
    assert at_speed["shared_seconds"] == pytest.approx(2 * 4 / 2)
    # Videos of one part are done at the same time.
    whole = ("--speed", "2", "--set", "video.part_s=60")
    assert planned(*whole)["seconds"] == pytest.approx(12 / 2)
    assert planned(*whole, "--jobs", "1")["seconds"] == pytest.approx(2 * 12 / 2)
    # A clock that begins anew: the command reads such a video itself, and what follows it waits.
    one = write_video(tmp_path / "one.ts", range(100), time_base=Fraction(1, 25), gop=25)
    for name in ("aa.ts", "ab.ts"):
        (folder / name).write_bytes(one.read_bytes() * 2)
    alone = planned(*whole)
    assert alone["seconds"] == pytest.approx((12 + 8 + 8) / 2, abs=0.3)
    assert alone["shared_seconds"] == pytest.approx(12 / 2, abs=0.1)
    assert (
        "by --shard: videos that cannot be cut"
        in CliRunner().invoke(main, ["plan", str(folder), *whole, "--jobs", "4"]).stdout
    )
    for name in ("aa.ts", "ab.ts"):
        (folder / name).unlink()
    base = planned("--profile", "base")["passes"]
    assert base["track"] == 24 * 5
    assert base["segment"] == 24 // 2 * 2
    assert base["encode"] == 12 + 12 * 8
    measured = planned("--measure")
    assert measured["measured"]
    assert measured["speed"] > 0
    assert 0 < measured["bytes"] < found["bytes"]
    text = CliRunner().invoke(main, ["plan", str(clip)]).stdout
    assert "unknown, because the speed of mini on this machine is" in text
    assert "which last 0:12\n" in text
    assert "at most 0." in text
    assert "MB; those of actions are not counted" in text
    assert CliRunner().invoke(main, ["plan", str(clip), "--speed", "1", "--measure"]).exit_code == 2


def test_engines_are_in_the_table_and_plug_ins_add_to_it() -> None:
    assert Options.load(settings=["engine.backend=ray"]).engine.retries == 2
    with pytest.raises(OptionError, match="unknown engine 'spark'; valid: local, ray"):
        Options.load(settings=["engine.backend=spark"])
    with pytest.raises(OptionError, match="has no effect here"):
        Options.load(settings=["engine.retries=1"], task="find")
    with pytest.raises(OptionError, match="retries must be at least 0"):
        Options.load(settings=["engine.retries=-1"])
