"""The reader gives exact times and upright pictures, whatever the container does."""

import itertools
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seal.config import VideoOptions
from seal.errors import OptionError, VideoError
from seal.video import Frame, open_video
from seal.video.container import ContainerStream
from seal.video.picture import Converter
from seal.video.sampling import FrameCandidates, Grid, Sampler
from synthetic import number_of, turn, write_video

ALL = VideoOptions(rate_hz=1000)


def read(path: Path, options: VideoOptions = ALL, **keywords: int) -> list[Frame]:
    with open_video(path, options, **keywords) as video:
        frames = list(video.frames())
        assert video.gaps == []
    return frames


def reference_times(path: Path) -> list[Fraction]:
    """The slow, obvious way: decode everything and list the times."""
    with av.open(str(path)) as container:
        return [f.pts * f.time_base for f in container.decode(video=0)]


def naive_choice(times: list[Fraction], rate: Fraction) -> list[Fraction]:
    """For each tick in turn, search for the first frame at or after it."""
    chosen = []
    for i in range(int((times[-1] - times[0]) * rate) + 1):
        tick = times[0] + i / rate
        first = next(time for time in times if time >= tick)
        if first not in chosen:
            chosen.append(first)
    return chosen


@given(
    start=st.integers(-5000, 5000),
    steps=st.lists(st.integers(1, 900), max_size=60),
    rate_hz=st.sampled_from([0.3, 0.6, 1.0, 5.0, 7.5, 29.97, 100.0]),
    ticks_per_s=st.sampled_from([1000, 90000, 30000]),
    skipped=st.integers(0, 60),
)
def test_sampling_follows_the_rule_wherever_it_begins(
    start: int, steps: list[int], rate_hz: float, ticks_per_s: int, skipped: int
) -> None:
    pts = list(itertools.accumulate([start, *steps]))
    times = [Fraction(p, ticks_per_s) for p in pts]
    grid = Grid(times[0], rate_hz)
    base = Fraction(1, ticks_per_s)
    sampler = Sampler(grid, base)
    chosen = [p * base for p in pts if sampler.takes(p)]
    assert chosen == naive_choice(times, Fraction(str(rate_hz)))

    # Begun in the middle, at any frame at or before a tick, it goes on in the same way.
    first = min(skipped, len(times) - 1)
    tick = grid.at_or_after(times[first])
    late = Sampler(grid, base, tick)
    again = [p * base for p in pts[first:] if late.takes(p)]
    assert again == [time for time in chosen if time >= grid.time(tick)]


@given(
    st.permutations(range(6)),
    st.lists(st.integers(1, 400), min_size=6, max_size=60),
    st.sampled_from([0.6, 5.0, 29.97]),
)
def test_no_picture_that_is_taken_is_left_out_in_whatever_order_they_are_decoded(
    order: list[int], steps: list[int], rate_hz: float
) -> None:
    pts = list(itertools.accumulate([-500, *steps]))
    grid, base = Grid(Fraction(-500, 1000), rate_hz), Fraction(1, 1000)
    sampler = Sampler(grid, base)
    taken = {at for at in pts if sampler.takes(at)}
    groups = [pts[i : i + 6] for i in range(0, len(pts), 6)]
    decoded = [group[i] for group in groups for i in order if i < len(group)]
    needs = FrameCandidates(grid, base)
    assert taken <= {at for at in decoded if needs(at)}
    # In order of time nothing else is needed.
    needs = FrameCandidates(grid, base)
    assert taken == {at for at in pts if needs(at)}


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**5), st.floats(0.1, 100))
def test_a_tick_is_found_again_from_its_float(start: int, tick: int, rate_hz: float) -> None:
    grid = Grid(Fraction(start, 90000), rate_hz)
    assert grid.at_or_before(float(grid.time(tick))) == tick
    assert grid.at_or_after(grid.time(tick)) == tick


