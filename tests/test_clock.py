"""Time runs forward, whatever the clock of a file does, and stated lengths are only claims."""

import itertools
import os
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal.config import VideoOptions
from seal.video import Gap, VideoInfo, open_video
from seal.video.stream import DecodedPicture, Note
from seal.video.timeline import StreamClock, forward
from synthetic import number_of, numbered, write_video

ALL = VideoOptions(rate_hz=1000)
STEP_MS = 40
COUNT = 50
CASES = Path(os.environ.get("SEAL_TEST_CASES", Path(__file__).parents[2] / "shared/cases"))


class Seen(NamedTuple):
    """What a reader gives of a video."""

    numbers: list[int]
    times_s: list[float]
    """When the pictures are on the screen, from the first one on."""
    shown_s: float
    """How long they are on the screen together."""
    gaps: list[Gap]
    notes: list[Note]
    info: VideoInfo


def see(path: Path) -> Seen:
    with open_video(path, ALL) as video:
        frames = list(video.frames())
        video.survey()
        times_s = [frame.time_s - video.info.start_s for frame in frames]
        numbers = [number_of(frame.image) for frame in frames]
        shown_s = sum(float((frame.end_pts - frame.pts) * frame.time_base) for frame in frames)
        return Seen(numbers, times_s, shown_s, video.gaps, video.notes, video.info)


def film(path: Path, **how: Any) -> Path:
    """Two seconds whose pictures show their numbers."""
    return write_video(path, range(COUNT), time_base=Fraction(1, 25), size=(160, 120), **how)


def joined(target: Path, *parts: Path) -> Path:
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def steps_ms(times_s: list[float]) -> set[int]:
    return {round(1000 * (after - before)) for before, after in itertools.pairwise(times_s)}


# ---- joined recordings ----


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize(("suffix", "codec"), [(".ts", "libx264"), (".vob", "mpeg2video")])
def test_joined_recordings_follow_each_other(
    tmp_path: Path, suffix: str, codec: str, b_frames: int
) -> None:
    one = film(tmp_path / f"one{suffix}", codec=codec, b_frames=b_frames, noise=True)
    path = joined(tmp_path / f"both{suffix}", one, one, one)
    seen = see(path)
    missing = sum(gap.span.duration_s for gap in seen.gaps)
    assert seen.shown_s + missing == pytest.approx(6.0, abs=0.05)
    assert missing <= 0.5
    assert min(steps_ms(seen.times_s)) > 0
    assert seen.info.duration_s == pytest.approx(6.0, abs=0.05)
    assert seen.info.is_continuous is False
    assert [note.time_s - seen.info.start_s for note in seen.notes] == pytest.approx(
        [2.0, 4.0], abs=0.05
    )
    assert all("clock" in note.text for note in seen.notes)


@pytest.mark.parametrize(
    "how",
    [
        {"container_options": {"mpegts_start_pid": "700"}},
        {"container_options": {"mpegts_start_pid": "700"}, "codec": "mpeg2video"},
        {"container_options": {"mpegts_start_pid": "700", "mpegts_pmt_start_pid": "5000"}},
    ],
    ids=["another PID", "another codec", "another programme"],
)
def test_a_video_goes_on_in_another_stream(tmp_path: Path, how: dict[str, Any]) -> None:
    path = joined(tmp_path / "both.ts", film(tmp_path / "a.ts"), film(tmp_path / "b.ts", **how))
    seen = see(path)
    assert seen.numbers == [*range(COUNT), *range(COUNT)]
    assert steps_ms(seen.times_s) == {STEP_MS}
    assert seen.gaps == []
    assert ["another stream" in note.text for note in seen.notes] == [True]


