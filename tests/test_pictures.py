"""Pictures come upright, in their shape and in the colours of the standard range."""

import gc
import io
import itertools
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from heif import write_heic
from seal.config import VideoOptions
from seal.errors import VideoError
from seal.video import Frame, Gap, VideoInfo, open_video
from seal.video.hdr import ToneMap
from seal.video.numbering import places
from seal.video.picture import Converter
from synthetic import numbered, write_video

ALL = VideoOptions(rate_hz=1000)
ORIENTATION = 0x0112
# FFmpeg gives EXIF as side data of its own kind as soon as anything else stands in it.
MAKER = 0x010F


def read(path: Path, options: VideoOptions = ALL) -> tuple[VideoInfo, list[Frame], list[Gap]]:
    with open_video(path, options) as video:
        frames = list(video.frames())
    return video.info, frames, video.gaps


def jpeg(image: np.ndarray, orientation: int = 1) -> bytes:
    file = io.BytesIO()
    with_exif(image, orientation).save(file, "jpeg", quality=95, exif=exif(orientation))
    return file.getvalue()


def with_exif(image: np.ndarray, orientation: int) -> Image.Image:
    picture = Image.fromarray(image)
    picture.getexif().update(exif(orientation))
    return picture


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION], made[MAKER] = orientation, "Camera"
    return made


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """By Pillow, which knows EXIF itself."""
    return np.array(ImageOps.exif_transpose(with_exif(image, orientation)))


