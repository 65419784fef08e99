"""A storyboard as one picture, drawn with Pillow and its built-in font.

All lengths are pixels of the finished picture. That font has Latin letters only: accents are left
out, and other scripts show as empty boxes; the web page shows everything.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from seal.clock import clock
from seal.kinds import Color
from seal.printing import printable
from seal.show.storyboard import LEVELS, Entry, Storyboard

WIDTH = 1600
_MARGIN = 72
_INNER = WIDTH - 2 * _MARGIN
# The timeline's names of lanes stand left of it.
_NAMES = 128
# Blocks are drawn so many times larger and scaled down, since Pillow's shapes have hard edges.
_SCALE = 2
_GAP = 28
_FRAME = 8
# A picture must open everywhere; this many cards are about 10,000 px high.
_MAX_CARDS = 120
_MAX_QUERY_LINES = 3
# Longer texts are cut before they are measured.
_MAX_TEXT = 600
# The built-in font has no dash but this one.
_DASHES = str.maketrans("–—−", "---")

_PAPER: Color = (252, 252, 250)
_INK: Color = (26, 26, 24)
_SOFT: Color = (98, 98, 92)
_LINE: Color = (221, 220, 214)
_WASH: Color = (241, 240, 236)


def write(storyboard: Storyboard, path: Path) -> None:
    """Write the picture; raises OSError where `path` cannot be written."""
    render(storyboard).save(path, "PNG")


def render(board: Storyboard) -> Image.Image:
    """The picture, `WIDTH` pixels wide and as high as its contents need."""
    blocks = [_header(board), _timeline(board), _moments(board), *_cards(board), _footer(board)]
    sheet = Image.new("RGB", (WIDTH, sum(block.height for block in blocks)), _PAPER)
    y = 0
    for block in blocks:
        sheet.paste(block, (0, y))
        y += block.height
    return sheet


class _Block:
    """A strip of the picture, as wide as it; x counts from its left margin."""

    def __init__(self, height: float) -> None:
        self.size = (WIDTH, math.ceil(height))
        self.image = Image.new("RGB", (WIDTH * _SCALE, self.size[1] * _SCALE), _PAPER)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def at(self, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((x + _MARGIN) * _SCALE, y * _SCALE) for x, y in points]

    def fill(self, x0: float, y0: float, x1: float, y1: float, color: Sequence[int]) -> None:
        (left, top), (right, bottom) = self.at([(x0, y0), (x1, y1)])
        # Pillow's rectangles hold their last column and row.
        self.draw.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), tuple(color))

    def line(self, points: list[tuple[float, float]], color: Sequence[int], width: float) -> None:
        self.draw.line(self.at(points), tuple(color), round(width * _SCALE), joint="curve")

    def polygon(self, points: list[tuple[float, float]], color: Sequence[int]) -> None:
        self.draw.polygon(self.at(points), tuple(color))

    def dot(self, x: float, y: float, radius: float, color: Sequence[int]) -> None:
        (centre,) = self.at([(x, y)])
        self.draw.circle(centre, radius * _SCALE, tuple(color), (0, 0, 0), _SCALE)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        color: Color = _INK,
        align: str = "l",
        bold: bool = False,
    ) -> None:
        """`y` is the base line; align is "l"eft, "m"iddle or "r"ight."""
        (where,) = self.at([(x, y)])
        self.draw.text(
            where, _plain(text), color, _font(size), align + "s", stroke_width=0.6 if bold else 0
        )

    def picture(self, picture: Image.Image, x: float, y: float, width: int, height: int) -> None:
        (where,) = self.at([(x, y)])
        size = (width * _SCALE, height * _SCALE)
        self.image.paste(
            picture.resize(size, Image.Resampling.LANCZOS), (int(where[0]), int(where[1]))
        )

    def done(self) -> Image.Image:
        return self.image.reduce(_SCALE)


def _header(board: Storyboard) -> Image.Image:
    lines = _wrap(board.query, 44, _INNER * 0.86)
    warning = board.warning()
    block = _Block(112 + 54 * len(lines) + (62 if warning else 0) + 20)
    length = clock(board.axis.duration_s)
    name = _cut(board.name(), 19, _INNER - 200)
    block.text(0, 76, name, 19, bold=True)
    block.text(_width(name, 19) + 22, 76, length, 19, _SOFT)
    y = 138
    for line in lines:
        block.text(0, y, line, 44)
        y += 54
    if warning:
        block.fill(0, y - 24, _INNER, y + 26, _WASH)
        block.fill(0, y - 24, 4, y + 26, _INK)
        block.text(22, y + 8, _cut(warning, 19, _INNER - 44), 19)
    return block.done()


def _timeline(board: Storyboard) -> Image.Image:
    rows = board.moment_rows()
    labels, curve, lane = 30 * (max(rows, default=0) + 1), 150, 46
    block = _Block(labels + curve + lane * len(board.lanes) + 50)
    width = _INNER - _NAMES
    foot, bottom = labels + curve, labels + curve + lane * len(board.lanes)

    def along(share: float) -> float:
        return _NAMES + share * width

    for moment in board.moments:
        times = (moment.span.start_s, moment.span.end_s)
        span = [board.position(time_s, moment.video) for time_s in times]
        right = max(along(span[1]), along(span[0]) + 2)
        block.fill(along(span[0]), labels, right, bottom, (*_INK, 20))

    points = [(along(x), foot - 6 - y * (curve - 12)) for x, y in board.curve_path()]
    if len(points) > 1:
        block.polygon([(points[0][0], foot), *points, (points[-1][0], foot)], (*_INK, 18))
        block.line(points, _INK, 2)
    if points:
        low, high = board.curve_range
        block.text(_NAMES - 12, labels + 14, f"{high:.2f}", 15, _SOFT, "r")
        block.text(_NAMES - 12, foot - 6, f"{low:.2f}", 15, _SOFT, "r")
    if points and board.threshold is not None:
        y = foot - 6 - board.height(board.threshold) * (curve - 12)
        block.fill(_NAMES, y, _INNER, y + 1, _SOFT)
    block.text(0, labels + curve / 2, "Relevance", 16, bold=True)

    for i, kind in enumerate(board.lanes):
        top, color = foot + i * lane, kind.color
        block.fill(_NAMES, top, _INNER, top + 1, _LINE)
        for start, end, level in board.density(kind):
            ink = (*color, round(255 * (0.08 + 0.34 * level / LEVELS)))
            block.fill(along(start), top + 8, along(end), top + lane - 7, ink)
        mine = [entry for entry in board.entries if entry.kind == kind]
        for entry in mine:
            left, right = (along(share) for share in entry.span)
            right = max(right, left + 5)
            inset = 0 if entry.is_answer else 9
            upper, lower = top + 4 + inset, top + lane - 3 - inset
            block.fill(left - 1, upper, right + 1, lower, _PAPER)
            block.fill(left, upper, right, lower, color)
        block.fill(0, top + 12, 10, top + 22, color)
        block.text(18, top + 22, kind.name.capitalize(), 16, bold=True)
        block.text(18, top + 39, f"{len(mine)} of {board.count(kind):,}", 14, _SOFT)

    block.fill(_NAMES, bottom, _INNER, bottom + 1, _LINE)
    for share, label in board.ticks():
        block.fill(along(share), bottom, along(share) + 1, bottom + 6, _SOFT)
        block.text(along(share), bottom + 24, label, 15, _SOFT, "m")

    for number, (moment, row) in enumerate(zip(board.moments, rows, strict=True), 1):
        label = f"{number} · {moment.score:.2f}"
        size = _width(label, 15) + 14
        left = along(board.position(moment.span.start_s, moment.video))
        y = labels - 30 * (row + 1)
        block.fill(left, y + 24, left + 1, labels, _INK)
        # Near the right end a label would stand out of the picture.
        x = left - size if left + size > _INNER else left
        block.fill(x, y, x + size, y + 24, _INK)
        block.text(x + 7, y + 17, label, 15, _PAPER)
    return block.done()


def _moments(board: Storyboard) -> Image.Image:
    block = _Block(70 + 38 * max(len(board.moments), 1) + 20)
    block.text(0, 48, "Moments", 19, bold=True)
    if not board.moments:
        block.text(0, 92, "No moments found.", 17, _SOFT)
    y = 70
    for number, moment in enumerate(board.moments, 1):
        block.fill(0, y, 640, y + 1, _LINE)
        block.fill(0, y + 8, 26, y + 31, _INK)
        block.text(13, y + 25, str(number), 15, _PAPER, "m")
        times = board.times(moment)
        block.text(44, y + 25, times, 17)
        if moment.text:
            left = 56 + _width(times, 17)
            block.text(left, y + 25, _cut(f'"{moment.text}"', 15, 560 - left), 15, _SOFT)
        block.text(640, y + 25, f"{moment.score:.3f}", 17, _SOFT, "r")
        y += 38
    return block.done()


def _cards(board: Storyboard) -> Iterable[Image.Image]:
    entries = [entry for entry in board.entries if entry.rank <= _MAX_CARDS]
    heading = _Block(74)
    heading.text(0, 48, "Evidence", 19, bold=True)
    if not entries:
        heading.text(130, 48, "No tokens selected.", 17, _SOFT)
    elif len(entries) < len(board.entries):
        some = f"the first {len(entries)} of {len(board.entries):,} selected; a .html shows all"
        heading.text(130, 48, some, 17, _SOFT)
    yield heading.done()
    if not entries:
        return
    # Four columns of 16:9, and more of upright pictures, so that all get about the same area.
    aspect = entries[0].size[0] / entries[0].size[1]
    columns = min(max(round(4 * math.sqrt(16 / 9 / aspect)), 3), 7)
    width = (_INNER - _GAP * (columns - 1)) // columns
    top = max(entry.relevance for entry in entries)
    for i in range(0, len(entries), columns):
        row = entries[i : i + columns]
        # No picture is higher than two squares, however narrow it is.
        inner = width - 2 * _FRAME
        scales = [min(inner / e.size[0], 2 * inner / e.size[1]) for e in row]
        height = max(round(e.size[1] * s) for e, s in zip(row, scales, strict=True))
        block = _Block(height + 110)
        for column, (entry, scale) in enumerate(zip(row, scales, strict=True)):
            _card(block, column * (width + _GAP), width, height, entry, scale, top)
        yield block.done()


def _card(
    block: _Block, x: float, width: int, height: int, entry: Entry, scale: float, top: float
) -> None:
    wide, high = max(round(entry.size[0] * scale), 1), max(round(entry.size[1] * scale), 1)
    right = x + width
    left, upper = x + (width - wide) / 2, _FRAME + (height - high) / 2
    if entry.thumbnail is None:
        block.fill(x, 0, right, height + 2 * _FRAME, _WASH)
        for i, line in enumerate(_wrap(" ".join(entry.text.split()), 17, wide)):
            block.text(left, upper + 24 * (i + 1), line, 17)
    else:
        block.fill(x, 0, right, height + 2 * _FRAME, (12, 12, 12))
        with Image.open(io.BytesIO(entry.thumbnail)) as picture:
            block.picture(picture.convert("RGB"), left, upper, wide, high)
    if entry.has_box:

        def on_picture(px: float, py: float) -> tuple[float, float]:
            return left + px * scale, upper + py * scale

        _box(block, entry, (left, upper, left + wide, upper + high), on_picture)
    base = height + 50
    block.text(x, base, entry.times(), 19, bold=True)
    block.fill(x, base + 12, right, base + 16, _LINE)
    share = max(entry.relevance, 0) / top if top > 0 else 0
    block.fill(x, base + 12, x + share * width, base + 16, entry.kind.color)
    block.fill(x, base + 29, x + 10, base + 39, entry.kind.color)
    role = "" if entry.is_answer else ", context"
    block.text(x + 18, base + 39, entry.kind.name.capitalize() + role, 15, _SOFT)
    block.text(right, base + 39, f"relevance {entry.relevance:.3f}", 15, _SOFT, "r")


def _box(
    block: _Block,
    entry: Entry,
    frame: tuple[float, float, float, float],
    on_picture: Callable[[float, float], tuple[float, float]],
) -> None:
    """The token's box, and for an action its path, over its picture."""
    (x0, y0), (x1, y1) = on_picture(*entry.box[:2]), on_picture(*entry.box[2:])
    left, upper, right, lower = frame
    veil = (0, 0, 0, 97)
    block.fill(left, upper, right, y0, veil)
    block.fill(left, y1, right, lower, veil)
    block.fill(left, y0, x0, y1, veil)
    block.fill(x1, y0, right, y1, veil)
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0), (x1, y0)]
    path = [on_picture(*point) for point in entry.path]
    color = entry.kind.bright
    for ink, stroke in (((0, 0, 0, 140), 5), (color, 2.5)):
        block.line(corners, ink, stroke)
        if len(path) > 1:
            block.line(path, ink, stroke)
    if path:
        block.dot(*path[-1], 6, color)