def test_a_second_stream_beside_the_video_is_not_its_continuation(tmp_path: Path) -> None:
    path = tmp_path / "two.ts"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg2video", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((160, 120), (64, 48)), strict=True):
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
        for number in range(100):
            for stream in streams[number // COUNT :]:
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    with open_video(path, ALL) as video:
        assert sum(1 for _ in video.frames()) == COUNT
        assert video.info.width == 160


def test_a_playlist_goes_on_after_a_discontinuity(tmp_path: Path) -> None:
    other = {"mpegts_start_pid": "700"}
    for name, how in (("a", {}), ("b", other), ("c", {})):
        film(tmp_path / f"{name}.ts", container_options=how)
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "a.ts"]
    for name in "bc":
        lines += ["#EXT-X-DISCONTINUITY", "#EXTINF:2,", f"{name}.ts"]
    path = tmp_path / "all.m3u8"
    path.write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    seen = see(path)
    missing = sum(gap.span.duration_s for gap in seen.gaps)
    assert seen.shown_s + missing == pytest.approx(6.0, abs=0.1)
    assert missing <= 0.2
    assert seen.info.duration_s == pytest.approx(6.0, abs=0.1)
    assert len(seen.notes) == 2


def test_a_counter_that_wraps_is_carried_on(tmp_path: Path) -> None:
    # The counter has 33 bits at 90 kHz. FFmpeg undoes the first wrap after its start by itself.
    wrap = 2**33 / 90000
    parts = [
        film(tmp_path / f"{at}.ts", container_options={"output_ts_offset": str(at)})
        for at in (wrap - 3.4, wrap - 1.4, 0)
    ]
    seen = see(joined(tmp_path / "all.ts", *parts))
    missing = sum(gap.span.duration_s for gap in seen.gaps)
    assert seen.shown_s + missing == pytest.approx(6.0, abs=0.1)
    assert seen.info.duration_s == pytest.approx(6.0, abs=0.1)


# ---- single stamps ----


def with_stamp(path: Path, number: int, change: Callable[[int], int]) -> Path:
    """The transport stream with the presentation stamp of packet `number` changed."""
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"\0\0\1\xe0"]
    at = starts[number] + 9
    a, b, c = data[at], *struct.unpack(">HH", data[at + 1 : at + 5])
    pts = change((a >> 1 & 7) << 30 | b >> 1 << 15 | c >> 1)
    packed = struct.pack(">HH", (pts >> 15 & 0x7FFF) << 1 | 1, (pts & 0x7FFF) << 1 | 1)
    data[at : at + 5] = bytes([a & 0xF1 | (pts >> 30 & 7) << 1]) + packed
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("bit", [13, 17, 20, 26, 32])
@pytest.mark.parametrize("b_frames", [0, 2])
def test_one_wrong_stamp_moves_no_other_picture(tmp_path: Path, bit: int, b_frames: int) -> None:
    path = film(tmp_path / "film.ts", b_frames=b_frames, options={"x264-params": "scenecut=0"})
    seen = see(with_stamp(path, 20, lambda pts: pts ^ 1 << bit))
    assert seen.numbers == list(range(COUNT))
    wrong = [
        number
        for number, time_s in zip(seen.numbers, seen.times_s, strict=True)
        if round(1000 * time_s) != STEP_MS * number
    ]
    assert len(wrong) <= 1
    assert min(steps_ms(seen.times_s)) > 0
    assert (seen.gaps, seen.notes) == ([], [])


@pytest.mark.parametrize("number", [9, 10, 11, 12, 20, 30, 48])
@pytest.mark.parametrize("off_s", [-5.8, -0.3, 0.3, 5.8])
def test_a_wrong_stamp_among_pictures_that_are_not_needed(
    tmp_path: Path, number: int, off_s: float
) -> None:
    path = film(tmp_path / "film.ts", b_frames=2, options={"x264-params": "scenecut=0"})
    with_stamp(path, number, lambda pts: pts + round(off_s * 90000))
    with open_video(path, VideoOptions(rate_hz=5)) as video:
        frames = list(video.frames())
    assert len(frames) == pytest.approx(10, abs=1)
    assert all(frame.pts < frame.end_pts for frame in frames)
    assert all(a.end_pts <= b.pts for a, b in itertools.pairwise(frames))


def test_pictures_that_an_avi_stamps_in_decoding_order(tmp_path: Path) -> None:
    path = film(tmp_path / "film.avi", b_frames=3, options={"x264-params": "b-adapt=0"})
    seen = see(path)
    assert seen.numbers == list(range(COUNT))
    assert steps_ms(seen.times_s) == {STEP_MS}
    assert seen.gaps == []