def write_packets(path: Path, codec: str, packets: Sequence[bytes], size: tuple[int, int]) -> Path:
    """A file with these packets, five a second, each a keyframe."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=5)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 5)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


def is_close(image: np.ndarray, wanted: np.ndarray) -> bool:
    return image.shape == wanted.shape and np.abs(image.astype(int) - wanted).mean() < 6


# ---- orientation ----


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_by_exif(tmp_path: Path, suffix: str, orientation: int) -> None:
    image = numbered(77, 160, 90)
    Image.fromarray(image).save(tmp_path / f"a{suffix}", exif=exif(orientation), quality=95)
    wanted = upright(image, orientation)
    info, [frame], gaps = read(tmp_path)
    assert (info.height, info.width) == wanted.shape[:2]
    # Mirrored pictures count by the turn that comes after mirroring.
    assert info.rotation == [0, 0, 180, 180, 270, 90, 90, 270][orientation - 1]
    assert is_close(frame.image, wanted)
    assert gaps == []


@pytest.mark.parametrize("kind", ["images", "film.avi"])
def test_each_picture_is_turned_by_its_own_exif(tmp_path: Path, kind: str) -> None:
    """FFmpeg states one angle for 1 and 4, for 2 and 3, for 5 and 6, for 7 and 8."""
    image = numbered(77, 160, 160)
    pictures = [jpeg(image, orientation) for orientation in range(1, 9)]
    path = tmp_path / kind
    if kind == "images":
        path.mkdir()
        for number, data in enumerate(pictures):
            (path / f"{number}.jpg").write_bytes(data)
    else:
        write_packets(path, "mjpeg", pictures, (160, 160))
    _, frames, gaps = read(path)
    assert gaps == []
    for orientation, frame in zip(range(1, 9), frames, strict=True):
        assert is_close(frame.image, upright(image, orientation)), orientation


def test_frames_do_not_wait_for_the_garbage_collector(tmp_path: Path) -> None:
    """The side data of these pictures is read in both ways, with EXIF and without."""
    pictures = [jpeg(numbered(77, 160, 160), orientation) for orientation in range(1, 9)]
    turned = write_packets(tmp_path / "turned.avi", "mjpeg", pictures, (160, 160))
    plain = write_video(tmp_path / "plain.mp4", range(0, 1000, 100))
    with open_video(turned, ALL) as one, open_video(plain, ALL) as other, garbage() as left:
        assert len([*one.frames(), *other.frames()]) > 16
    assert [each for each in left if isinstance(each, av.VideoFrame)] == []


@contextmanager
def garbage() -> Iterator[list[object]]:
    """What only the garbage collector frees of what was made here; all of it at the end."""
    left: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("ends", [True, False])
def test_a_closed_video_does_not_wait_for_the_garbage_collector(tmp_path: Path, ends: bool) -> None:
    """A stream that is opened anew all day would keep every decoder and its threads."""
    path = write_video(tmp_path / "film.mp4", range(0, 1000, 100))
    with garbage() as left:
        with open_video(path, ALL) as video:
            frames = video.frames()
            next(frames)
            if ends:
                list(frames)
        del video, frames
    assert [each for each in left if type(each).__module__.startswith(("av.", "seal."))] == []


def test_a_film_of_upright_pictures_with_exif_is_read(tmp_path: Path) -> None:
    path = write_packets(
        tmp_path / "film.avi", "mjpeg", [jpeg(numbered(3, 160, 90))] * 2, (160, 90)
    )
    info, frames, gaps = read(path)
    assert (info.width, info.height, info.rotation, len(frames), gaps) == (160, 90, 0, 2, [])


# ---- shape ----


def test_each_picture_keeps_its_shape(tmp_path: Path) -> None:
    """Landscape, then portrait, then landscape of twice the size."""
    wide, high = numbered(5, 160, 80), np.full((160, 80, 3), 200, np.uint8)
    large = numbered(5, 320, 160)
    path = write_packets(
        tmp_path / "film.avi", "mjpeg", [*map(jpeg, (wide, high, large))], (160, 80)
    )
    info, frames, gaps = read(path)
    assert gaps == []
    assert (info.width, info.height) == (160, 80)
    assert all(frame.image.shape == (80, 160, 3) for frame in frames)
    assert is_close(frames[0].image, wide)
    assert is_close(frames[2].image, wide)
    # 80 x 160 into 160 x 80 is 40 x 80, in the middle.
    assert frames[1].image[:, :59].max() < 5
    assert frames[1].image[:, 61:99].min() > 190
    assert frames[1].image[:, 101:].max() < 5
    with open_video(path, VideoOptions(rate_hz=0.1)) as video:
        # The grey pictures between lie as the analysed ones do.
        converter = video._converter
        grey = converter.grey(av.VideoFrame.from_ndarray(high, "rgb24"))
    assert grey.shape == (40, 80)
    assert grey[:, :29].max() < 5
    assert grey[:, 31:49].min() > 190


def test_pixels_that_change_their_shape_are_made_square(tmp_path: Path) -> None:
    """Broadcasts go from 4:3 to 16:9 with pictures of one size."""
    image = np.full((96, 96, 3), 200, np.uint8)
    packets = []
    for aspect in (Fraction(4, 3), Fraction(1)):
        film = tmp_path / f"{aspect.numerator}.m2v"
        with av.open(str(film), "w", format="mpeg2video") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
            stream.codec_context.gop_size = 1
            stream.codec_context.sample_aspect_ratio = aspect
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
                packets += [bytes(packet) for packet in stream.encode(frame)]
            packets += [bytes(packet) for packet in stream.encode(None)]
    path = write_packets(tmp_path / "film.ts", "mpeg2video", packets, (96, 96))
    info, frames, gaps = read(path)
    assert gaps == []
    assert (info.width, info.height, len(frames)) == (128, 96, 20)
    lit = [int((frame.image[48, :, 0] > 100).sum()) for frame in frames]
    # MPEG-2 gives a picture when the next one begins: the last of the wide ones counts as square.
    assert lit[:9] == [128] * 9
    assert all(abs(width - 96) <= 2 for width in lit[10:])


@pytest.mark.parametrize(
    ("aspect", "width"),
    [(Fraction(10), 960), (Fraction(11), 96), (Fraction(65535), 96), (Fraction(1, 65535), 96)],
)
def test_pixels_of_no_possible_shape_count_as_square(
    tmp_path: Path, aspect: Fraction, width: int
) -> None:
    path = write_video(tmp_path / "film.mp4", [0, 40], size=(96, 64), pixel_aspect=aspect)
    info, frames, _ = read(path)
    assert (info.width, info.height) == (width, 64)
    assert frames[0].image.shape == (64, width, 3)


def test_the_real_change_of_shape(shared_data: Path) -> None:
    path = shared_data.parent / "cases" / "picture" / "reschange.ts"
    if not path.is_file():
        pytest.skip(f"no {path}")
    _, frames, _ = read(path, VideoOptions())
    bars = [frame.image[:, :100].max() < 10 for frame in frames]
    # 8 s of landscape, then 8 s of portrait.
    assert bars == sorted(bars)
    assert sum(bars) == pytest.approx(len(frames) / 2, abs=2)


# ---- colours ----


@pytest.mark.parametrize("name", ["exif.avi", "exif_jpg", "hdrpq.mp4"])
def test_real_pictures_are_read(shared_data: Path, name: str) -> None:
    path = shared_data.parent / "cases" / "picture" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    _, frames, gaps = read(path, VideoOptions())
    assert frames
    assert gaps == []


def slow_tone_map(code: np.ndarray, transfer: int, peak: float, wide: bool) -> list[int]:
    """One pixel, by the formulas of BT.2100, BT.2390, BT.2087 and BT.1886, a number at a time."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875

    def eotf(e: float) -> float:
        return 10000 * (max(e ** (1 / m2) - c1, 0) / (c2 - c3 * e ** (1 / m2))) ** (1 / m1)

    def inverse(y: float) -> float:
        y = (y / 10000) ** m1
        return ((c1 + c2 * y) / (1 + c3 * y)) ** m2

    def scene(e: float) -> float:
        return e * e / 3 if e <= 0.5 else (np.exp((e - 0.55991073) / 0.17883277) + 0.28466892) / 12

    signal = [float(value) / 65535 for value in code]
    if transfer == 16:
        light = [eotf(e) for e in signal]
    else:
        peak, light = 1000, [scene(e) for e in signal]
        y = 0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2]
        light = [1000 * y**0.2 * e for e in light]
    most, top = max(light), inverse(peak)
    e1, max_lum = min(inverse(most) / top, 1), inverse(203) / top
    ks = 1.5 * max_lum - 0.5
    if most > peak and peak == 203:
        light = [value * 203 / most for value in light]
    elif e1 > ks and peak > 203:
        t = (e1 - ks) / (1 - ks)
        e1 = (2 * t**3 - 3 * t**2 + 1) * ks + (t**3 - 2 * t**2 + t) * (1 - ks)
        e1 += (-2 * t**3 + 3 * t**2) * max_lum
        light = [value * eotf(e1 * top) / most for value in light]
    if wide:
        matrix = (
            (1.6605, -0.5876, -0.0728),
            (-0.1246, 1.1329, -0.0083),
            (-0.0182, -0.1006, 1.1187),
        )
        light = [sum(m * v for m, v in zip(row, light, strict=True)) for row in matrix]
    return [round(255 * min(max(value / 203, 0), 1) ** (1 / 2.4)) for value in light]


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize(("peak", "primaries"), [(1000, 9), (4000, 1), (203, 9), (10000, 2)])
def test_tone_mapping_is_that_of_the_standards(transfer: int, peak: float, primaries: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 65536, (24, 24, 3), np.uint16)
    # Dark, grey and pure colours, and what no camera makes.
    codes[0] //= 16
    codes[1, :, 1:] = codes[1, :, :1]
    codes[2] = np.array(list(itertools.product([0, 65535], repeat=3)) * 3)
    mapped = ToneMap(transfer, primaries, peak)(codes)
    wide = primaries != 1
    wanted = [slow_tone_map(code, transfer, peak, wide) for code in codes.reshape(-1, 3)]
    difference = np.abs(mapped.reshape(-1, 3).astype(int) - wanted)
    assert difference.max() <= 1


