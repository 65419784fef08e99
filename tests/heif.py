"""HEIC images, written box by box (ISO 23008-12), since neither FFmpeg nor Pillow writes them."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np


def write_heic(path: Path, image: np.ndarray, tiles: int = 1) -> Path:
    """An image of [height, width, 3] RGB, or a row of `tiles` such images that make a wider one."""
    height, width = image.shape[:2]
    configuration, sample = _hevc(path.with_suffix(".mp4"), image)
    items = list(range(1, tiles + 1))
    grid = tiles + 1
    infos = [_box("infe", struct.pack(">HH4sx", item, 0, b"hvc1"), 2) for item in items]
    references = b""
    sizes = _box("ispe", struct.pack(">II", width, height), 0)
    associations = [struct.pack(">HBBB", item, 2, 0x81, 2) for item in items]
    if tiles > 1:
        infos.append(_box("infe", struct.pack(">HH4sx", grid, 0, b"grid"), 2))
        made_of = struct.pack(f">HH{tiles}H", grid, tiles, *items)
        references = _box("iref", _box("dimg", made_of), 0)
        sizes += _box("ispe", struct.pack(">II", width * tiles, height), 0)
        associations.append(struct.pack(">HBB", grid, 1, 3))
    # Rows and columns less one, and the whole size.
    layout = struct.pack(">BBBBHH", 0, 0, 0, tiles - 1, width * tiles, height)

    def meta(at: int) -> bytes:
        # Each item: construction method, data reference, extents, offset and length.
        places = [struct.pack(">HHHHII", item, 0, 0, 1, at, len(sample)) for item in items]
        if tiles > 1:
            places.append(struct.pack(">HHHHII", grid, 1, 0, 1, 0, len(layout)))
        count = struct.pack(">H", len(infos))
        return _box(
            "meta",
            _box("hdlr", struct.pack(">I4s13x", 0, b"pict"), 0)
            + _box("pitm", struct.pack(">H", grid if tiles > 1 else 1), 0)
            + _box("iloc", b"\x44\x00" + count + b"".join(places), 1)
            + _box("iinf", count + b"".join(infos), 0)
            + references
            + _box(
                "iprp",
                _box("ipco", configuration + sizes)
                + _box("ipma", struct.pack(">I", len(associations)) + b"".join(associations), 0),
            )
            + _box("idat", layout),
            0,
        )

    start = _box("ftyp", b"heic\0\0\0\0mif1heic")
    head = start + meta(len(start) + len(meta(0)) + 8)
    path.write_bytes(head + _box("mdat", sample))
    return path


def _box(kind: str, content: bytes, version: int | None = None) -> bytes:
    content = content if version is None else struct.pack(">I", version << 24) + content
    return struct.pack(">I4s", len(content) + 8, kind.encode()) + content


def _hevc(path: Path, image: np.ndarray) -> tuple[bytes, bytes]:
    """The box that configures the decoder, and one picture."""
    with av.open(str(path), "w") as container:
        # With B-frames, x265 leaves the DTS of a single picture to chance.
        options = {"x265-params": "log-level=none:bframes=0"}
        stream = container.add_stream("libx265", rate=1, options=options)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    at = data.index(b"hvcC") - 4
    with av.open(str(path)) as container:
        sample = bytes(next(container.demux(video=0)))
    path.unlink()
    return data[at : at + struct.unpack_from(">I", data, at)[0]], sample