# ---- stated lengths ----


@pytest.mark.parametrize("rate", [-1.0, 0.0, 1e12, float("nan")])
def test_a_stated_rate_is_a_claim(tmp_path: Path, rate: float) -> None:
    path = film(tmp_path / "film.flv", codec="flv1")
    data = bytearray(path.read_bytes())
    at = data.index(b"framerate\0") + 10
    data[at : at + 8] = struct.pack(">d", rate)
    path.write_bytes(data)
    seen = see(path)
    assert len(seen.numbers) == COUNT
    assert seen.info.duration_s == pytest.approx(2.0, abs=0.05)
    assert seen.info.rate_hz is None or 0 < seen.info.rate_hz < 1e7


@pytest.mark.parametrize("stated", [3.2e9, 1e15, float("nan"), float("inf"), -1.0])
def test_a_stated_length_is_a_claim(tmp_path: Path, stated: float) -> None:
    path = film(tmp_path / "film.mkv")
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", stated * 1000)
    path.write_bytes(data)
    with open_video(path, VideoOptions(part_s=1.0)) as video:
        starts = video.part_starts(1.0)
        assert video.info.duration_s == pytest.approx(2.0, abs=0.05)
        assert len(starts) <= 2
        assert sum(1 for _ in video.frames()) == 10
        assert video.gaps == []


def test_the_length_is_that_of_the_video_and_not_of_the_sound(tmp_path: Path) -> None:
    seen = see(film(tmp_path / "film.mkv", audio_s=20.0))
    assert seen.info.duration_s == pytest.approx(2.0, abs=0.05)
    assert seen.gaps == []


# ---- damage ----


def test_what_is_lost_before_the_first_picture_is_a_gap(tmp_path: Path) -> None:
    path = film(tmp_path / "film.ts", gop=25, noise=True, options={"x264-params": "scenecut=0"})
    data = bytearray(path.read_bytes())
    # The first picture spans the transport packets from the third on.
    at = 188 * 6
    data[at : at + 188 * 3] = bytes(188 * 3)
    path.write_bytes(data)
    seen = see(path)
    assert seen.numbers[0] == 25
    assert seen.times_s[0] == pytest.approx(1.0, abs=0.01)
    (gap,) = seen.gaps
    assert gap.span.start_s == pytest.approx(seen.info.start_s, abs=0.01)
    assert gap.span.duration_s == pytest.approx(1.0, abs=0.01)


def test_damaged_pictures_are_better_than_none(tmp_path: Path) -> None:
    path = film(tmp_path / "film.ts", gop=COUNT, noise=True, options={"x264-params": "scenecut=0"})
    data = bytearray(path.read_bytes())
    at = 188 * 6
    data[at : at + 188] = bytes(188)
    path.write_bytes(data)
    seen = see(path)
    assert len(seen.numbers) > 0.9 * COUNT
    assert ["no picture is whole" in note.text for note in seen.notes] == [True]


# ---- the rules by themselves ----


class Packet:
    """The stamps of a packet, by which `StreamClock` goes."""

    stream_index = 0
    time_base = Fraction(1, 1000)

    def __init__(self, dts: int | None, pts: int | None = None) -> None:
        self.dts, self.pts, self.duration = dts, dts if pts is None else pts, STEP_MS


def carried(stamps: list[int], restarts: bool = True) -> tuple[list[int | None], list[str]]:
    notes: list[str] = []
    timeline = StreamClock(Packet.time_base, restarts, lambda pts, text: notes.append(text))
    packets: Iterator[Any] = iter([Packet(stamp) for stamp in stamps])
    return [packet.dts for packet in timeline.carry_on(packets, lambda packet: True)], notes


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(5, 20)), min_size=1, max_size=6))
def test_recordings_one_after_another(recordings: list[tuple[int, int]]) -> None:
    stamps = [1000 * start + STEP_MS * i for start, count in recordings for i in range(count)]
    times, notes = carried(stamps)
    assert None not in times
    gone = [after - before for before, after in itertools.pairwise(times)]
    # A short step ahead may be a loss, and is kept.
    assert all(0 < step <= 10_000 + STEP_MS for step in gone)
    assert len(notes) < len(recordings)