# Nits of greys, and the signal of PQ that stands for them.
GREYS = {0: 0.0, 26: 0.3785, 100: 0.5081, 203: 0.5807, 1000: 0.7518}


def write_hdr(path: Path, transfer: str, signals: Sequence[float], extra: str = "") -> Path:
    """A film of one picture with a grey stripe for each signal, 10 bits, BT.2020."""
    stripes = np.repeat(np.array(signals), 64)
    codes = np.broadcast_to(stripes[None, :, None] * 65535, (64, stripes.size, 3))
    # With B-frames, x265 leaves the DTS of a single picture to chance.
    colours = f"colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}"
    parameters = f"log-level=none:bframes=0:{colours}:{extra}"
    with av.open(str(path), "w") as container:
        options = {"x265-params": parameters, "crf": "4", "preset": "ultrafast"}
        stream = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = stripes.size, 64, "yuv420p10le"
        frame = av.VideoFrame.from_ndarray(codes.astype(np.uint16), "rgb48le")
        frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def stripes_of(image: np.ndarray) -> list[int]:
    return [int(value) for value in image[32, 32::64].mean(1).round()]


def test_pq_is_shown_as_bright_as_the_standard_range(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "pq.mp4", "smpte2084", list(GREYS.values()))
    _, [frame], _ = read(path)
    black, middle, bright, white, peak = stripes_of(frame.image)
    assert black <= 1
    # BT.2408: an 18 % grey card is at 26 nits, and in the standard range at 0.41 of the signal.
    assert middle == pytest.approx(0.41 * 255, abs=5)
    assert 180 <= bright <= 195
    assert 215 <= white <= 240
    assert peak >= 253


