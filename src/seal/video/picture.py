"""A decoded frame to the picture that is analysed: upright, square pixels, small, 8-bit RGB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, Final, overload

import av
import numpy as np
from av.buffer import Buffer
from av.filter import Graph
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from seal.errors import VideoError
from seal.types import UInt8
from seal.video.hdr import HDR_TRANSFERS, ToneMap, luma, peak_nits
from seal.video.side_data import SideDataReader

# From which height on players take a picture that does not say its matrix to be high definition,
# hence BT.709.
_HIGH_DEFINITION_PX = 720
# No format stretches pixels more than twice or so. A damaged header may say 65,535 times, of which
# one picture would fill the memory, so pixels count as square beyond this.
_MOST_STRETCHED = 10

# Matrices by their numbers in H.273 table 4. The scaler of FFmpeg has these;
_SCALED: Final = frozenset({0, 1, 4, 5, 6, 7, 9})
# BT.2020 with constant luminance is read as the one without, which is close;
_CONSTANT_LUMINANCE = 10
# these two follow from the primaries;
_BY_PRIMARIES: Final = frozenset({12, 13})
# these are other kinds of colour; and all other numbers mean nothing, as "unspecified" does.
_NOT_CONVERTED: Final = {
    8: "YCgCo",
    11: "Y'D'zD'x",
    14: "ICtCp",
    15: "IPT-PQ-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_DOLBY_VISION: Final = (SideData.DOVI_METADATA, SideData.DOVI_RPU_BUFFER)
_CONVERT = "convert the video, for example with `ffmpeg -i INPUT -vf libplacebo=format=yuv420p:"
_CONVERT += "colorspace=bt709:color_primaries=bt709:color_trc=bt709 OUTPUT.mp4`"

Turn = tuple[bool, bool, bool]
"""What makes a frame upright: transpose, then flip left-right, then flip up-down."""

_CLOCKWISE_DEGREES: Final[dict[Turn, int]] = {
    (False, False, False): 0,
    (True, True, False): 90,
    (False, True, True): 180,
    (True, False, True): 270,
    # Mirrored left-right first.
    (False, True, False): 0,
    (True, True, True): 90,
    (False, False, True): 180,
    (True, False, False): 270,
}


def turn_of(side_data: Mapping[SideData, Buffer]) -> Turn:
    """What makes a frame with this side data upright.

    From the display matrix (ISO 14496-12, 6.2.2): a pixel (x, y), y down, belongs at
    (a x + c y, b x + d y). Its angle is taken to the nearest right one. FFmpeg makes such a matrix
    of the orientation in EXIF as well.
    """
    if SideData.DISPLAYMATRIX not in side_data:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side_data[SideData.DISPLAYMATRIX]), np.int32)[:5].tolist()
    transpose = abs(b) > abs(a)
    return (True, c < 0, b < 0) if transpose else (False, a < 0, d < 0)


def _upright_size(frame: av.VideoFrame, pixel_aspect: Fraction, turn: Turn) -> tuple[int, int]:
    if not 1 / _MOST_STRETCHED <= pixel_aspect <= _MOST_STRETCHED:
        pixel_aspect = Fraction(1)
    width, height = max(1, round(frame.width * pixel_aspect)), frame.height
    return (height, width) if turn[0] else (width, height)


def _within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size of this shape that fits into a box."""
    scale = min(Fraction(box[0], size[0]), Fraction(box[1], size[1]))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