@given(st.integers(4, 30), st.integers(2, 28), st.integers(-(2**33), 2**33))
def test_one_stamp_among_sound_ones(count: int, at: int, wrong: int) -> None:
    at = min(at, count - 2)
    right: list[int | None] = [STEP_MS * i for i in range(count)]
    stamps = [*right]
    stamps[at] = wrong
    times, notes = carried([stamp or 0 for stamp in stamps])
    assert notes == []
    assert times[:at] + times[at + 1 :] == right[:at] + right[at + 1 :]


def test_a_jump_that_the_sound_lived_through_is_a_loss() -> None:
    notes: list[str] = []
    timeline = StreamClock(Packet.time_base, True, lambda pts, text: notes.append(text))
    video = [Packet(0), Packet(40), Packet(60_000), Packet(60_040)]
    sound = [Packet(time) for time in range(0, 60_000, 500)]
    for packet in sound:
        packet.stream_index = 1
    pieces: list[Any] = [*video[:2], *sound, *video[2:]]
    list(timeline.carry_on(iter(pieces), lambda packet: packet.stream_index == 0))
    assert [packet.dts for packet in video] == [0, 40, 60_000, 60_040]
    assert notes == []


@pytest.mark.parametrize(("restarts", "kept"), [(True, None), (False, 5_920)])
def test_no_picture_overtakes_more_than_a_codec_lets_it(restarts: bool, kept: int | None) -> None:
    clock = StreamClock(Packet.time_base, restarts, lambda pts, text: None)
    stamps = [(0, 80), (40, 160), (80, 120), (120, 5_920), (160, 240), (200, 280)]
    packets = [Packet(*stamp) for stamp in stamps]
    list(clock.carry_on(iter(packets), lambda packet: True))
    assert [packet.pts for packet in packets] == [80, 160, 120, kept, 240, 280]


def test_a_long_picture_is_believed_where_clocks_do_not_restart() -> None:
    assert carried([0, 40, 3_600_000, 3_600_040], restarts=False)[0][-1] == 3_600_040
    times, notes = carried([0, 40, 200_000_000, 200_000_040], restarts=False)
    assert times == [0, 40, 80, 120]
    assert len(notes) == 1


def test_a_packet_at_a_break_with_stamps_of_both_clocks() -> None:
    """An MPEG-TS whose clock goes back by 0.24 s: the packet there is shown by the old clock."""
    stamps = [(40, 0), (160, 40), (80, 80), (120, 120), (280, 160), (200, 200), (240, 240)]
    stamps += [(440, 40), (80, 80), (120, 120), (280, 160), (200, 200), (240, 240)]
    packets: list[Any] = [Packet(dts, pts) for pts, dts in stamps]
    clock = StreamClock(Packet.time_base, True, lambda pts, text: None)
    list(clock.carry_on(iter(packets), lambda packet: True))
    shown = [packet.pts for packet in packets]
    # What follows the break is shown right after what came before it.
    assert shown[8:10] == [320, 360]


def test_a_clock_that_stands_still_is_carried_on() -> None:
    """FFmpeg gives the pictures of a fragment that it cannot place a tick each."""
    times, notes = carried([*range(0, 400, 40), *[360] * 20, 400, 440])
    assert all(0 <= after - before <= 80 for before, after in itertools.pairwise(times))
    # Some packets pass until it is clear that the clock stands still.
    assert times[-1] - times[0] == pytest.approx(31 * 40, abs=6 * 40)
    assert [note for note in notes if "stands still" in note] == notes[:1]


@pytest.mark.parametrize(
    "stamps", [[0, 40, 40, 80, 80, 120, 120], [0, 0, 0, 0, 40, 80], [*range(9)]]
)
def test_fields_and_fast_pictures_keep_their_stamps(stamps: list[int]) -> None:
    assert carried(stamps) == (stamps, [])


