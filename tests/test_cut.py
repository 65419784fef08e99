"""Clips: the first picture, every time, the sound and the length, read back by PyAV."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.config import VideoOptions
from seal.errors import DataError, OptionError, VideoError
from seal.export import cut
from seal.export.copying import copy_suffix
from seal.video import open_video
from seal.video.audio import open_sound
from small_disk import mounted
from sounding import hum, lag_s, loudness, write_sounding
from synthetic import number_of, turn, write_video
from test_pictures import GREYS, write_hdr

Pictures = list[tuple[float, np.ndarray]]


class Pipe:
    """A file that can be written to and nothing else."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, data: bytes) -> int:
        return self.data.write(data)


def pictures(path: Path | io.BytesIO) -> Pictures:
    """When each picture of a file comes, and its RGB, as PyAV gives them."""
    with av.open(path) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def length_s(path: Path) -> float:
    with av.open(path) as container:
        stream = container.streams.video[0]
        return float(stream.duration * stream.time_base)


def numbers(shown: Pictures) -> list[int]:
    return [number_of(image) for _, image in shown]


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds at 25 Hz, in H.264 with pictures made from later ones, and in AAC."""
    path = tmp_path_factory.mktemp("sounding") / "film.mp4"
    return write_sounding(path, 20.0, codec="aac", form="fltp", fps=25)


@settings(max_examples=8)
@given(first=st.integers(0, 420), count=st.integers(1, 60), early=st.floats(0.0, 0.9))
def test_a_clip_shows_what_was_asked_for(
    tmp_path_factory: pytest.TempPathFactory, sounding: Path, first: int, count: int, early: float
) -> None:
    """From any time within picture `first` to the end of the last one."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    start_s, end_s = (first + early) / 25, (first + count) / 25
    span = cut(sounding, start_s, end_s, path)
    shown = pictures(path)
    assert numbers(shown) == [number % 256 for number in range(first, first + count)]
    wanted = [max(0.0, number / 25 - start_s) for number in range(first, first + count)]
    assert [at_s for at_s, _ in shown] == pytest.approx(wanted, abs=2e-5)
    assert length_s(path) == pytest.approx(end_s - start_s, abs=5e-5)
    assert (span.start_s, span.end_s) == pytest.approx((start_s, end_s), abs=1e-9)
    with av.open(path) as container:
        assert container.duration / av.time_base == pytest.approx(end_s - start_s, abs=1e-3)


def test_the_first_picture_is_that_of_the_source(sounding: Path, tmp_path: Path) -> None:
    cut(sounding, 3.32, 4.0, tmp_path / "clip.mp4")
    source = next(image for at_s, image in pictures(sounding) if at_s >= 3.32 - 1e-6)
    difference = np.abs(pictures(tmp_path / "clip.mp4")[0][1].astype(int) - source)
    assert difference.mean() < 3


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("piped", [False, True])
def test_the_sound_keeps_its_place(sounding: Path, tmp_path: Path, copy: bool, piped: bool) -> None:
    path = tmp_path / "clip.mp4"
    if piped:
        pipe = Pipe()
        span = cut(sounding, 3.3, 17.4, pipe, copy=copy)
        path.write_bytes(pipe.data.getvalue())
    else:
        span = cut(sounding, 3.3, 17.4, path, copy=copy)
    with open_sound(path, VideoOptions()) as sound:
        # Around the place where one stretch of sound ends and another begins, too.
        for start_s, end_s in [(0.5, 2.0), (9.0, 11.0), (12.0, 13.9)]:
            heard = sound.read(start_s, end_s).samples
            assert lag_s(heard, span.start_s + start_s) == pytest.approx(0, abs=1e-3)
            times_s = span.start_s + start_s + np.arange(len(heard)) / 16_000
            assert np.corrcoef(heard, hum(times_s))[0, 1] > 0.95
    first = pictures(path)[0]
    assert first[0] == 0.0
    assert number_of(first[1]) == round(span.start_s * 25 - 0.4)


def test_a_copy_begins_at_the_keyframe_before_and_loses_nothing(
    sounding: Path, tmp_path: Path
) -> None:
    with av.open(sounding) as container:
        packets = [each for each in container.demux(video=0) if each.pts is not None]
        keys = [float(each.pts * each.time_base) for each in packets if each.is_keyframe]
    wanted = max(at_s for at_s in keys if at_s <= 7.0)
    span = cut(sounding, 7.0, 9.0, tmp_path / "clip.mp4", copy=True)
    assert span.start_s == wanted
    assert 9.0 <= span.end_s <= 9.5
    shown, source = pictures(tmp_path / "clip.mp4"), pictures(sounding)
    first = round(wanted * 25)
    assert [at_s for at_s, _ in shown] == pytest.approx([i / 25 for i in range(len(shown))])
    for (_, image), (_, other) in zip(shown, source[first:], strict=False):
        np.testing.assert_array_equal(image, other)
    assert first + len(shown) == round(span.end_s * 25)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.ts", "film.avi", "film.mov"])
