"""The frames of a part, compressed: what actions are cut from when they end, and what is shown."""

from __future__ import annotations

import cv2
import numpy as np

from seal.types import UInt8
from seal.video import Frame

# High enough that an embedding of the decompressed crop is that of the original to two digits.
_JPEG_QUALITY = 88


class History:
    """Frames by their presentation timestamp, as JPEG: 10 to 20 KB each at 256 px."""

    def __init__(self) -> None:
        self._pictures: dict[int, bytes] = {}
        self._ends: dict[int, int] = {}

    def push(self, frame: Frame) -> None:
        """Keep the picture of a frame."""
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        self._pictures[frame.pts] = encoded.tobytes()
        self._ends[frame.pts] = frame.end_pts

    def picture(self, pts: int) -> bytes:
        """The frame at `pts`, as JPEG."""
        return self._pictures[pts]

    def image(self, pts: int) -> UInt8:
        """The frame at `pts`: [height, width, 3] RGB."""
        encoded = np.frombuffer(self._pictures[pts], np.uint8)
        image: UInt8 = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return image

    def end(self, pts: int) -> int:
        """When the frame at `pts` leaves the screen."""
        return self._ends[pts]
