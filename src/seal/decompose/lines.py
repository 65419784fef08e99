"""Lines of text that are followed from frame to frame, and found again in the next reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seal.decompose.lettering import GONE, Look, Patch, Resemblance
from seal.types import Box
from seal.words import Line
from seal.words.alike import is_same, plain, run_on, similarity
from seal.words.layout import contained, overlap

_THERE = 0.5
"""Text that fades is there from half of its opacity on."""
_DIFFERENT = 0.6
"""A cell whose looks differ by more than this share of its energy may hold another letter."""
_AT_REST = 0.2
"""Cells that differ less are the same."""
_FITS = 0.7
"""Text has moved to where it fits at least as well as this; correlation of strokes."""
_REACH_PX = 32, 16
"""How far text moves across and down from frame to frame, at 256 px, before its speed is known."""
_AROUND_PX = 4, 4
"""How far from where its speed takes it."""
_SAME_PLACE = 0.4
"""Overlap, by union, of two boxes of one line as a reader gives them."""
_INSIDE = 0.6
"""Share of the smaller box by which a piece of a line lies in the line."""
_WORTH_FINDING = 4
"""Letters of a text that is found again elsewhere."""
_PATIENCE = 1.5
"""A change that was no change of the text must grow by this factor to count again."""
_RUN_OUT = 0.7
"""Text that runs through the picture is read again when less than this share of it is left."""
_LONGEST_PAUSE_S = 1.0
"""A text ends with the next analysed frame that lacks it, unless that comes later than this."""
_FRESH = 0.8
"""A patch is renewed unless its text has faded below this share of its energy."""


@dataclass
class Vote:
    """A text that a line was read as."""

    text: str
    score: float
    """Of its surest reading."""
    pts: int
    """Of the frame of that reading."""
    total: float
    """The scores of all its readings."""


class FollowedLine:
    """One line of text, from when it came until it is gone."""

    def __init__(self, line: Line, look: Look) -> None:
        self.box = line.box
        """Where it is now."""
        self.union = line.box
        self.start_pts, self.start_s = look.pts, look.time_s
        self.end_pts, self.end_s = look.end_pts, look.time_s
        """When it is gone, and the time of the last frame that shows it."""
        self.read_pts = look.pts
        """Of the last frame in which it was read."""
        self.now = Resemblance(1.0, 1.0, 0.0, 0.0)
        self.edited_pts: int | None = None
        """Since when some of its letters look otherwise; None if they do not."""
        self.hits, self.misses = 0, 0
        """How many readings found it, and how many did not."""
        self._votes: dict[str, Vote] = {}
        self._tolerance, self._least = _DIFFERENT, _THERE
        self._step = (0, 0)
        self._runs = ""
        self._look_at(line, look)
        self._vote(line, look)

    def _look_at(self, line: Line, look: Look) -> None:
        self.patch = Patch(look, line.box)
        self._at = self.patch.x0, self.patch.y0
        self._patch_box = self.box = line.box
        self.union = _around(self.union, line.box)

    def _vote(self, line: Line, look: Look) -> None:
        self.hits += 1
        self.end_pts, self.end_s, self.read_pts = look.end_pts, look.time_s, look.pts
        self.edited_pts, self._is_steady = None, True
        vote = self._votes.setdefault(plain(line.text), Vote(line.text, 0.0, look.pts, 0.0))
        vote.total += line.score
        if line.score > vote.score:
            vote.text, vote.score, vote.pts = line.text, line.score, look.pts

    @property
    def best(self) -> Vote:
        """The text that most and the surest readings give."""
        best = max(self._votes.values(), key=lambda vote: vote.total)
        return Vote(self._runs or best.text, best.score, best.pts, best.total)

    @property
    def is_there(self) -> bool:
        """Whether the line can still be read."""
        return self.now.opacity >= _THERE

    @property
    def is_unchanged(self) -> bool:
        """Whether every cell of it has looked the same since it was read."""
        return self._is_steady and self._looks_the_same

    @property
    def _looks_the_same(self) -> bool:
        return self.is_there and self.now.weakest >= _THERE and self.now.worst <= _DIFFERENT

    @property
    def is_edited(self) -> bool:
        """Whether some of its letters look otherwise and the others as they did."""
        return self.now.typical <= _AT_REST and not self._looks_the_same

    @property
    def _runs_sideways(self) -> bool:
        return self._step[0] != 0 and self._step[1] == 0

    @property
    def _is_running(self) -> bool:
        """Whether it runs through the picture as it did: what is read in its place is of it."""
        return self._runs_sideways and self.is_there

    def follow(self, look: Look) -> bool:
        """Look for it in the next frame; whether it may have become another text."""
        was_there = self.is_there
        self.now, self._at, self._step = self._found(look, self._at, self._step)
        self._is_steady &= self._looks_the_same
        if not self.is_there:
            if was_there and look.time_s - self.end_s <= _LONGEST_PAUSE_S:
                self.end_pts = look.pts
            return False
        self.end_pts, self.end_s = look.end_pts, look.time_s
        height, width = look.strokes.shape
        dx = (self._at[0] - self.patch.x0) / width
        dy = (self._at[1] - self.patch.y0) / height
        self.box = _shifted(self._patch_box, dx, dy)
        self.union = _around(self.union, self.box)
        if not self.is_edited:
            self.edited_pts = None
        elif self.edited_pts is None:
            self.edited_pts = look.pts
        if self._runs_sideways:
            return self.now.opacity < _RUN_OUT
        return self.now.worst > self._tolerance or self.now.weakest < self._least

    def _found(
        self, look: Look, at: tuple[int, int], step: tuple[int, int]
    ) -> tuple[Resemblance, tuple[int, int], tuple[int, int]]:
        if step == (0, 0):
            here = self.patch.compare(look, *at)
            if here.opacity >= _THERE:
                return here, at, step
        x, y = at[0] + step[0], at[1] + step[1]
        for reach in (_REACH_PX,) if step == (0, 0) else (_AROUND_PX, _REACH_PX):
            new_x, new_y, fit = self.patch.find(look, x, y, reach)
            moved = self.patch.compare(look, new_x, new_y)
            if fit >= _FITS and moved.opacity >= _THERE:
                return moved, (new_x, new_y), (new_x - at[0], new_y - at[1])
        return GONE, at, step

    def trace_back(self, looks: Sequence[Look], before: Iterable[FollowedLine]) -> None:
        """Find when a line that was just read came, in the frames before, the latest last.

        Where one of the lines `before` stood in its place, it came when the picture began to be
        more like it than like that line.
        """
        rivals = [other.patch for other in before]
        at, step = self._at, (0, 0)
        for look in reversed(looks):
            now, at, step = self._found(look, at, step)
            if now.opacity < _THERE:
                return
            own = self.patch.difference(look, *at)
            if any(rival.difference(look) < own for rival in rivals):
                return
            self.start_pts, self.start_s = look.pts, look.time_s
            dx = (at[0] - self.patch.x0) / look.strokes.shape[1]
            dy = (at[1] - self.patch.y0) / look.strokes.shape[0]
            self.union = _around(self.union, _shifted(self._patch_box, dx, dy))

    def leave(self) -> None:
        """The picture was not read again."""
        if self.edited_pts is not None:
            self.end_pts = min(self.end_pts, self.edited_pts)

    def likeness(self, line: Line) -> float:
        """How well a line that was read in its place fits it; 0 if it is another."""
        iou = _iou(self.box, line.box)
        if iou < _SAME_PLACE:
            return 0.0
        text = self.best.text
        if self._is_running:
            fits = True
        elif self.is_edited:
            # Next to letters that look as before, others have changed: no misreading.
            fits = plain(text) == plain(line.text)
        else:
            fits = self.is_unchanged or is_same(text, line.text)
        return iou + similarity(text, line.text) if fits else 0.0

    def take(self, line: Line, look: Look) -> None:
        """A reading of it."""
        if self._is_running:
            text = self.best.text
            if longer := run_on(text, line.text):
                self._runs = longer
            elif not is_same(text, line.text) and plain(line.text) not in plain(text):
                # Long lines are misread at times: the next window continues where this began.
                self.hits += 1
                return
        self._vote(line, look)
        self._tolerance = max(self._tolerance, _PATIENCE * self.now.worst)
        self._least = min(self._least, self.now.weakest / _PATIENCE)
        fresh = Patch(look, line.box)
        if not self.is_unchanged or fresh.energy >= _FRESH * self.patch.energy:
            step = self._step
            self._look_at(line, look)
            self._step = step
        self.now = Resemblance(1.0, 1.0, 0.0, 0.0)

    def grow(self, line: Line, look: Look) -> None:
        """A reading of it with more text than before, as when it is written letter by letter."""
        self._votes = {}
        self._look_at(line, look)
        self._vote(line, look)

    def is_piece(self, line: Line) -> bool:
        """Whether a line that was read is a piece of it."""
        return (
            self.is_unchanged
            and contained(self.box, line.box) >= _INSIDE
            and _area(line.box) <= _area(self.box)
        )

    def is_in(self, line: Line) -> bool:
        """Whether it is a piece of a line that was read."""
        return (
            self.is_unchanged
            and contained(self.box, line.box) >= _INSIDE
            and _area(self.box) < _area(line.box)
        )

    def is_elsewhere(self, line: Line) -> bool:
        """Whether a line that was read is this one, which has moved further than can be seen."""
        text = self.best.text
        in_row = overlap(self.box.y0, self.box.y1, line.box.y0, line.box.y1) >= _INSIDE
        if in_row and self._runs_sideways and plain(text).endswith(plain(line.text)):
            # The last of it, on its way out.
            return True
        if len(plain(line.text)) < _WORTH_FINDING:
            return False
        if in_row and run_on(text, line.text) is not None:
            return True
        return not self.is_there and is_same(text, line.text)

    def move(self, line: Line, look: Look) -> None:
        """A reading of it elsewhere."""
        longer = run_on(self.best.text, line.text)
        if longer and not is_same(self.best.text, line.text):
            self._runs = longer
        self._vote(line, look)
        self._look_at(line, look)


def _shifted(box: Box, dx: float, dy: float) -> Box:
    x0, x1 = (min(1.0, max(0.0, x + dx)) for x in (box.x0, box.x1))
    y0, y1 = (min(1.0, max(0.0, y + dy)) for y in (box.y0, box.y1))
    return Box(x0, y0, x1, y1)


def _around(a: Box, b: Box) -> Box:
    return Box(min(a.x0, b.x0), min(a.y0, b.y0), max(a.x1, b.x1), max(a.y1, b.y1))


def _area(box: Box) -> float:
    return (box.x1 - box.x0) * (box.y1 - box.y0)


def _iou(a: Box, b: Box) -> float:
    width = max(0.0, min(a.x1, b.x1) - max(a.x0, b.x0))
    height = max(0.0, min(a.y1, b.y1) - max(a.y0, b.y0))
    union = _area(a) + _area(b) - width * height
    return width * height / union if union > 0 else 0.0


def match(followed: Sequence[FollowedLine], lines: Sequence[Line], look: Look) -> list[Line]:
    """Give lines that were read to those that are followed; the lines that are new."""
    pairs = [
        (each.likeness(line), i, j)
        for i, each in enumerate(followed)
        for j, line in enumerate(lines)
    ]
    waiting, free = set(range(len(followed))), set(range(len(lines)))
    for likeness, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if likeness > 0 and i in waiting and j in free:
            waiting.remove(i)
            free.remove(j)
            followed[i].take(lines[j], look)
    # A reader divides a line now so and now otherwise.
    for j in sorted(free):
        if any(each.is_piece(lines[j]) for each in followed):
            free.remove(j)
            continue
        inside = [i for i in sorted(waiting) if followed[i].is_in(lines[j])]
        if not inside:
            continue
        free.remove(j)
        waiting -= set(inside)
        if len(inside) == 1:
            followed[inside[0]].grow(lines[j], look)
    for j in sorted(free):
        for i in sorted(waiting, key=lambda i: -_iou(followed[i].box, lines[j].box)):
            if followed[i].is_elsewhere(lines[j]):
                followed[i].move(lines[j], look)
                waiting.remove(i)
                free.remove(j)
                break
    for i in waiting:
        followed[i].misses += 1
    return [lines[j] for j in sorted(free)]