def test_hlg_is_shown_as_bright_as_pq(tmp_path: Path) -> None:
    # BT.2408: grey card, diffuse white and peak.
    path = write_hdr(tmp_path / "hlg.mp4", "arib-std-b67", [0, 0.38, 0.75, 1])
    _, [frame], _ = read(path)
    black, middle, white, peak = stripes_of(frame.image)
    assert black <= 1
    assert middle == pytest.approx(0.41 * 255, abs=5)
    assert 215 <= white <= 240
    assert peak >= 253


@pytest.mark.parametrize(
    ("states", "stated"),
    [
        ("max-cll=4000,400", 4000),
        (
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)",
            4000,
        ),
        ("", 1000),
    ],
)
def test_the_stated_peak_is_what_becomes_white(tmp_path: Path, states: str, stated: int) -> None:
    path = write_hdr(tmp_path / "pq.ts", "smpte2084", [GREYS[1000]], f"hdr10=1:{states}")
    _, [frame], _ = read(path)
    code = np.full(3, round(GREYS[1000] * 65535))
    assert stripes_of(frame.image)[0] == pytest.approx(
        slow_tone_map(code, 16, stated, True)[0], abs=3
    )


def test_grey_pictures_between_are_as_bright_as_the_analysed_ones(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "pq.mp4", "smpte2084", list(GREYS.values()))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    converter = Converter(frame, Fraction(1), 64)
    grey = converter.grey(frame)[16, 16::32]
    assert np.abs(grey.astype(int) - stripes_of(converter(frame))).max() <= 1


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p12le"])
def test_the_standard_range_is_only_scaled(pix_fmt: str) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (90, 160, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=pix_fmt)
    for primaries, transfer in [(2, 2), (1, 1), (9, 14)]:
        frame.color_primaries, frame.color_trc = primaries, transfer
        image = Converter(frame, Fraction(1), 45)(frame)
        plain = frame.reformat(width=80, height=45, format="gbrp", src_colorspace=5)
        assert np.array_equal(image, plain.to_ndarray())


