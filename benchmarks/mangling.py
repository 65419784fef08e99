"""Damaged video files, each made from its number alone.

A `Studio` cuts excerpts out of films, writes its number on every picture, and stores the excerpts
in the containers and codecs of `FORMS`. `Studio.mutant` damages one of these clips as bad disks,
lossy lines, killed recorders and wrong headers do.

The same seed and number give the same file on one machine. Encoders use the vector code of the
processor, so another machine may make another file.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

PICTURES = 150
"""The length of an excerpt, where its film is long enough."""
_LONG_SIDE_PX = 256
_GOP = 25
_BLOCKS = 12
"""The number of a picture, modulo 256, stands in this many black or white blocks."""
_STRIP = 0.125
"""The blocks take this share of the picture's height, at the bottom."""
_NTSC = Fraction(30000, 1001)
_TS_PACKET = 188
_STAMP_PERIOD = 1 << 33
"""MPEG timestamps start again from 0 after this many ticks of 90 kHz."""


@dataclass(frozen=True)
class Form:
    """A container and what is in it."""

    suffix: str
    codec: str
    sound: str | None = None
    b_frames: int = 0
    rate_hz: Fraction = Fraction(25)
    muxer: Mapping[str, str] = field(default_factory=dict)
    variant: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, [self.suffix, self.codec, self.variant]))