VARIABLE = [0, 40, 80, 95, 500, 540, 541, 900, 1700, 1733, 1766, 1800, 3000, 3040]
CONTAINERS: dict[str, dict[str, Any]] = {
    "constant.mp4": {"pts": range(0, 2000, 40)},
    "variable.mp4": {"pts": VARIABLE},
    "variable.mkv": {"pts": VARIABLE},
    "late.mp4": {"pts": [5000 + p for p in VARIABLE]},
    "late.mkv": {"pts": [5000 + p for p in VARIABLE]},
    "late.ts": {"pts": [5000 + p for p in VARIABLE]},
    "early.nut": {"pts": [p - 400 for p in VARIABLE]},
    "b_frames.mp4": {"pts": range(0, 2000, 40), "b_frames": 3},
    "b_frames.mkv": {"pts": range(0, 2000, 40), "b_frames": 3},
    "b_frames.ts": {"pts": range(0, 2000, 40), "b_frames": 3},
    "with_sound.mp4": {"pts": range(0, 2000, 40), "audio_s": 2.5, "b_frames": 2},
    "hevc.mp4": {"pts": VARIABLE, "codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "vp9.webm": {"pts": VARIABLE, "codec": "libvpx-vp9", "options": {"deadline": "realtime"}},
    "av1.mkv": {"pts": VARIABLE, "codec": "libsvtav1", "options": {"preset": "8"}},
    "ten_bit.mkv": {"pts": VARIABLE, "codec": "ffv1", "pix_fmt": "yuv420p10le"},
    "rgb.mkv": {"pts": VARIABLE, "codec": "ffv1", "pix_fmt": "bgr0"},
    "mpeg4.avi": {"pts": range(30), "time_base": Fraction(1, 25), "codec": "mpeg4"},
    "mpeg2.ts": {
        "pts": range(30),
        "time_base": Fraction(1, 25),
        "codec": "mpeg2video",
        "b_frames": 2,
    },
    "one.mp4": {"pts": [0]},
    "two.mkv": {"pts": [0, 40]},
    "tiny.mp4": {"pts": [0, 40], "size": (16, 16), "codec": "mpeg4"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {name: write_video(folder / name, **how) for name, how in CONTAINERS.items()}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_at_its_exact_time(made: dict[str, Path], name: str) -> None:
    frames = read(made[name])
    times = [frame.pts * frame.time_base for frame in frames]
    assert times == reference_times(made[name])
    assert len(frames) == len(CONTAINERS[name]["pts"])
    assert frames[0].is_key
    if name != "tiny.mp4":
        assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
    # Each is on the screen until the next one is.
    ends = [frame.end_pts for frame in frames]
    assert ends[:-1] == [frame.pts for frame in frames[1:]]
    assert ends[-1] > frames[-1].pts


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name.startswith("late")])
def test_times_are_not_shifted_to_zero(made: dict[str, Path], name: str) -> None:
    with open_video(made[name], ALL) as video:
        first = next(video.frames())
        # MPEG-TS is written with a lead of its own; it is the same for all its frames.
        assert video.info.start_s == first.time_s >= 5.0
        assert video.info.duration_s == pytest.approx(3.06, abs=0.1)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("name", ["early.nut", "late.ts", "variable.mkv", "b_frames.mp4"])
def test_times_are_those_of_ffprobe(made: dict[str, Path], name: str) -> None:
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"]
    command += ["-show_entries", "frame=pts", str(made[name])]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert [frame.pts for frame in read(made[name])] == [int(line.strip(",")) for line in lines]


@pytest.mark.parametrize("name", ["b_frames.mp4", "b_frames.mkv", "b_frames.ts", "late.ts"])
@pytest.mark.parametrize("rate_hz", [3.0, 7.0, 1000.0])
def test_parts_give_the_frames_of_one_pass(
    made: dict[str, Path], name: str, rate_hz: float
) -> None:
    options = VideoOptions(rate_hz=rate_hz)
    whole = read(made[name], options)
    with open_video(made[name], options, threads=1) as video:
        starts = video.part_starts(0.5)
        assert starts[0] == video.info.start_s
        assert len(starts) > 1
        parts = [
            list(video.frames(start, end))
            for start, end in itertools.zip_longest(starts, starts[1:])
        ]
    for start, part in zip(starts, parts, strict=True):
        assert all(frame.time_s >= start for frame in part)
    together = [frame for part in parts for frame in part]
    assert [(f.pts, f.end_pts) for f in together] == [(f.pts, f.end_pts) for f in whole]
    for one, other in zip(together, whole, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_pictures_left_out_change_nothing(made: dict[str, Path], name: str) -> None:
    options = VideoOptions(rate_hz=7)
    taken = {frame.pts for frame in read(made[name], options)}
    whole = read(made[name])
    grid = Grid(whole[0].pts * whole[0].time_base, 7)
    sampler = Sampler(grid, whole[0].time_base)
    assert taken == {frame.pts for frame in whole if sampler.takes(frame.pts)}
    every = {frame.pts: frame for frame in whole}
    for frame in read(made[name], options, threads=1):
        assert frame.end_pts == every[frame.pts].end_pts
        np.testing.assert_array_equal(frame.image, every[frame.pts].image)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_pictures_that_nothing_needs_are_not_decoded(tmp_path: Path, name: str, codec: str) -> None:
    path = write_video(
        tmp_path / name,
        range(50),
        time_base=Fraction(1, 25),
        codec=codec,
        b_frames=2,
        options={"x264-params": "b-adapt=0"} if codec == "libx264" else None,
    )
    stream = ContainerStream(path, 1, ALL)
    every = [picture.pts for picture in stream.pictures()]
    stream.needs = lambda pts: False
    pictures = list(stream.pictures())
    stream.close()
    assert [picture.pts for picture in pictures] == every
    assert np.mean([picture.frame is None for picture in pictures]) >= 0.3


@pytest.mark.parametrize("per_second", [24, 25, 100])
def test_pictures_between_come_with_the_next_frame(tmp_path: Path, per_second: int) -> None:
    every = Fraction(1, per_second)
    count = per_second + 1
    path = write_video(
        tmp_path / "a.avi", range(count), time_base=every, codec="mjpeg", pix_fmt="yuvj420p"
    )
    frames = read(path, VideoOptions(rate_hz=5, short_side_px=120))
    analysed = [number_of(frame.image) for frame in frames]
    assert not frames[0].between
    assert len(frames[0].between) == 0
    for frame, first, last in zip(frames[1:], analysed, analysed[1:], strict=False):
        numbers = [number_of(np.dstack([grey] * 3)) for grey in frame.between]
        assert all(grey.shape == (60, 80) for grey in frame.between)
        if per_second <= 25:
            assert numbers == list(range(first + 1, last))
        else:
            # No more than five steps, and none much longer than the others.
            assert numbers == [first + 4, first + 8, first + 12, first + 16]


def test_pictures_between_are_converted_once_and_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", range(0, 800, 40))
    made: list[int] = []
    grey = Converter.grey

    def counted(self: Converter, frame: av.VideoFrame, *given: object) -> np.ndarray:
        made.append(frame.pts)
        if len(made) == 2:
            raise VideoError("colours that cannot be converted")
        return grey(self, frame, *given)

    with open_video(path, VideoOptions()) as video:
        monkeypatch.setattr(Converter, "grey", counted)
        _, frame, last = list(video.frames())[:3]
    assert made == []
    assert frame.between
    assert made == []
    assert len(frame.between) == len(list(frame.between)) == 3
    assert len(made) == 4
    assert frame.between[0].shape == last.between[:1][0].shape


def test_pictures_between_are_upright(tmp_path: Path) -> None:
    path = turn(
        write_video(tmp_path / "turned.mp4", range(0, 200, 40), size=(320, 160)), (0, 1, -1, 0)
    )
    with open_video(path, VideoOptions(rate_hz=8)) as video:
        _, frame = list(video.frames())[:2]
    assert frame.between
    for grey in frame.between:
        assert grey.shape == (160, 80)
        assert grey.flags.c_contiguous
        small = frame.image[::2, ::2].mean(2)
        assert abs(float(grey[:40, 40:].mean()) - float(small[:40, 40:].mean())) < 20


def test_parts_are_equally_long_and_none_is_left_over(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", range(0, 4200, 40), gop=5)
    with open_video(path, VideoOptions()) as video:
        starts = video.part_starts(2.0)
        assert np.diff([*starts, video.info.duration_s]) == pytest.approx([1.4] * 3, abs=0.2)
        assert video.part_starts(5.0) == [video.info.start_s]


@settings(deadline=None, max_examples=25)
@given(st.floats(-1, 4), st.floats(-1, 4))
def test_any_stretch_gives_what_one_pass_gives(
    made: dict[str, Path], start_s: float, end_s: float
) -> None:
    options = VideoOptions(rate_hz=5)
    whole = read(made["b_frames.mkv"], options)
    with open_video(made["b_frames.mkv"], options, threads=1) as video:
        got = [frame.pts for frame in video.frames(start_s, end_s)]
    assert got == [frame.pts for frame in whole if start_s <= frame.time_s < end_s]


def test_rare_frames_are_given_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slides.mp4", [0, 3000, 6000])
    assert [frame.time_s for frame in read(path, VideoOptions(rate_hz=5))] == [0, 3, 6]


def test_max_duration_ends_a_file_early(made: dict[str, Path]) -> None:
    options = VideoOptions(rate_hz=1000, max_duration_s=0.5)
    with open_video(made["late.mkv"], options) as video:
        assert video.info.duration_s == 0.5
        assert [frame.time_s for frame in video.frames()] == [5.0, 5.04, 5.08, 5.095]


def _corner_colours(image: np.ndarray) -> dict[str, bool]:
    """In which quarter the red of the stored picture's top left corner is."""
    height, width = image.shape[:2]
    rows = {"top": height // 4, "bottom": 3 * height // 4}
    columns = {"left": width // 4, "right": 3 * width // 4}
    found = {}
    for (row, y), (column, x) in itertools.product(rows.items(), columns.items()):
        red, green, blue = image[y, x].astype(int)
        found[f"{row} {column}"] = red > 150 and green < 90 and blue < 90
    return found


# The corner that the stored picture's top left one moves to, for a matrix a b c d that takes
# (x, y) to (a x + c y, b x + d y), y down.
TURNS = {
    (1, 0, 0, 1): ("top left", 0),
    (0, 1, -1, 0): ("top right", 90),
    (-1, 0, 0, -1): ("bottom right", 180),
    (0, -1, 1, 0): ("bottom left", 270),
    (-1, 0, 0, 1): ("top right", None),
    (1, 0, 0, -1): ("bottom left", None),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_pictures_are_turned_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    corner, degrees = TURNS[matrix]
    path = turn(write_video(tmp_path / "turned.mp4", [0, 40], size=(320, 160)), matrix)
    with open_video(path, ALL) as video:
        image = next(video.frames()).image
        transposed = matrix[0] == 0
        size = (160, 320) if transposed else (320, 160)
        assert (video.info.width, video.info.height) == size
        if degrees is not None:
            assert video.info.rotation == degrees
    assert image.shape == (*size[::-1], 3)
    assert image.flags.c_contiguous
    assert [name for name, red in _corner_colours(image).items() if red] == [corner]


def test_pixels_are_made_square_and_small(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mkv", [0], size=(320, 240), pixel_aspect=Fraction(3, 2))
    with open_video(path, VideoOptions(short_side_px=120)) as video:
        assert (video.info.width, video.info.height) == (480, 240)
        image = next(video.frames()).image
    assert image.shape == (120, 240, 3)
    assert image.dtype == np.uint8
    with open_video(path, VideoOptions(short_side_px=1000)) as video:
        assert next(video.frames()).image.shape == (240, 480, 3)


@pytest.mark.parametrize(
    ("pix_fmt", "matrix", "name"),
    [("yuv420p", 1, "bt709"), ("yuv420p", 5, "bt470bg"), ("yuv420p10le", 9, "bt2020nc")],
)
def test_colours_come_back(tmp_path: Path, pix_fmt: str, matrix: int, name: str) -> None:
    wanted = np.array([200, 40, 90], np.uint8)
    rgb = av.VideoFrame.from_ndarray(np.broadcast_to(wanted, (64, 64, 3)).copy(), "rgb24")
    frame = rgb.reformat(format=pix_fmt, dst_colorspace=matrix)
    image = Converter(frame, Fraction(1), 32)(frame)
    assert np.abs(image.astype(int) - wanted).max() <= 3, name


def test_interlaced_pictures_do_not_comb() -> None:
    """Two fields of different brightness: only one instant of the two is shown."""
    rows = np.where(np.arange(64) % 2 == 0, 200, 40).astype(np.uint8)
    image = np.broadcast_to(rows[:, None, None], (64, 64, 3)).copy()
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
    graph = av.filter.Graph()
    source = graph.add_buffer(width=64, height=64, format=frame.format, time_base=Fraction(1, 25))
    interlaced = graph.add("setfield", mode="tff")
    graph.link_nodes(source, interlaced, graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    frame = graph.vpull()
    assert frame.interlaced_frame
    assert Converter(frame, Fraction(1), 64)(frame).min() > 180


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("this system does not say how much memory a process has")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    size = (640, 480)
    path = write_video(tmp_path / "long.mkv", range(0, 12_000, 40), size=size, codec="mpeg4")
    with open_video(path, VideoOptions(rate_hz=1000, short_side_px=480)) as video:
        used = []
        for count, frame in enumerate(video.frames()):
            assert frame.image.nbytes == 640 * 480 * 3
            if count in (50, 298):
                used.append(_resident_bytes())
    # The pictures in between take 230 MB.
    assert used[1] - used[0] < 60e6


def test_8k_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "8k.mp4", [0], size=(7680, 4320), options={"preset": "ultrafast"})
    assert read(path, VideoOptions())[0].image.shape == (256, 455, 3)


def test_a_live_source_needs_a_limit() -> None:
    with pytest.raises(OptionError, match="max_duration_s"):
        open_video("rtsp://127.0.0.1:1/camera", VideoOptions())


def test_real_footage_opens_with_increasing_times(shared_data: Path) -> None:
    folder = shared_data / "videos"
    films = sorted(p for p in folder.rglob("*") if p.suffix in {".mp4", ".mkv"})
    if not films:
        pytest.skip(f"no videos in {folder}")
    for path in films:
        with open_video(path, VideoOptions(rate_hz=5, max_duration_s=0.6)) as video:
            frames = list(video.frames())
            assert video.gaps == []
            assert video.info.duration_s == 0.6
            assert min(frames[0].image.shape[:2]) <= 256
        times = [frame.time_s for frame in frames]
        assert times[0] == video.info.start_s
        assert len(times) >= 2
        assert times == sorted(set(times))
