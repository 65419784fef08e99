"""HDR pictures (PQ and HLG) to the standard range: tone mapping to BT.709 as displays show it.

Light is in nits (cd/m²). BT.2100 takes a picture to linear light. The curve of BT.2390 compresses
the highlights into 203 nits, the reference white of BT.2408, which is the white of the standard
range here. The primaries become those of BT.709, and BT.1886 takes light to the signal.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

from seal.types import Float64, UInt8

HDR_TRANSFERS: Final = frozenset({ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67})

# BT.2408: what is diffuse white in HDR, and here the white of the standard range.
_WHITE_NITS = 203.0
_MOST_NITS = 10_000.0
# Where nothing says how bright the picture was mastered. HLG is defined for such a display.
_USUAL_PEAK_NITS = 1_000.0
# BT.1886: the standard range as displays show it.
_DISPLAY_GAMMA = 2.4
_HLG_SYSTEM_GAMMA = 1.2
_BT2020_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
_BT709_LUMINANCE = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
_GAIN_STEPS = 4096

# x and y of red, green, blue (H.273 table 2); white is D65 in all of them.
_PRIMARIES: Final = {
    ColorPrimaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)


def pq_to_nits(signal: Float64) -> Float64:
    """BT.2100 table 4: the PQ signal in [0, 1] to nits."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = signal ** (1 / m2)
    linear: Float64 = (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return _MOST_NITS * linear


def nits_to_pq(nits: Float64) -> Float64:
    """BT.2100 table 4: nits to the PQ signal in [0, 1]."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    linear = (nits / _MOST_NITS) ** m1
    signal: Float64 = ((c1 + c2 * linear) / (1 + c3 * linear)) ** m2
    return signal


def hlg_to_scene(signal: Float64) -> Float64:
    """BT.2100 table 5: the HLG signal in [0, 1] to the light of the scene in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = (np.exp((np.maximum(signal, 0.5) - c) / a) + b) / 12
    scene: Float64 = np.where(signal <= 0.5, signal**2 / 3, bright)
    return scene


def compress(nits: Float64, peak_nits: float) -> Float64:
    """BT.2390, section 5.4.1: light up to `peak_nits` into the standard range, black kept. More
    light counts as the peak.

    In the PQ signal, and linear up to the knee; above it a Hermite spline.
    """
    source, target = nits_to_pq(np.array([peak_nits, _WHITE_NITS]))
    most = target / source
    if most >= 1:
        return np.minimum(nits, peak_nits)
    knee = 1.5 * most - 0.5
    signal = np.minimum(nits_to_pq(nits) / source, 1)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    compressed: Float64 = np.where(signal < knee, nits, pq_to_nits(spline * source))
    return compressed


def to_bt709(primaries: int) -> Float64:
    """The matrix from linear RGB of these primaries to that of BT.709; BT.2020 where unknown."""
    known = ColorPrimaries(primaries) if primaries in _PRIMARIES else ColorPrimaries.BT2020
    matrix: Float64 = np.linalg.inv(_to_xyz(ColorPrimaries.BT709)) @ _to_xyz(known)
    return matrix


def _to_xyz(primaries: ColorPrimaries) -> Float64:
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*_PRIMARIES[primaries], _D65)]).T
    matrix: Float64 = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    return matrix


def peak_nits(side_data: Mapping[SideData, Buffer]) -> float:
    """The brightest light of an HDR picture, as its stream states it: MaxCLL, else the peak of the
    display that it was mastered on, else 1,000 nits. At least the white of the standard range."""
    stated = 0.0
    if SideData.CONTENT_LIGHT_LEVEL in side_data:
        # struct AVContentLightMetadata: MaxCLL and MaxFALL.
        stated, _ = struct.unpack_from("II", bytes(side_data[SideData.CONTENT_LIGHT_LEVEL]))
    if not stated and SideData.MASTERING_DISPLAY_METADATA in side_data:
        # struct AVMasteringDisplayMetadata: eight fractions for colours, the least and the most
        # light as fractions, and whether colours and light are stated.
        data = bytes(side_data[SideData.MASTERING_DISPLAY_METADATA])
        above, below, _, has_light = struct.unpack_from("iiii", data, 9 * 8)
        stated = above / below if has_light and below else 0.0
    return min(max(stated, _WHITE_NITS), _MOST_NITS) if stated > 0 else _USUAL_PEAK_NITS


class ToneMap:
    """RGB pictures of one kind of HDR to the standard range."""

    def __init__(self, transfer: int, primaries: int, peak_nits: float) -> None:
        """`transfer` is one of HDR_TRANSFERS; both numbers are those of H.273."""
        self.key = transfer, primaries, peak_nits
        codes = np.linspace(0, 1, 1 << 16)
        # HLG describes the scene, for whatever display; its OOTF follows for each picture.
        self._is_hlg = transfer == ColorTrc.ARIB_STD_B67
        peak = _USUAL_PEAK_NITS if self._is_hlg else peak_nits
        light = hlg_to_scene(codes) * peak if self._is_hlg else pq_to_nits(codes)
        self._light = light.astype(np.float32)
        # By the fourth root of light, so that dark and bright have steps enough.
        nits = np.linspace(0, 1, _GAIN_STEPS) ** 4 * _MOST_NITS
        nits[0] = nits[1]
        self._gain = (compress(nits, peak) / nits / _WHITE_NITS).astype(np.float32)
        self._to_bt709 = to_bt709(primaries).astype(np.float32)

    def __call__(self, image: NDArray[Any]) -> UInt8:
        """[height, width, 3] RGB with 16 bits a channel to 8 bits."""
        light: Any = self._light.take(image)
        if self._is_hlg:
            # BT.2100 table 5, the OOTF: the display's light by the luminance of the scene.
            scene = cv2.transform(light, _BT2020_LUMINANCE) / _USUAL_PEAK_NITS
            light *= cv2.pow(scene, _HLG_SYSTEM_GAMMA - 1)[..., None]
        # One gain for all channels keeps the hue.
        most = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
        root = np.sqrt(np.sqrt(most / _MOST_NITS))
        light *= self._gain[(root * (_GAIN_STEPS - 1) + 0.5).astype(np.uint16)][..., None]
        # What lies outside BT.709 is clipped.
        bt709 = np.clip(cv2.transform(light, self._to_bt709), 0, 1)
        mapped: UInt8 = cv2.convertScaleAbs(cv2.pow(bt709, 1 / _DISPLAY_GAMMA), alpha=255)
        return mapped


def luma(image: UInt8) -> UInt8:
    """[height, width, 3] RGB to [height, width], by the weights of BT.709."""
    grey: UInt8 = cv2.transform(image, _BT709_LUMINANCE)
    return grey
