"""Videos with known sound: a signal that is another one at every time, so that its place can be
measured in what was read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from synthetic import numbered

_RNG = np.random.default_rng(18)
_HZ = _RNG.uniform(150, 3000, 60)
_PHASE = _RNG.uniform(0, 2 * np.pi, 60)
_NUMPY = {"s16": np.int16, "s16p": np.int16, "s32": np.int32, "u8": np.uint8}
_SCALE = {"s16": 32767, "s16p": 32767, "s32": 2**31 - 1, "u8": 127}


def hum(times_s: np.ndarray) -> np.ndarray:
    """60 tones that never come together again: [n] in [-1, 1]."""
    tones = (np.sin(2 * np.pi * hz * times_s + at) for hz, at in zip(_HZ, _PHASE, strict=True))
    return 0.06 * sum(tones, start=np.zeros(len(times_s)))


def lag_s(heard: np.ndarray, start_s: float, rate_hz: int = 16_000, most_s: float = 0.2) -> float:
    """How much later `heard`, which is said to begin at `start_s`, is than the hum."""
    most = round(most_s * rate_hz)
    steps = np.arange(-most, len(heard) + most)
    wanted = hum(start_s + steps / rate_hz)
    size = 1 << (len(wanted) + len(heard)).bit_length()
    match = np.fft.irfft(np.fft.rfft(wanted, size) * np.conj(np.fft.rfft(heard, size)), size)
    return (most - int(np.argmax(match[: 2 * most + 1]))) / rate_hz


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def write_sounding(
    path: Path,
    length_s: float = 6.0,
    *,
    codec: str = "pcm_s16le",
    rate_hz: int = 48_000,
    layout: str = "stereo",
    form: str = "s16",
    start_s: float = 0.0,
    end_s: float | None = None,
    holes: Sequence[tuple[float, float]] = (),
    drift: float = 0.0,
    video_start_s: float = 0.0,
    signal: Callable[[np.ndarray], np.ndarray] = hum,
    streams: int = 1,
    default: int | None = None,
    options: dict[str, str] | None = None,
    gop: int = 25,
    fps: int | Fraction = 10,
    video_codec: str = "libx264",
    faults: Sequence[int] = (),
) -> Path:
    """Pictures of `length_s` and sound from `start_s` to `end_s` without the `holes`.

    With `drift` the samples come faster than the clock says, by this share. The streams after the
    first are silent, but for the one that is the `default`; then it alone sounds. Packets of the
    sound with the numbers `faults` are damaged.
    """
    end_s = length_s if end_s is None else end_s
    sounding = default or 0
    with av.open(str(path), "w", container_options=options or {}) as container:
        video = container.add_stream(video_codec, rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = gop
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        sounds = [container.add_stream(codec, rate=rate_hz, layout=layout) for _ in range(streams)]
        for number, sound in enumerate(sounds):
            sound.codec_context.format = form
            sound.time_base = sound.codec_context.time_base = Fraction(1, rate_hz)
            if default is not None:
                flag = av.stream.Disposition.default
                sound.disposition = flag if number == default else av.stream.Disposition(0)
        packets = []
        for i in range(round(length_s * fps)):
            image = av.VideoFrame.from_ndarray(numbered(i % 256, 64, 48), "rgb24")
            frame = image.reformat(format="yuv420p")
            frame.pts, frame.time_base = (
                round((video_start_s + float(i / fps)) * 1000),
                Fraction(1, 1000),
            )
            packets += video.encode(frame)
        packets += video.encode(None)
        for number, sound in enumerate(sounds):
            packets += _encoded(
                sound, signal if number == sounding else np.zeros_like, rate_hz, layout, form,
                start_s, end_s, holes, drift, faults,
            )  # fmt: skip
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            container.mux(packet)
    return path


def _encoded(sound, signal, rate_hz, layout, form, start_s, end_s, holes, drift, faults):
    channels = av.AudioLayout(layout).nb_channels
    size = sound.codec_context.frame_size or 1024
    packets = []
    for first in range(0, round((end_s - start_s) * rate_hz), size):
        at_s = start_s + first * (1 + drift) / rate_hz
        if any(begin <= at_s < end for begin, end in holes):
            continue
        count = min(size, round((end_s - start_s) * rate_hz) - first)
        times_s = at_s + np.arange(count) / rate_hz
        row = signal(times_s)
        if form in _SCALE:
            row = (row * _SCALE[form] + (128 if form == "u8" else 0)).astype(_NUMPY[form])
        else:
            row = row.astype(np.float32)
        rows = np.tile(row, (channels, 1))
        if not form.endswith("p"):
            rows = np.ascontiguousarray(rows.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(rows, form, layout)
        frame.sample_rate = rate_hz
        frame.pts = round(first * (1 + drift)) + round(start_s * rate_hz)
        frame.time_base = Fraction(1, rate_hz)
        packets += sound.encode(frame)
    packets += sound.encode(None)
    for number in faults:
        packets[number] = _broken(packets[number])
    return packets


def _broken(packet: av.Packet) -> av.Packet:
    """The packet with noise in place of its content."""
    noise = np.random.default_rng(3).integers(0, 256, packet.size, np.uint8).tobytes()
    other = av.Packet(noise)
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    other.time_base, other.stream = packet.time_base, packet.stream
    return other