class Converter:
    """Frames of one video to RGB arrays of one size, with one scaling step each.

    The size follows from the first frame. A later frame of another shape keeps its shape: it is
    fitted into that size, in the middle, between black bars.
    """

    def __init__(self, frame: av.VideoFrame, pixel_aspect: Fraction, short_side_px: int) -> None:
        """`frame` is the first one. Raises VideoError if its colours cannot be converted."""
        self._read_side_data = SideDataReader()
        # One for each format: they prepare themselves anew for another.
        formats = ("gbrp", "gbrp16le", "gray")
        self._reformatters = {name: VideoReformatter() for name in formats}
        # They prepare themselves anew for another size as well.
        self._enlargers = {name: VideoReformatter() for name in formats}
        self._tone_map: ToneMap | None = None
        self._pixel_aspect = pixel_aspect
        self._side_data: Mapping[SideData, Buffer] = {}
        self._rotation = 0
        self._turn: Turn = (False, False, False)
        self._look(frame)
        self.upright_size = _upright_size(frame, pixel_aspect, self._turn)
        """Width and height of the first frame in upright, square pixels; its own height is kept."""
        self.clockwise_degrees = _CLOCKWISE_DEGREES[self._turn]
        """By how much the first frame is turned to be upright, after mirroring where it is."""
        self.size = self._scaled_down(short_side_px)
        self.grey(frame)

    def _scaled_down(self, short_side_px: int) -> tuple[int, int]:
        width, height = self.upright_size
        scale = min(Fraction(1), Fraction(short_side_px, min(width, height)))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def __call__(self, frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> UInt8:
        """[height, width, 3] RGB, contiguous; `pixel_aspect` is the first frame's unless given.

        Raises VideoError if the frame's colours cannot be converted.
        """
        self._look(frame)
        # To planes, which takes less than half the time of "rgb24" for the same pixels.
        return self._upright(frame, pixel_aspect, self.size, "gbrp", self._reformatters)

    def larger(
        self, frame: av.VideoFrame, pixel_aspect: Fraction | None, short_side_px: int
    ) -> UInt8:
        """As the RGB array, of another size: never above that of the source.

        A frame that was converted before can come again, whatever came in the meantime.
        """
        seen = self._side_data, self._rotation, self._turn
        self._look(frame)
        try:
            size = self._scaled_down(short_side_px)
            return self._upright(frame, pixel_aspect, size, "gbrp", self._enlargers)
        finally:
            # `grey` goes by what it saw of the latest picture.
            self._side_data, self._rotation, self._turn = seen

    def grey(self, frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> UInt8:
        """[height / 2, width / 2], rounded up, contiguous; otherwise as the RGB array."""
        # Most pictures come here. What stands beside them changes with a whole picture.
        if frame.key_frame or frame.rotation != self._rotation:
            self._look(frame)
        width, height = self.size
        half = (width + 1) // 2, (height + 1) // 2
        return self._upright(frame, pixel_aspect, half, "gray", self._reformatters)

    def _look(self, frame: av.VideoFrame) -> None:
        with _named_error(frame):
            self._side_data = self._read_side_data(frame)
        self._rotation = frame.rotation
        self._turn = turn_of(self._side_data)

    def _upright(
        self,
        frame: av.VideoFrame,
        aspect: Fraction | None,
        box: tuple[int, int],
        pixels: str,
        by: Mapping[str, VideoReformatter],
    ) -> UInt8:
        transpose, flip_x, flip_y = self._turn
        shape = _upright_size(frame, aspect or self._pixel_aspect, self._turn)
        width, height = box if shape == self.upright_size else _within(shape, box)
        with _named_error(frame):
            size = (height, width) if transpose else (width, height)
            image = self._scaled(frame, size, pixels, by)
        if transpose:
            image = image.swapaxes(0, 1)
        image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
        if (width, height) != box:
            image = _between_bars(image, box)
        return np.ascontiguousarray(image, np.uint8)

    def _scaled(
        self,
        frame: av.VideoFrame,
        size: tuple[int, int],
        pixels: str,
        by: Mapping[str, VideoReformatter],
    ) -> UInt8:
        matrix = _matrix(frame, self._side_data)
        is_hdr = frame.color_trc in HDR_TRANSFERS
        name = "gbrp16le" if is_hdr else pixels
        trc, primaries = frame.color_trc, frame.color_primaries
        if frame.interlaced_frame:
            frame = _top_field(frame)
        # One thread: at this size more cost more than they gain.
        scaled = by[name].reformat(frame, *size, name, src_colorspace=matrix, threads=1)
        image: NDArray[Any] = scaled.to_ndarray()
        if not is_hdr:
            return image
        key = trc, primaries, peak_nits(self._side_data)
        if self._tone_map is None or self._tone_map.key != key:
            self._tone_map = ToneMap(*key)
        image = self._tone_map(image)
        return luma(image) if pixels == "gray" else image


class Greys(Sequence[UInt8]):
    """Pictures that become grey ones when they are asked for; those whose colours cannot be
    converted are left out then."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter
        self._waiting: list[tuple[av.VideoFrame, Fraction | None]] = []
        self._made: list[UInt8] = []

    def append(self, frame: av.VideoFrame, pixel_aspect: Fraction | None) -> None:
        """Add a decoded frame, of pixels with this ratio of width to height."""
        self._waiting.append((frame, pixel_aspect))

    def _all(self) -> list[UInt8]:
        for picture in self._waiting:
            with suppress(VideoError):
                self._made.append(self._converter.grey(*picture))
        self._waiting = []
        return self._made

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return bool(self._waiting or self._made)

    @overload
    def __getitem__(self, index: int) -> UInt8: ...

    @overload
    def __getitem__(self, index: slice) -> list[UInt8]: ...

    def __getitem__(self, index: int | slice) -> UInt8 | list[UInt8]:
        return self._all()[index]


@contextmanager
def _named_error(frame: av.VideoFrame) -> Iterator[None]:
    """VideoError where FFmpeg's scaler refuses a frame."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise VideoError(
            f"pictures with pixels of the kind {frame.format.name} cannot be converted to RGB"
            f" ({error}); convert the video, for example with"
            " `ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.mp4`"
        ) from error


def _matrix(frame: av.VideoFrame, side_data: Mapping[SideData, Buffer]) -> int:
    """The number of the matrix by which the frame's colours become RGB.

    Raises VideoError if there is none.
    """
    matrix = int(frame.colorspace)
    # Profile 5 states no colours, since only Dolby's metadata make colours of its pictures.
    if frame.color_trc == ColorTrc.UNSPECIFIED and any(kind in side_data for kind in _DOLBY_VISION):
        raise VideoError(
            "Dolby Vision of profile 5, whose colours only Dolby's metadata describe, cannot be"
            f" converted; {_CONVERT}"
        )
    if matrix in _NOT_CONVERTED:
        raise VideoError(
            f"colours stored as {_NOT_CONVERTED[matrix]} cannot be converted; {_CONVERT}"
        )
    if matrix in _SCALED:
        return matrix
    if matrix == _CONSTANT_LUMINANCE or frame.color_trc in HDR_TRANSFERS:
        return Colorspace.BT2020
    if matrix in _BY_PRIMARIES:
        is_wide = frame.color_primaries == ColorPrimaries.BT2020
        return Colorspace.BT2020 if is_wide else Colorspace.ITU709
    return Colorspace.ITU709 if frame.height >= _HIGH_DEFINITION_PX else Colorspace.ITU601


def _between_bars(image: UInt8, box: tuple[int, int]) -> UInt8:
    height, width = image.shape[:2]
    x, y = (box[0] - width) // 2, (box[1] - height) // 2
    framed = np.zeros((box[1], box[0], *image.shape[2:]), np.uint8)
    framed[y : y + height, x : x + width] = image
    return framed


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