@pytest.mark.parametrize("start_ms", [0, 5_000])
def test_containers_and_a_late_start(tmp_path: Path, name: str, start_ms: int) -> None:
    pts = range(start_ms, start_ms + 8_000, 40)
    film = write_video(tmp_path / name, pts, gop=25, b_frames=0 if name == "film.avi" else 2)
    with open_video(film, VideoOptions(rate_hz=25)) as video:
        frames = [frame for frame in video.frames() if frame.time_s >= video.info.start_s + 3.0]
    start_s, end_s = frames[0].time_s, frames[0].time_s + 2.0
    cut(film, start_s, end_s, tmp_path / "clip.mp4")
    shown = pictures(tmp_path / "clip.mp4")
    assert numbers(shown) == [number_of(frame.image) for frame in frames[:50]]
    assert length_s(tmp_path / "clip.mp4") == pytest.approx(2.0, abs=1e-4)
    assert len(av.open(tmp_path / "clip.mp4").streams.audio) == 0
    suffix = copy_suffix(film, VideoOptions())
    span = cut(film, start_s, end_s, tmp_path / f"copy{suffix}", copy=True)
    assert start_s - 1.0 <= span.start_s <= start_s
    at_start = [
        at for at, _ in pictures(tmp_path / f"copy{suffix}") if at <= start_s - span.start_s + 1e-3
    ]
    assert (
        number_of(pictures(tmp_path / f"copy{suffix}")[len(at_start) - 1][1]) == numbers(shown)[0]
    )


def test_pictures_of_uneven_length_keep_their_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    pts = np.cumsum(rng.integers(8, 400, 60)).tolist()
    film = write_video(tmp_path / "film.mkv", pts)
    cut(film, pts[20] / 1000, pts[40] / 1000, tmp_path / "clip.mp4")
    shown = pictures(tmp_path / "clip.mp4")
    assert numbers(shown) == list(range(20, 40))
    wanted = [(at - pts[20]) / 1000 for at in pts[20:40]]
    assert [at_s for at_s, _ in shown] == pytest.approx(wanted, abs=2e-5)
    assert length_s(tmp_path / "clip.mp4") == pytest.approx((pts[40] - pts[20]) / 1000, abs=1e-4)


def test_a_turned_video_is_upright_in_both_ways(tmp_path: Path) -> None:
    film = turn(write_video(tmp_path / "film.mp4", range(0, 2000, 40)), (0, 1, -1, 0))
    with open_video(film, VideoOptions()) as video:
        upright = next(video.frames()).image
    for copy in (False, True):
        path = tmp_path / f"clip-{copy}.mp4"
        cut(film, 0.0, 1.0, path, copy=copy)
        with open_video(path, VideoOptions()) as video:
            frame = next(video.frames())
            assert video.info.rotation == (90 if copy else 0)
        assert frame.image.shape == upright.shape
        assert np.abs(frame.image.astype(int) - upright).mean() < 4


def test_an_odd_size_and_wide_pixels(tmp_path: Path) -> None:
    film = write_video(
        tmp_path / "film.mp4", range(0, 1000, 40), size=(321, 241), pix_fmt="yuv444p",
        pixel_aspect=Fraction(4, 3),
    )  # fmt: skip
    cut(film, 0.2, 0.8, tmp_path / "clip.mp4")
    shown = pictures(tmp_path / "clip.mp4")
    assert shown[0][1].shape == (242, 428, 3)
    assert numbers(shown) == list(range(5, 20))


def test_hdr_becomes_the_standard_range(tmp_path: Path) -> None:
    film = write_hdr(tmp_path / "pq.mp4", "smpte2084", list(GREYS.values()))
    cut(film, 0.0, 0.04, tmp_path / "clip.mp4")
    with open_video(film, VideoOptions()) as video:
        wanted = next(video.frames()).image
    with open_video(tmp_path / "clip.mp4", VideoOptions()) as video:
        assert np.abs(next(video.frames()).image.astype(int) - wanted).mean() < 2


def test_only_the_part_that_is_there_is_cut(sounding: Path, tmp_path: Path) -> None:
    span = cut(sounding, -5.0, 0.2, tmp_path / "first.mp4")
    assert (span.start_s, span.end_s) == pytest.approx((0.0, 0.2))
    span = cut(sounding, 19.8, 90.0, tmp_path / "last.mp4")
    assert (span.start_s, span.end_s) == pytest.approx((19.8, 20.0))
    assert len(pictures(tmp_path / "last.mp4")) == 5
    with pytest.raises(VideoError, match=r"no picture between 30\.000 s and 31\.000 s"):
        cut(sounding, 30.0, 31.0, tmp_path / "none.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.mp4", "last.mp4"]