def _footer(board: Storyboard) -> Image.Image:
    columns: list[tuple[float, int, str, str]] = []
    x, row = 0.0, 0
    for name, value in board.settings().items():
        label, shown = _cut(name.capitalize(), 14, _INNER), _cut(value, 17, _INNER)
        width = max(_width(label, 14), _width(shown, 17))
        if x and x + width > _INNER:
            x, row = 0.0, row + 1
        columns.append((x, row, label, shown))
        x += width + 44
    start_s = board.reels[0].start_s if len(board.reels) == 1 else 0.0
    note = f"Times are the video's own, which start at {clock(start_s)}."
    block = _Block(140 + 62 * row + (30 if start_s else 0))
    block.fill(0, 20, _INNER, 21, _LINE)
    for x, line, label, shown in columns:
        block.text(x, 54 + 62 * line, label, 14, _SOFT)
        block.text(x, 78 + 62 * line, shown, 17)
    if start_s:
        block.text(0, 118 + 62 * row, note, 15, _SOFT)
    return block.done()


@lru_cache(maxsize=16)
def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * _SCALE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow was built without FreeType, which draws the text of a PNG")
    return font


def _plain(text: str) -> str:
    """`text` on one line and without accents, which the built-in font lacks."""
    text = " ".join(printable(text[:_MAX_TEXT]).split()).translate(_DASHES)
    letters = unicodedata.normalize("NFKD", text)
    return "".join(c for c in letters if not unicodedata.combining(c) and c.isprintable())


def _width(text: str, size: float) -> float:
    return _font(size).getlength(_plain(text)) / _SCALE


def _cut(text: str, size: float, width: float) -> str:
    """`text`, or as much of its start as fits with an ellipsis."""
    text = _plain(text)
    if _width(text, size) <= width:
        return text
    while text and _width(f"{text}...", size) > width:
        text = text[:-1]
    return f"{text.rstrip()}..."


def _wrap(text: str, size: float, width: float) -> list[str]:
    """Lines no wider than `width`, the last one with an ellipsis where there were more."""
    lines: list[str] = []
    words = _plain(text).split()
    while words and len(lines) < _MAX_QUERY_LINES:
        n = len(words)
        while n > 1 and _width(" ".join(words[:n]), size) > width:
            n -= 1
        line, words = " ".join(words[:n]), words[n:]
        if words and len(lines) == _MAX_QUERY_LINES - 1:
            line = f"{line} {' '.join(words)}"
        lines.append(_cut(line, size, width))
    return lines