@pytest.mark.parametrize(("pix_fmt", "whole", "shown"), [
    ("yuv420p", False, 214), ("yuv420p", True, 200), ("yuvj420p", False, 200),
])  # fmt: skip
def test_the_whole_range_is_told_from_the_usual_one(pix_fmt: str, whole: bool, shown: int) -> None:
    frame = av.VideoFrame(64, 64, pix_fmt)
    for plane, value in zip(frame.planes, (200, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    if whole:
        frame.color_range = 2
    converter = Converter(frame, Fraction(1), 32)
    assert converter(frame)[16, 16].tolist() == [shown] * 3
    assert converter.grey(frame)[8, 8] == shown


def test_a_matrix_that_means_nothing_counts_as_not_stated() -> None:
    frame = av.VideoFrame.from_ndarray(numbered(9), "rgb24").reformat(format="yuv420p")
    wanted = Converter(frame, Fraction(1), 64)(frame)
    for matrix in (3, 19, 200):
        frame.colorspace = matrix
        assert np.array_equal(Converter(frame, Fraction(1), 64)(frame), wanted)


def dolby_metadata() -> bytes:
    """A unit of HEVC with the least of Dolby's metadata: pictures mapped to themselves."""

    def number(value: int) -> str:
        """Exp-Golomb code."""
        bits = f"{value + 1:b}"
        return "0" * (len(bits) - 1) + bits

    # Type 2, format 0x012, profile 0, level 0, with sequence: fixed point of 23 bits, full range.
    bits = f"{2:06b}{0x12:011b}{0:04b}{0:04b}1" + "0" + "00" + number(23) + "01" + "1"
    # 10, 10 and 12 bits; no residual; no display metadata; a new mapping.
    bits += number(2) + number(2) + number(4) + "0" + "000" + "0" + "1" + "0" + "0"
    bits += number(0) + number(0) + number(0)
    bits += (number(0) + f"{0:010b}{1023:010b}") * 3 + number(0) + number(0)
    # For each channel: a polynomial of the first order, 0 + 1 x.
    one = number(0) + number(0) + "0" + number(0) + "0" * 23 + number(1) + "0" * 23
    bits += one * 3
    bits += "0" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big")
    unit = b"\x7c\x01\x19" + body + b"\1\2\3\4\x80"
    # Emulation prevention.
    return b"\0\0\0\1" + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", unit)


def write_dolby_vision(path: Path) -> Path:
    """A film without stated colours whose pictures carry Dolby's metadata."""
    with av.open(str(path), "w", format="hevc") as container:
        options = {"x265-params": "log-level=none:bframes=0"}
        stream = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p10le"
        frame = av.VideoFrame.from_ndarray(numbered(9), "rgb24").reformat(format="yuv420p10le")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            made = av.Packet(bytes(packet) + dolby_metadata())
            made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.stream = stream
            container.mux(made)
    return path


def write_matrix(path: Path, matrix: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.colorspace = matrix
        frame = av.VideoFrame.from_ndarray(numbered(9), "rgb24").reformat(format="yuv420p")
        frame.colorspace = matrix
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_colours_that_cannot_be_converted_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"film\.hevc: Dolby Vision of profile 5.*convert"):
        open_video(write_dolby_vision(tmp_path / "film.hevc"), ALL)
    with pytest.raises(VideoError, match=r"film\.mp4: colours stored as ICtCp.*convert"):
        open_video(write_matrix(tmp_path / "film.mp4", 14), ALL)


def test_colours_that_cannot_be_converted_later_are_a_gap(tmp_path: Path) -> None:
    packets = []
    for matrix in (1, 14, 1):
        with av.open(str(write_matrix(tmp_path / f"{matrix}.ts", matrix))) as container:
            [data] = [bytes(packet) for packet in container.demux(video=0) if packet.size]
            packets += [data] * 5
    path = write_packets(tmp_path / "film.ts", "h264", packets, (320, 240))
    info, frames, [gap] = read(path, VideoOptions(rate_hz=5))
    assert len(frames) == 10
    assert gap.span.start_s - info.start_s == pytest.approx(1, abs=0.01)
    assert gap.span.end_s - info.start_s == pytest.approx(2, abs=0.01)
    assert "ICtCp" in gap.reason


# ---- folders of images ----


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["img_001.jpg", "img_002.jpg", "img_004.jpg"], [0, 1, 3]),
        (["0.png", "1.png", "2.png"], [0, 1, 2]),
        (["f1000.png", "f1001.png", "f1005.png", "f1006.png"], [0, 1, 5, 6]),
        (["000.png", "010.png", "020.png", "040.png"], [0, 1, 2, 4]),
        (["cam2_9.png", "cam2_10.png", "cam2_12.png"], [0, 1, 3]),
        (["1.png", "5.png"], [0, 1]),
        (["only.png"], [0]),
        # Other names, two kinds of file, two numbers that differ.
        (["a.png", "b.png", "z.png"], [0, 1, 2]),
        (["1.jpg", "2.jpg", "4.png"], [0, 1, 2]),
        (["a1_1.png", "a1_2.png", "a2_4.png"], [0, 1, 2]),
        (["1.png", "01.png", "3.png"], [0, 1, 2]),
        # Times of day in milliseconds, about 30 a second.
        ([f"{1700000000000 + t}.jpg" for t in (0, 33, 67, 100, 134, 167)], [0, 1, 2, 3, 4, 5]),
        # Times without a step that comes back.
        ([f"{t}.jpg" for t in (1700000000, 1700000003, 1700000019, 1700000400)], [0, 1, 2, 3]),
        # A camera's numbers begin anew.
        (["DSC1.jpg", "DSC2.jpg", "DSC9998.jpg", "DSC9999.jpg"], [0, 1, 2, 3]),
        # Up to ten are missing for each that is there.
        (["1.png", "2.png", "3.png", "34.png"], [0, 1, 2, 33]),
        (["1.png", "2.png", "3.png", "45.png"], [0, 1, 2, 3]),
    ],
)
def test_images_count_by_their_numbers(names: list[str], wanted: list[int]) -> None:
    assert places(names) == wanted


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=30))
def test_places_run_forward_and_are_bounded(numbers: list[int]) -> None:
    found = places([f"{number}.png" for number in sorted(numbers)])
    assert found[0] == 0
    assert all(a < b for a, b in itertools.pairwise(found))
    assert found[-1] < 11 * len(numbers)