_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_CLUSTERS = {"cluster_time_limit": "1000"}
FORMS = (
    Form("mp4", "libx264", "aac", 2),
    Form("mp4", "libx264", None, 0, _NTSC, _FRAGMENTS, "fragments"),
    Form("mkv", "libx264", "aac", 2, _NTSC, _CLUSTERS),
    Form("mkv", "libx265", "libopus", 2, muxer=_CLUSTERS),
    Form("ts", "libx264", "aac", 2),
    Form("ts", "mpeg2video", "mp2", 2, _NTSC),
    Form("avi", "mpeg4", "libmp3lame"),
    Form("avi", "libx264", None, 2),
    Form("avi", "mjpeg", None, 0, _NTSC),
    Form("webm", "libvpx", "libopus", muxer=_CLUSTERS),
    Form("webm", "libvpx-vp9", None, 0, _NTSC, _CLUSTERS),
    Form("vob", "mpeg2video", "mp2", 2),
    Form("vob", "mpeg1video", None, 0, _NTSC),
    Form("flv", "libx264", "aac", 2),
    Form("flv", "flv"),
)
SUFFIXES = tuple(dict.fromkeys(form.suffix for form in FORMS))
_SPEED = {
    "libx264": {"preset": "veryfast", "threads": "1"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


def stamp(image: np.ndarray, number: int) -> None:
    """Write a number, modulo 256, with check bits on an RGB picture."""
    height, width = image.shape[:2]
    edges = np.linspace(0, width, _BLOCKS + 1).round().astype(int)
    code = _checked(number % 256)
    for bit in range(_BLOCKS):
        value = 235 if code >> bit & 1 else 16
        image[round(height * (1 - _STRIP)) :, edges[bit] : edges[bit + 1]] = value


def _checked(number: int) -> int:
    """A number of 8 bits with 4 bits above it that tell whether it was read right."""
    return number | ((number ^ number >> 4 ^ 0b0101) & 0b1111) << 8


def number_on(image: np.ndarray) -> int | None:
    """The number on a picture, [height, width] or [height, width, 3], of any size; None where
    damage has changed it."""
    height, width = image.shape[:2]
    strip = image[round(height * (1 - 0.7 * _STRIP)) : round(height * (1 - 0.3 * _STRIP)) + 1]
    grey = strip.reshape(*strip.shape[:2], -1).mean((0, 2))
    centres = ((np.arange(_BLOCKS) + 0.5) * width / _BLOCKS).astype(int)
    code = sum(1 << bit for bit, x in enumerate(centres) if grey[x] > 125)
    return code & 255 if _checked(code & 255) == code else None


@dataclass(frozen=True)
class Film:
    """Where an excerpt is cut out of a film."""

    path: Path
    first: int = 0
    """The picture that it begins with."""

    @property
    def name(self) -> str:
        return f"{self.path.stem}-{self.first}"


@cache
def _pictures(film: Film) -> list[np.ndarray]:
    """The pictures of an excerpt, small, each with its number on it."""
    found = []
    with av.open(str(film.path)) as container:
        frames = islice(container.decode(video=0), film.first, film.first + PICTURES)
        for number, frame in enumerate(frames):
            scale = _LONG_SIDE_PX / max(frame.width, frame.height)
            size = [2 * round(side * scale / 2) for side in (frame.width, frame.height)]
            image = cv2.resize(frame.to_ndarray(format="rgb24"), size, interpolation=cv2.INTER_AREA)
            stamp(image, number)
            found.append(image)
    return found


@dataclass(frozen=True)
class Mutant:
    """A damaged file."""

    number: int
    form: Form
    film: str
    """The name of the excerpt."""
    damage: str
    """The name of the mutator."""
    detail: str
    """What exactly the mutator did."""
    path: Path


class Studio:
    """Makes clips of films, keeps them in a folder, and writes damaged copies of them there."""

    def __init__(self, folder: Path, films: Sequence[Film], seed: int) -> None:
        self._folder, self._films, self._seed = folder, films, seed

    def mutant(self, number: int) -> Mutant:
        """The file of this number, written anew. The containers take turns."""
        rng = random.Random(f"{self._seed} {number}")
        suffix = SUFFIXES[number % len(SUFFIXES)]
        form = rng.choice([form for form in FORMS if form.suffix == suffix])
        film = rng.choice(self._films)
        clip = self.clip(form, film)
        names = [name for name, (suffixes, _) in MUTATORS.items() if suffix in suffixes]
        detail = None
        while detail is None:
            # Some kinds of damage need something that not every clip has.
            damage = rng.choice(names)
            job = _Job(self, form, film, clip, bytearray(clip.read_bytes()), rng)
            detail = MUTATORS[damage][1](job)
        path = self._folder / f"{number:04d}.{suffix}"
        path.write_bytes(job.data)
        return Mutant(number, form, film.name, damage, detail, path)

    def any_film(self, rng: random.Random) -> Film:
        return rng.choice(self._films)

    def clip(self, form: Form, film: Film) -> Path:
        """The excerpt in this form, whole."""
        path = self._folder / f"clip-{film.name}-{form}.{form.suffix}"
        if not path.exists():
            draft = path.with_name(f"draft-{path.name}")
            _write(draft, form, film)
            draft.rename(path)
        return path


def _write(path: Path, form: Form, film: Film) -> None:
    pictures = _pictures(film)
    with av.open(str(path), "w", options=_bitexact(form)) as out:
        video = out.add_stream(form.codec, rate=form.rate_hz, options=_SPEED.get(form.codec, {}))
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuvj420p" if form.codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size = _GOP
        video.codec_context.max_b_frames = form.b_frames
        if form.sound:
            sound = out.add_stream(form.sound, rate=48000, layout="mono")
            times_s = np.arange(round(len(pictures) / form.rate_hz * 48000)) / 48000
            tone = (3000 * np.sin(880 * np.pi * times_s)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            frame.sample_rate = 48000
            out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
        for number, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=video.pix_fmt)
            frame.pts, frame.time_base = number, 1 / form.rate_hz
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


def _bitexact(form: Form) -> dict[str, str]:
    """Options of a muxer that writes no time of day and no random id."""
    return {"fflags": "+bitexact", **form.muxer}


# ---- ways to damage a file ----


@dataclass
class _Job:
    """What a mutator works on."""

    studio: Studio
    form: Form
    film: Film
    clip: Path
    data: bytearray
    """The bytes of the clip, to be changed in place."""
    rng: random.Random

    def stretch(self, largest: float = 0.2) -> tuple[int, int]:
        """Start and end of a stretch, of 16 bytes to a share of the file, short ones as often as
        long ones."""
        size = round(16 * (len(self.data) * largest / 16) ** self.rng.random())
        start = self.rng.randrange(len(self.data) - size)
        return start, start + size


_Mutator = Callable[[_Job], str | None]
"""Changes `data` and says what it did; None if it found nothing to change."""

MUTATORS: dict[str, tuple[Sequence[str], _Mutator]] = {}
"""Name -> the containers that it is for, and the function."""


def _damages(*suffixes: str) -> Callable[[_Mutator], _Mutator]:
    def register(function: _Mutator) -> _Mutator:
        name = function.__name__.strip("_").replace("_", " ")
        MUTATORS[name] = (suffixes or SUFFIXES, function)
        return function

    return register


@_damages()
def _flipped_bits(job: _Job) -> str:
    start, end = (0, len(job.data)) if job.rng.random() < 0.5 else job.stretch()
    count = round(2 ** job.rng.uniform(0, 8))
    for _ in range(count):
        job.data[job.rng.randrange(start, end)] ^= 1 << job.rng.randrange(8)
    return f"{count} in {start}:{end}"


@_damages()
def _zeroed(job: _Job) -> str:
    start, end = job.stretch()
    job.data[start:end] = bytes(end - start)
    return f"{start}:{end}"


@_damages()
def _overwritten(job: _Job) -> str:
    start, end = job.stretch()
    job.data[start:end] = job.rng.randbytes(end - start)
    return f"{start}:{end}"


@_damages()
def _duplicated(job: _Job) -> str:
    start, end = job.stretch()
    job.data[end:end] = job.data[start:end]
    return f"{start}:{end}"


@_damages()
def _removed(job: _Job) -> str:
    start, end = job.stretch()
    del job.data[start:end]
    return f"{start}:{end}"


@_damages()
def _riddled(job: _Job) -> str:
    """Many pieces of the size of a datagram are missing."""
    count = job.rng.randint(3, 30)
    for _ in range(count):
        start = job.rng.randrange(len(job.data) - 1316)
        del job.data[start : start + 1316]
    return f"{count} pieces"


@_damages()
def _swapped(job: _Job) -> str:
    size = 1 << job.rng.randint(9, 14)
    blocks = max(2, len(job.data) // size - 1)
    a, b = sorted(job.rng.sample(range(blocks), 2))
    a, b = a * size, b * size
    job.data[a : a + size], job.data[b : b + size] = (
        job.data[b : b + size],
        job.data[a : a + size],
    )
    return f"{size} bytes at {a} and {b}"


@_damages()
def _cut_off(job: _Job) -> str:
    end = round(len(job.data) * job.rng.uniform(0.02, 0.98))
    del job.data[end:]
    return f"at {end}"


@_damages()
def _never_written(job: _Job) -> str:
    """The rest of the file was reserved, and is zeros."""
    end = round(len(job.data) * job.rng.uniform(0.1, 0.95))
    job.data[end:] = bytes(len(job.data) - end)
    return f"from {end}"


@_damages()
def _headless(job: _Job) -> str:
    start = round(len(job.data) * job.rng.uniform(0.001, 0.6))
    del job.data[:start]
    return f"until {start}"


@_damages()
def _joined(job: _Job) -> str:
    others = [job.studio.any_film(job.rng) for _ in range(job.rng.randint(1, 2))]
    if job.rng.random() < 0.3:
        del job.data[round(len(job.data) * job.rng.uniform(0.3, 0.99)) :]
    for other in others:
        job.data += job.studio.clip(job.form, other).read_bytes()
    return " ".join(other.name for other in others)


@_damages()
def _wrong_header(job: _Job) -> str:
    size = min(2048, len(job.data))
    first = 0 if job.rng.random() < 0.5 else len(job.data) - size
    places = sorted(job.rng.randrange(first, first + size) for _ in range(job.rng.randint(1, 12)))
    for at in places:
        job.data[at] = job.rng.randrange(256)
    return f"bytes {places}"


@_damages()
def _lost_packets(job: _Job) -> str | None:
    share, rng = job.rng.choice([0.02, 0.1, 0.4]), random.Random(job.rng.random())
    return _remux(job, lambda packet: rng.random() > share) and f"{share:.0%} of them"


@_damages()
def _lost_keyframe(job: _Job) -> str | None:
    lost = job.rng.randint(0, PICTURES // _GOP)
    seen = 0

    def keep(packet: av.Packet) -> bool:
        nonlocal seen
        is_key = packet.is_keyframe and packet.stream.type == "video"
        seen += is_key
        return not (is_key and seen == lost + 1)

    return _remux(job, keep) and f"number {lost}"


@_damages()
def _late(job: _Job) -> str | None:
    """The clock jumps forward."""
    from_s = job.rng.uniform(0.5, 5)
    # AVI has no clock: its muxer fills the time with empty pictures.
    jumps_s = [2] if job.form.suffix == "avi" else [2, 100, 26 * 3600]
    jump_s = job.rng.choice(jumps_s)

    def keep(packet: av.Packet) -> bool:
        if packet.dts is not None and packet.dts * packet.time_base >= from_s:
            packet.dts += round(jump_s / packet.time_base)
            packet.pts += round(jump_s / packet.time_base)
        return True

    return _remux(job, keep) and f"{jump_s} s from {from_s:.2f} s on"


def _remux(job: _Job, keep: Callable[[av.Packet], bool]) -> bool | None:
    """The packets that `keep` wants, in a new file; None if the muxer refuses them."""
    path = job.clip.with_name(f"draft.{job.form.suffix}")
    try:
        with (
            av.open(str(job.clip)) as source,
            av.open(str(path), "w", options=_bitexact(job.form)) as out,
        ):
            streams = {each: out.add_stream_from_template(each) for each in source.streams}
            for packet in source.demux():
                if packet.dts is not None and keep(packet):
                    packet.stream = streams[packet.stream]
                    out.mux(packet)
    except av.FFmpegError:
        return None
    job.data[:] = path.read_bytes()
    path.unlink()
    return True


@_damages("ts")
def _lossy_line(job: _Job) -> str:
    """Transport packets are lost one by one, or in bursts."""
    burst = job.rng.choice([1, 1, 7, 70])
    share = job.rng.choice([0.001, 0.01, 0.05])
    count = max(1, round(len(job.data) / _TS_PACKET / burst * share))
    for _ in range(count):
        at = _TS_PACKET * job.rng.randrange(max(1, len(job.data) // _TS_PACKET - burst))
        del job.data[at : at + burst * _TS_PACKET]
    return f"{count} times {burst} packets"


@_damages("ts")
def _other_pids(job: _Job) -> str:
    """The streams get other PIDs in the middle; the rest of the film, or a film from its start."""
    other = Form(
        **{**job.form.__dict__, "muxer": {"mpegts_start_pid": "768"}, "variant": "other-pids"}
    )
    rest = job.studio.clip(other, job.film).read_bytes()
    packets = len(job.data) // _TS_PACKET
    at = _TS_PACKET * round(packets * job.rng.uniform(0.3, 0.8))
    again = job.rng.random() < 0.5
    job.data[at:] = rest if again else rest[: _TS_PACKET * 3] + rest[at:]
    return f"from byte {at} on, {'from the start' if again else 'going on'}"


_CLAIMS: dict[str, list[tuple[bytes, int, str]]] = {
    "mp4": [
        (b"mvhd", 16, ">I"),
        (b"mvhd", 20, ">I"),
        (b"mdhd", 16, ">I"),
        (b"mdhd", 20, ">I"),
        (b"tkhd", 24, ">I"),
        (b"elst", 12, ">I"),
        (b"elst", 16, ">I"),
        *((box, at, ">I") for box in (b"stts", b"ctts", b"stsc", b"stsz") for at in (8, 12, 16)),
        *((box, at, ">I") for box in (b"stco", b"trun", b"tfdt") for at in (8, 12, 16)),
    ],
    "mkv": [
        (b"\x44\x89\x88", 3, ">d"),
        (b"\x2a\xd7\xb1\x83", 3, ">I"),
        (b"\x23\xe3\x83\x84", 4, ">I"),
    ],
    "avi": [
        *((b"avih", at, "<I") for at in (8, 24)),
        *((b"strh", at, "<I") for at in (28, 32, 36, 40)),
    ],
    "flv": [(b"duration\0", 9, ">d"), (b"framerate\0", 10, ">d"), (b"filesize\0", 9, ">d")],
}
"""Container -> name in the file, distance from it, and format of what is claimed there: lengths,
rates, counts, sizes."""
_CLAIMS["webm"] = _CLAIMS["mkv"]


@_damages(*_CLAIMS)
def _wrong_claim(job: _Job) -> str | None:
    name, distance, form = job.rng.choice(_CLAIMS[job.form.suffix])
    places = [found.start() + distance for found in re.finditer(re.escape(name), job.data)]
    places = [at for at in places if at + struct.calcsize(form) <= len(job.data)]
    if not places:
        return None
    at = job.rng.choice(places)
    (before,) = struct.unpack_from(form, job.data, at)
    if form == ">d":
        value = job.rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e12, 3.2e9])
    else:
        flipped = before ^ 1 << job.rng.randrange(32)
        value = job.rng.choice([0, 1, (1 << 31) - 1, (1 << 32) - 1, flipped])
    struct.pack_into(form, job.data, at, value)
    return f"{name!r} + {distance}: {value}, not {before}"


_INDEXES = {
    "mp4": [b"moov", b"stss", b"ctts", b"stts", b"stco", b"stsc", b"edts", b"mfra", b"moof"],
    "mkv": [b"\x1c\x53\xbb\x6b", b"\x11\x4d\x9b\x74"],
    "avi": [b"idx1", b"indx", b"hdrl"],
    "flv": [b"onMetaData"],
}
"""Container -> names of parts that say where and when the pictures are."""
_INDEXES["webm"] = _INDEXES["mkv"]


@_damages(*_INDEXES)
def _no_index(job: _Job) -> str | None:
    name = job.rng.choice(_INDEXES[job.form.suffix])
    at = job.data.find(name)
    if at < 0:
        return None
    # Readers pass over what has a name that they do not know.
    job.data[at + len(name) - 1] ^= 1
    return f"{name!r} at {at}"


# ---- timestamps where they stand in a file ----


@dataclass(frozen=True)
class _Stamp:
    """A timestamp in a file."""

    at: int
    size: int
    period: int
    """It is counted modulo this."""
    read: Callable[[bytes], int]
    write: Callable[[int], bytes]

    def get(self, data: bytearray) -> int:
        return self.read(bytes(data[self.at : self.at + self.size]))

    def put(self, data: bytearray, value: int) -> None:
        data[self.at : self.at + self.size] = self.write(value % self.period)


def _read_pes(field: bytes) -> int:
    a, b, c, d, e = field
    return (a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1


def _pes_stamps(data: bytearray) -> Iterator[_Stamp]:
    """PTS and DTS of the packets of sound and pictures (ISO 13818-1, 2.4.3.6)."""
    for found in re.finditer(rb"\x00\x00\x01[\xbd\xc0-\xef]..[\x80-\xbf]", data, re.DOTALL):
        start = found.start()
        flags = data[start + 7] >> 6 if start + 19 < len(data) else 0
        for i in range({2: 1, 3: 2}.get(flags, 0)):
            at = start + 9 + 5 * i
            prefix = data[at] & 0xF0

            def write(value: int, prefix: int = prefix) -> bytes:
                high, middle, low = value >> 30, value >> 15 & 0x7FFF, value & 0x7FFF
                return bytes([prefix | high << 1 | 1]) + b"".join(
                    (part << 1 | 1).to_bytes(2, "big") for part in (middle, low)
                )

            yield _Stamp(at, 5, _STAMP_PERIOD, _read_pes, write)


def _whole(at: int, size: int) -> _Stamp:
    """A big-endian number."""
    return _Stamp(
        at,
        size,
        1 << 8 * size,
        lambda field: int.from_bytes(field, "big"),
        lambda value: value.to_bytes(size, "big"),
    )


def _flv_stamps(data: bytearray) -> Iterator[_Stamp]:
    """Of every tag, in milliseconds: the low 24 bits, then the high 8."""
    at = 13
    while at + 11 <= len(data):
        yield _Stamp(
            at + 4,
            4,
            1 << 32,
            lambda field: int.from_bytes(field[3:] + field[:3], "big"),
            lambda value: (value & 0xFFFFFF).to_bytes(3, "big") + bytes([value >> 24]),
        )
        at += 11 + int.from_bytes(data[at + 1 : at + 4], "big") + 4


def _cluster_stamps(data: bytearray) -> Iterator[_Stamp]:
    """Of every cluster of Matroska; the times of its blocks count from it."""
    for found in re.finditer(rb"\x1f\x43\xb6\x75.{1,14}?\xe7([\x81-\x84])", data, re.DOTALL):
        yield _whole(found.end(), found.group(1)[0] & 0xF)


_STAMPS: dict[str, Callable[[bytearray], Iterator[_Stamp]]] = {
    "ts": _pes_stamps,
    "vob": _pes_stamps,
    "flv": _flv_stamps,
    "mkv": _cluster_stamps,
    "webm": _cluster_stamps,
}


@_damages(*_STAMPS)
def _clock_restarts(job: _Job) -> str | None:
    """From some place on the timestamps begin anew, as when an encoder was started again."""
    stamps = list(_STAMPS[job.form.suffix](job.data))
    if len(stamps) < 3:
        return None
    k = job.rng.randrange(1, len(stamps))
    back = stamps[k].get(job.data) - stamps[0].get(job.data)
    _shift(job, stamps[k:], -back)
    return f"{back} ticks back from byte {stamps[k].at} on"


@_damages("ts", "vob")
def _clock_wraps(job: _Job) -> str:
    stamps = list(_pes_stamps(job.data))
    k = job.rng.randrange(1, len(stamps))
    _shift(job, stamps, _STAMP_PERIOD - stamps[k].get(job.data))
    return f"at byte {stamps[k].at}"


@_damages(*_STAMPS)
def _outlier(job: _Job) -> str:
    """One bit of one timestamp is wrong."""
    stamp = job.rng.choice(list(_STAMPS[job.form.suffix](job.data)))
    bit = job.rng.randrange(stamp.period.bit_length() - 1)
    before = stamp.get(job.data)
    stamp.put(job.data, before ^ 1 << bit)
    return f"byte {stamp.at}: {before ^ 1 << bit}, not {before}"


def _shift(job: _Job, stamps: Sequence[_Stamp], ticks: int) -> None:
    for each in stamps:
        each.put(job.data, each.get(job.data) + ticks)