def test_sound_that_begins_late_and_has_a_hole(tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", 8.0, start_s=2.0, holes=[(4.0, 5.0)], fps=25)
    cut(film, 1.0, 7.0, tmp_path / "clip.mp4")
    with open_sound(tmp_path / "clip.mp4", VideoOptions()) as sound:
        assert loudness(sound.read(0.0, 0.9).samples) < 1e-3
        assert loudness(sound.read(3.1, 3.9).samples) < 1e-3
        for start_s, end_s in [(1.2, 2.8), (4.2, 5.8)]:
            heard = sound.read(start_s, end_s).samples
            assert lag_s(heard, 1.0 + start_s) == pytest.approx(0, abs=1e-3)


def test_both_channels_are_kept(tmp_path: Path) -> None:
    film = write_sounding(tmp_path / "film.mkv", 3.0, fps=25)
    cut(film, 0.5, 2.5, tmp_path / "clip.mp4")
    with av.open(tmp_path / "clip.mp4") as container:
        assert container.streams.audio[0].layout.name == "stereo"


def test_a_clock_that_restarts_is_refused(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / f"{start}.ts", range(start, start + 2000, 40)).read_bytes()
        for start in (60_000, 0)
    ]
    film = tmp_path / "film.ts"
    film.write_bytes(b"".join(parts))
    for copy in (False, True):
        with pytest.raises(VideoError, match="the clock of this video restarts or jumps; convert"):
            cut(film, 60.5, 61.0, tmp_path / "clip.mp4", copy=copy)


@pytest.mark.parametrize("times", [(2.0, 2.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1)])
def test_times_that_do_not_run_forward_are_refused(
    sounding: Path, tmp_path: Path, times: tuple[float, float]
) -> None:
    with pytest.raises(OptionError, match="start < end"):
        cut(sounding, *times, tmp_path / "clip.mp4")


def test_a_codec_that_mp4_has_no_place_for(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mkv", range(0, 1000, 40), codec="ffv1")
    assert copy_suffix(film, VideoOptions()) == ".mkv"
    with pytest.raises(VideoError, match="MP4 has no place for ffv1; leave out --copy"):
        cut(film, 0.0, 0.5, tmp_path / "clip.mp4", copy=True)
    cut(film, 0.2, 0.5, tmp_path / "clip.mkv", copy=True)
    assert numbers(pictures(tmp_path / "clip.mkv"))[0] <= 5
    with pytest.raises(DataError, match=r"must end in one of \.mp4, \.mkv"):
        cut(film, 0.0, 0.5, tmp_path / "clip.webm")
    with pytest.raises(DataError, match="cannot be written: No such file"):
        cut(film, 0.0, 0.5, tmp_path / "none" / "clip.mp4")


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("no video")
    with pytest.raises(VideoError, match="not a video"):
        cut(tmp_path / "film.mp4", 0.0, 1.0, tmp_path / "clip.mp4")


@pytest.mark.parametrize("copy", [False, True])
def test_a_playlist_reads_nothing_outside_its_folder(tmp_path: Path, copy: bool) -> None:
    write_video(tmp_path / "secret.ts", range(0, 1000, 40))
    (tmp_path / "folder").mkdir()
    film = tmp_path / "folder" / "film.mp4"
    film.write_text("#EXTM3U\n#EXTINF:1.0,\n../secret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError, match="outside"):
        cut(film, 0.0, 0.5, tmp_path / "clip.mp4", copy=copy)
    with pytest.raises(VideoError, match="outside"):
        copy_suffix(film, VideoOptions())


class Gone(Pipe):
    """A reader that goes away."""

    def write(self, data: bytes) -> int:
        if self.data.tell() > 1000:
            raise BrokenPipeError("gone")
        return super().write(data)


@pytest.mark.parametrize("copy", [False, True])
def test_what_cannot_be_written(sounding: Path, tmp_path: Path, copy: bool) -> None:
    """What the reader's end raises comes out as it is; a full disk leaves nothing behind."""
    with pytest.raises(BrokenPipeError, match="gone"):
        cut(sounding, 1.0, 19.0, Gone(), copy=copy)
    long = write_video(tmp_path / "film.mp4", range(0, 20_000, 40), size=(640, 480), noise=True)
    with mounted(tmp_path / "small", 1) as small:
        with pytest.raises(DataError, match=r"clip\.mp4 cannot be written: No space left"):
            cut(long, 0.0, 20.0, small / "clip.mp4", copy=copy)
        assert list(small.iterdir()) == []


def test_real_footage_is_cut_at_the_picture(shared_data: Path, tmp_path: Path) -> None:
    film = shared_data / "videos" / "big_buck_bunny_360p.mp4"
    if not film.is_file():
        pytest.skip(f"no {film.name}")
    cut(film, 30.0, 32.0, tmp_path / "clip.mp4")
    with av.open(film) as container:
        container.seek(29 * av.time_base)
        source = next(
            frame for frame in container.decode(video=0)
            if float((frame.pts + frame.duration) * frame.time_base) > 30.0 + 1e-6
        ).to_ndarray(format="rgb24")  # fmt: skip
    first = pictures(tmp_path / "clip.mp4")[0][1]
    assert first.shape == source.shape
    assert np.abs(first.astype(int) - source).mean() < 3
    assert length_s(tmp_path / "clip.mp4") == pytest.approx(2.0, abs=1e-3)