def test_missing_numbers_are_gaps(tmp_path: Path) -> None:
    for number in (7, 8, 10, 11, 12, 15):
        Image.fromarray(numbered(number)).save(tmp_path / f"img_{number:03}.png")
    # What macOS leaves on other file systems.
    (tmp_path / "._img_009.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "img_011.png").write_bytes(b"")
    info, frames, gaps = read(tmp_path, VideoOptions(image_rate_hz=2))
    assert info.duration_s == 4.5
    assert [frame.time_s for frame in frames] == [0, 0.5, 1.5, 2.5, 4]
    assert [(gap.span.start_s, gap.span.end_s) for gap in gaps] == [(1, 1.5), (2, 2.5), (3, 4)]
    assert gaps[0].reason == "1 image is missing before img_010.png"
    assert gaps[1].reason.startswith("img_011.png")
    assert gaps[2].reason == "2 images are missing before img_015.png"
    with open_video(tmp_path, VideoOptions(image_rate_hz=2)) as video:
        assert [frame.time_s for frame in video.frames(1, 2.6)] == [1.5, 2.5]
        starts = video.part_starts(1)
        parts = [
            frame
            for part in itertools.zip_longest(starts, starts[1:])
            for frame in video.frames(*part)
        ]
        assert [frame.time_s for frame in parts] == [frame.time_s for frame in frames]


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".heif"])
def test_images_of_phones_are_read(tmp_path: Path, suffix: str) -> None:
    image = numbered(77, 256, 128)
    if suffix == ".avif":
        Image.fromarray(image).save(tmp_path / "a.avif", quality=95)
    else:
        write_heic(tmp_path / f"a{suffix}", image)
    _, [frame], gaps = read(tmp_path)
    assert is_close(frame.image, image)
    assert gaps == []


def _tiled(path: Path) -> None:
    write_heic(path, numbered(77, 128, 128), tiles=2)


def _unknown(path: Path) -> None:
    film = write_video(path.with_suffix(".mp4"), [0, 40])
    path.write_bytes(film.read_bytes().replace(b"avc1", b"zzz9"))
    film.unlink()


def _animated(path: Path) -> None:
    pictures = [Image.fromarray(numbered(number)) for number in (1, 2)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)


def _large(path: Path, side: int = 30_000) -> None:
    """A small file that says it is huge."""
    file = io.BytesIO()
    Image.fromarray(numbered(1)).save(file, "png")
    data = bytearray(file.getvalue())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (_tiled, "1.heic", "tiles"),
        (_unknown, "1.heic", "codec"),
        (_animated, "1.webp", "animated WebP"),
        (_large, "1.png", "at most 100 million pixels"),
        # Below what FFmpeg refuses by itself.
        (lambda path: _large(path, 12_000), "1.png", "at most 100 million pixels"),
    ],
)
def test_an_image_that_cannot_be_read_says_why(
    tmp_path: Path, make: Callable[[Path], None], name: str, says: str
) -> None:
    make(tmp_path / name)
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(VideoError, match=says) as caught:
            open_video(source, ALL)
        assert name in str(caught.value)


def test_a_picture_that_says_it_is_huge_takes_no_memory(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    _large(tmp_path / "1.png", 12_000)
    Image.fromarray(numbered(2)).save(tmp_path / "2.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, frames, [gap] = read(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert [frame.time_s for frame in frames] == [1]
    assert (gap.span.start_s, gap.span.end_s) == (0, 1)
    assert "1.png" in gap.reason


def test_a_film_that_says_it_is_huge_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.avi", [0, 1, 2], codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    at = data.index(b"\xff\xc0") + 5
    path.write_bytes(data.replace(data[at : at + 4], struct.pack(">HH", 12_000, 12_000)))
    with pytest.raises(VideoError, match="at most 100 million pixels"):
        open_video(path, ALL)
