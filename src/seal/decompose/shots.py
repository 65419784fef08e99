"""Where one shot ends and the next begins: hard cuts, as they come."""

from __future__ import annotations

import cv2
import numpy as np

from seal.types import Float32, UInt8
from seal.video.frame import Frame

_WIDTH, _HEIGHT = 64, 36
"""Pictures are compared at this size: noise and compression average out, layout stays."""
_BINS = 8
"""Levels of each of L, a, b in a colour histogram."""
_SURE = 0.6
"""A cut changes at least this share of the colours, or ..."""
_LIKELY = 0.25
"""... this share, and the layout cannot be shifted into the one before, and ..."""
_UNRELATED = 0.45
"""... the layouts then correlate less than this, and ..."""
_STANDS_OUT = 2.5
"""... more times what pictures changed of late, which is much in fast pans."""
_MEMORY = 0.7
"""How much of its past the average of recent changes keeps at each picture."""


class Shots:
    """Detects hard cuts: tells for each frame whether it starts a new shot.

    A cut changes the colours and the layout at once, and by more than recent frames changed.
    Motion within the picture hardly changes the shares of the colours. Layouts are compared after
    the camera's shift is undone, so that a pan between frames far apart is not taken for a cut.
    """

    def __init__(self) -> None:
        self._window = cv2.createHanningWindow((_WIDTH, _HEIGHT), cv2.CV_32F)
        self._last: tuple[Float32, Float32] | None = None
        self._usual = 0.0

    def push(self, frame: Frame) -> bool:
        """Whether `frame` starts a new shot; the very first frame is no cut."""
        colours, layout = self._describe(frame.image)
        last, self._last = self._last, (colours, layout)
        if last is None:
            return False
        change = 1 - float(np.minimum(colours, last[0]).sum())
        stands_out = change > _LIKELY and change > _STANDS_OUT * self._usual
        cut = stands_out and (change > _SURE or self._match(layout, last[1]) < _UNRELATED)
        self._usual = 0.0 if cut else _MEMORY * self._usual + (1 - _MEMORY) * change
        return cut

    def _describe(self, image: UInt8) -> tuple[Float32, Float32]:
        """Shares of the colours [bins ** 3], and the layout [height, width].

        The layout is the lightness, faded out towards the rim: the middle counts most, and what
        comes into view at the rim hardly counts.
        """
        # Linear scaling first makes this three times as fast as area averaging alone. Each pixel of
        # the result is then the mean of nine samples, which is enough.
        small = cv2.resize(image, (3 * _WIDTH, 3 * _HEIGHT), interpolation=cv2.INTER_LINEAR)
        small = cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(small, cv2.COLOR_RGB2Lab)
        # Blur across the bins of lightness: a colour near the edge of a bin counts for both bins.
        colours = cv2.calcHist([lab], [0, 1, 2], None, [_BINS] * 3, [0, 256, 64, 192, 64, 192])
        colours = cv2.GaussianBlur(colours.reshape(_BINS, -1), (1, 3), 0).ravel()
        return colours / max(float(colours.sum()), 1.0), lab[:, :, 0] * self._window

    def _match(self, layout: Float32, last: Float32) -> float:
        """Correlation of two layouts where they overlap once shifted onto each other."""
        (x, y), _ = cv2.phaseCorrelate(last, layout)
        dx, dy = round(x), round(y)
        # The peak of a correlation that is zero nearly everywhere can lie far outside.
        if abs(dx) > _WIDTH // 2 or abs(dy) > _HEIGHT // 2:
            dx = dy = 0
        here = layout[max(dy, 0) : _HEIGHT + min(dy, 0), max(dx, 0) : _WIDTH + min(dx, 0)]
        there = last[max(-dy, 0) : _HEIGHT + min(-dy, 0), max(-dx, 0) : _WIDTH + min(-dx, 0)]
        here, there = here - here.mean(), there - there.mean()
        scale = float(np.sqrt((here**2).sum() * (there**2).sum()))
        # A black picture has no layout: what follows it fades in.
        return float((here * there).sum()) / scale if scale > 1 else 1.0
