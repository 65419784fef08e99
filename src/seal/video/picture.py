"""A decoded frame to the picture that is analysed: upright, square pixels, small, 8-bit RGB."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.buffer import Buffer
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, VideoReformatter

from seal.types import UInt8

# What the standards (H.264 table E-5) call "unspecified", and from which height on players then
# take a picture to be high definition, hence BT.709.
_UNSPECIFIED = 2
_HIGH_DEFINITION_PX = 720


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """What makes a frame upright: (transpose, then flip left-right, then flip up-down).

    From the display matrix (ISO 14496-12, 6.2.2): a pixel (x, y), y down, belongs at
    (a x + c y, b x + d y). Its angle is taken to the nearest right one.
    """
    side_data = cast("Mapping[SideData, Buffer]", frame.side_data)
    if SideData.DISPLAYMATRIX not in side_data:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side_data[SideData.DISPLAYMATRIX]), np.int32)[:5].tolist()
    transpose = abs(b) > abs(a)
    return (True, c < 0, b < 0) if transpose else (False, a < 0, d < 0)


def clockwise_degrees(frame: av.VideoFrame) -> int:
    """By how much the frame is turned to be upright: 0, 90, 180 or 270 (mirroring apart)."""
    return round(-frame.rotation / 90) * 90 % 360


def upright_size(frame: av.VideoFrame, pixel_aspect: Fraction) -> tuple[int, int]:
    """Width and height of the frame in upright, square pixels; its own height is kept."""
    width, height = max(1, round(frame.width * pixel_aspect)), frame.height
    return (height, width) if orientation(frame)[0] else (width, height)


class Converter:
    """Frames of one video to RGB arrays of one size, with one scaling step each."""

    def __init__(self, frame: av.VideoFrame, pixel_aspect: Fraction, short_side_px: int) -> None:
        """The size follows from the first frame; later ones of another size are fitted to it."""
        width, height = upright_size(frame, pixel_aspect)
        scale = min(Fraction(1), Fraction(short_side_px, min(width, height)))
        self.size = max(1, round(width * scale)), max(1, round(height * scale))
        # One for each format: they prepare themselves anew for another.
        self._reformatters = {"gbrp": VideoReformatter(), "gray": VideoReformatter()}
        self._orientations: dict[int, tuple[bool, bool, bool]] = {}

    def __call__(self, frame: av.VideoFrame) -> UInt8:
        """[height, width, 3] RGB, contiguous."""
        # To planes, which takes less than half the time of "rgb24" for the same pixels.
        return self._upright(frame, self.size, "gbrp")

    def grey(self, frame: av.VideoFrame) -> UInt8:
        """[height / 2, width / 2], rounded up, contiguous."""
        width, height = self.size
        return self._upright(frame, ((width + 1) // 2, (height + 1) // 2), "gray")

    def _upright(self, frame: av.VideoFrame, size: tuple[int, int], pixels: str) -> UInt8:
        # Looking at a frame's side data ties it into a reference cycle, and frames that wait for
        # the garbage collector fill the memory: so once for each angle.
        if frame.rotation not in self._orientations:
            self._orientations[frame.rotation] = orientation(frame)
        transpose, flip_x, flip_y = self._orientations[frame.rotation]
        width, height = size[::-1] if transpose else size
        matrix = frame.colorspace
        if matrix == _UNSPECIFIED:
            large = frame.height >= _HIGH_DEFINITION_PX
            matrix = Colorspace.ITU709 if large else Colorspace.ITU601
        if frame.interlaced_frame:
            frame = _top_field(frame)
        # One thread: at this size more cost more than they gain.
        scaled = self._reformatters[pixels].reformat(
            frame, width, height, pixels, src_colorspace=matrix, threads=1
        )
        image = scaled.to_ndarray()
        if transpose:
            image = image.swapaxes(0, 1)
        image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
        return np.ascontiguousarray(image, np.uint8)


def _top_field(frame: av.VideoFrame) -> av.VideoFrame:
    """Every other row of an interlaced frame: the half of it that was seen at one instant.

    Deinterlacing proper (bwdif, estdif) would cost 10 to 40 ms a frame or need its neighbours, and
    the scaling that follows undoes most of what it adds.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    graph.link_nodes(source, graph.add("field", type="top"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    return graph.vpull()
