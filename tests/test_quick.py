"""`seal index --quick`: scene tokens from the codec's keyframes, and a later run that completes."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import seal
from filmed import write_film
from seal import OptionError, Options
from seal.cli import main
from seal.config import VideoOptions
from seal.ingest import index as index_video
from seal.store import Store
from seal.video import Frame, open_video
from synthetic import number_of, write_video

RATE_MS = 40
STEADY = {"x264-params": "scenecut=0"}
COARSE = "scenes.interval_s=1"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds; in which codecs, the environment says."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, seed=3, duration_s=12.0)
    return path


def numbered(path: Path, seconds: int, gop: int, **options) -> Path:
    return write_video(path, range(0, 1000 * seconds, RATE_MS), gop=gop, options=STEADY, **options)


def keyframes(path: Path, interval_s: float) -> tuple[list[Frame], list[tuple[float, float]]]:
    with open_video(path, VideoOptions()) as video:
        frames = list(video.keyframes(interval_s))
        return frames, [(gap.span.start_s, gap.span.end_s) for gap in video.gaps]


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.avi"])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_keyframes_are_those_of_the_codec_one_each_interval(
    tmp_path: Path, name: str, b_frames: int
) -> None:
    path = numbered(tmp_path / name, 6, gop=10, b_frames=b_frames)
    with open_video(path, VideoOptions(rate_hz=25)) as video:
        wanted = [frame for frame in video.frames() if frame.is_key]
    frames, gaps = keyframes(path, 0.8)
    starts_s = [frame.time_s for frame in frames]
    assert starts_s == [frame.time_s for frame in wanted[::2]]
    for frame, other in zip(frames, wanted[::2], strict=True):
        np.testing.assert_array_equal(frame.image, other.image)
        assert frame.is_key
    assert gaps == []


def test_a_picture_lasts_its_own_time_and_the_rest_is_a_gap(tmp_path: Path) -> None:
    path = numbered(tmp_path / "film.mp4", 10, gop=100)
    frames, gaps = keyframes(path, 2.0)
    assert [number_of(frame.image) for frame in frames] == [0, 100, 200]
    assert [frame.end_pts - frame.pts for frame in frames] == [frames[0].end_pts] * 3
    assert frames[0].end_pts * frames[0].time_base == pytest.approx(0.04)
    # The last one is followed by two seconds, which is as close as asked for.
    assert gaps == [(0.0, 8.0)]


def test_after_keyframes_all_frames_can_be_read(tmp_path: Path) -> None:
    path = numbered(tmp_path / "film.mp4", 4, gop=25)
    with open_video(path, VideoOptions()) as video:
        assert len(list(video.keyframes(1.0))) == 4
        assert len(list(video.frames())) == 20


def test_a_limit_is_kept(tmp_path: Path) -> None:
    path = numbered(tmp_path / "film.mp4", 8, gop=25)
    with open_video(path, VideoOptions(max_duration_s=3.5)) as video:
        assert [frame.time_s for frame in video.keyframes(1.0)] == [0.0, 1.0, 2.0, 3.0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_a_quick_video_is_asked_and_completed_in_one_commit(film: Path, store: Store) -> None:
    options = Options.load(settings=[COARSE])
    quick = index_video(film, store, options, quick=True)
    early = store.tokens(quick.id)
    assert quick.is_quick
    assert set(early.kinds.tolist()) == {"scene"}
    with open_video(film, options.video) as video:
        assert early.start_s.tolist() == [frame.time_s for frame in video.keyframes(1.0)]
    assert quick.duration_s == pytest.approx(12.0)
    assert index_video(film, store, options, quick=True) == quick

    opened = seal.open(store.path)
    found = opened.video(film).find("a red ball")
    assert found.moments

    whole = index_video(film, store, options)
    tokens = store.tokens(whole.id)
    other = Store(store.path.with_name("other"), create=True)
    alone = other.tokens(index_video(film, other, options).id)
    assert (whole.id, whole.is_quick, whole.gaps) == (quick.id, False, ())
    assert tokens.ids.tolist() == alone.ids.tolist()
    assert not set(tokens.ids.tolist()) & set(early.ids.tolist())
    # What is complete stays so.
    assert index_video(film, store, options, quick=True) == whole


def test_what_was_begun_in_full_is_not_dropped_for_a_quick_look(
    film: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options.load(settings=["video.part_s=2"])
    with monkeypatch.context() as broken:
        broken.setattr(Store, "finish", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            index_video(film, store, options)
    with pytest.raises(OptionError, match=r"was begun without --quick: `seal index` goes on"):
        index_video(film, store, options, quick=True)


def test_the_command_says_what_it_did_not_look_at(tmp_path: Path) -> None:
    path = numbered(tmp_path / "film.mp4", 10, gop=100)
    runner, folder = CliRunner(), str(tmp_path / "store")
    done = runner.invoke(main, ["index", str(path), "--quick", "--store", folder, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["stage"] == "quick"
    assert [gap[:2] for gap in result["gaps"]] == [[0.0, 8.0]]
    assert "0:08.0 between keyframes of the codec were not looked at" in done.stderr
    listed = runner.invoke(main, ["list", "--store", folder])
    assert "quick: `seal index` completes it" in listed.stdout
    wrong = runner.invoke(main, ["index", str(path), "--quick", "--jobs", "2", "--store", folder])
    assert wrong.exit_code == 2
    done = runner.invoke(main, ["index", str(path), "--store", folder, "--json"])
    assert json.loads(done.stdout)["stage"] == "complete"


def test_the_command_names_damage_apart_from_what_it_did_not_look_at(tmp_path: Path) -> None:
    path = numbered(tmp_path / "film.ts", 20, gop=100)
    content = bytearray(path.read_bytes())
    packet_bytes = 188
    half = len(content) // 2 // packet_bytes * packet_bytes
    content[half : half + len(content) // 4] = bytes(len(content) // 4)
    path.write_bytes(content)
    done = CliRunner().invoke(main, ["index", str(path), "--quick", "--store", str(tmp_path / "s")])
    assert "0:20.0 between keyframes of the codec were not looked at" in done.stderr
    assert "could not be read: packets are missing or cut off" in done.stderr
    assert "could not be read: not looked at" not in done.stderr