def test_stamps_in_the_order_of_decoding_are_sorted(tmp_path: Path) -> None:
    """A file whose table of delays says that all pictures have the same one."""
    path = tmp_path / "film.mp4"
    options = {"preset": "veryfast", "bf": "3", "b_strategy": "0"}
    write_video(path, range(0, 4000, 40), options=options)
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(b"ctts") + 12, 2**31 - 1)
    path.write_bytes(data)
    with open_video(path, VideoOptions(rate_hz=5)) as video:
        video.survey()
        numbers = [number_of(frame.image) for frame in video.frames()]
    assert numbers == list(range(0, 100, 5))


def write_rate(path: Path, form: str, scale: int, rate: int) -> Path:
    """A film of two seconds whose header states other ticks than it was made with."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(numbered(number, 64, 48), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    if form == "avi":
        # The video's header: scale, and how many of it make a second.
        at = data.index(b"vids") + 20
        struct.pack_into("<II", data, at, scale, rate)
    else:
        at = data.index(b"mdhd") + 16
        struct.pack_into(">I", data, at, rate)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "scale", "rate", "says"),
    [
        ("a.avi", 1, 2**31 - 1, "2.15e+09 pictures a second"),
        ("a.avi", 2**31 - 1, 25, "1.16e-08 pictures a second"),
        ("a.mp4", 0, 2**31 - 1, "pictures a second"),
    ],
)
def test_a_rate_that_cannot_be_is_not_believed(
    tmp_path: Path, name: str, scale: int, rate: int, says: str
) -> None:
    path = write_rate(tmp_path / name, name[2:], scale, rate)
    with open_video(path, VideoOptions()) as video:
        frames = list(video.frames())
        notes = [note.text for note in video.notes]
    assert len(frames) == 10
    assert frames[-1].time_s == pytest.approx(1.8, abs=0.1)
    assert any(says in note and note.endswith("25 are assumed") for note in notes), notes


@given(st.lists(st.integers(-50, 200), max_size=30))
def test_pictures_run_forward(stamps: list[int]) -> None:
    given = [DecodedPicture(None, pts, pts + 4, None) for pts in stamps]
    ordered = list(forward(iter(given)))
    assert all(a.pts < b.pts for a, b in itertools.pairwise(ordered))
    assert len(ordered) == len(given)


# ---- real files ----

real = pytest.mark.skipif(not CASES.is_dir(), reason=f"no files in {CASES} (SEAL_TEST_CASES)")


@real
@pytest.mark.parametrize(
    ("name", "length_s"),
    [
        ("clock/concat_reset.ts", 13.0),
        ("clock/concat_reset.vob", 10.0),
        ("clock/joined_same_start.ts", 12.0),
        ("clock/ts_one_bit_in_pts.ts", 6.0),
        ("clock/pid_changes.ts", 12.0),
        ("clock/bf.avi", 12.1),
        ("duration/hugedur.mkv", 3.12),
        ("duration/avi_71Ms.avi", 6.0),
        ("duration/mkv_duration_1e+12.mkv", 6.0),
        ("duration/mkv_duration_nan.mkv", 6.0),
        ("duration/mp4_stts_delta.mp4", 6.0),
        ("mangled/0048_a.ts", 6.0),
        ("mangled/0246_a.ts", 6.0),
        ("mangled/0297_mj.avi", 6.0),
    ],
)
def test_a_file_that_failed_is_read_to_its_end(name: str, length_s: float) -> None:
    with open_video(CASES / name, ALL) as video:
        starts = video.part_starts(120.0)
        frames = list(video.frames())
        assert starts == [video.info.start_s]
        assert video.info.duration_s == pytest.approx(length_s, abs=0.11)
        missing_s = sum(gap.span.duration_s for gap in video.gaps)
        shown_s = sum(float((frame.end_pts - frame.pts) * frame.time_base) for frame in frames)
        assert shown_s + missing_s == pytest.approx(length_s, rel=0.02)
        assert all(a.pts < b.pts for a, b in itertools.pairwise(frames))
        assert all(gap.span.end_s <= video.info.start_s + length_s + 0.11 for gap in video.gaps)
