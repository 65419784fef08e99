"""A storyboard as one web page: no requests, no framework; readable without its script."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote, urldefrag, urlsplit

from seal import kinds
from seal.clock import clock
from seal.kinds import Color, Kind
from seal.printing import printable, printable_lines
from seal.show.storyboard import LEVELS, Entry, Reel, Storyboard
from seal.types import Moment

# As much as a browser's tab or a bookmark can show.
_PAGE_TITLE_LENGTH = 80
# Cards of all shapes get about this area: more columns for upright pictures than for wide ones.
_CARD_AREA_PX = 250 * 140
_CARD_WIDTHS_PX = (130, 320)
# A time label further right than this share of the axis ends where its tick is.
_LAST_LABEL = 0.97


def write(storyboard: Storyboard, path: Path) -> None:
    """Write the page; raises OSError where `path` cannot be written."""
    path.write_bytes(render(storyboard, path.parent).encode("utf-8"))


def render(board: Storyboard, folder: Path) -> str:
    """The page, with "play" links relative to `folder`, where it will lie."""
    template, style, script = (
        resources.files("seal.show").joinpath(f"storyboard.{suffix}").read_text("utf-8")
        for suffix in ("html", "css", "js")
    )
    links = {reel.video: _link(reel, folder) for reel in board.reels}
    warning = board.warning()
    return Template(template).substitute(
        page_title=_escaped(_shorten(printable(f"{board.query} · {board.name()}"))),
        style=style + _colours(),
        script=script,
        # The policy names the one script that may run, so that nothing smuggled in ever could.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        name=_escaped(board.name()),
        length=clock(board.axis.duration_s),
        query=_escaped(board.query),
        warning=f'<p class="warning" role="status">{_escaped(warning)}</p>' if warning else "",
        rows=str(max(board.moment_rows(), default=0) + 1),
        bands="".join(_bands(board)),
        lanes="\n".join([_curve(board), *(_lane(board, kind) for kind in board.lanes)]),
        ticks="".join(_ticks(board)),
        moments=_moments(board, links),
        cards=_cards(board, links),
        settings="".join(
            f"<div><dt>{_escaped(name.capitalize())}</dt><dd>{_escaped(value)}</dd></div>"
            for name, value in board.settings().items()
        ),
        clock_note=_clock_note(board),
        data=_json(board),
    )


def _json(board: Storyboard) -> str:
    times, relevance = board.curve_points
    data = {
        "start_s": board.axis.start_s,
        "duration_s": board.axis.duration_s,
        "times_s": [round(float(t), 3) for t in times],
        "relevance": [round(float(r), 5) for r in relevance],
    }
    # "</script>" inside a script element would end it, whatever the type of the script.
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _bands(board: Storyboard) -> Iterable[str]:
    rows = board.moment_rows()
    for number, (moment, row) in enumerate(zip(board.moments, rows, strict=True), 1):
        span = moment.span
        left, right = (board.position(t, moment.video) for t in (span.start_s, span.end_s))
        # Near the right end a label would stand out of the page.
        turned = " turned" if left > 0.9 else ""
        yield (
            f'<div class="band{turned}" style="{_extent(left, right)};--row:{row}">'
            f"<b>{number}<small> · {moment.score:.2f}</small></b></div>"
        )


def _curve(board: Storyboard) -> str:
    low, high = board.curve_range
    points = [f"{1000 * x:.1f} {99 - 94 * y:.1f}" for x, y in board.curve_path()]
    drawing = bounds = span = ""
    if points:
        first, last = points[0].split()[0], points[-1].split()[0]
        line = "L".join(points)
        drawing = (
            f'<path class="area" d="M{first} 100L{line}L{last} 100z"/>'
            f'<path class="stroke" d="M{line}"/>'
        )
        bounds = (
            f'<span class="bound high">{high:.2f}</span><span class="bound low">{low:.2f}</span>'
        )
        span = f'<span class="range">{low:.2f} to {high:.2f}</span>'
    label = f"Relevance over time, from {low:.2f} to {high:.2f}"
    return (
        f'<div class="name-of relevance"><b>Relevance</b>{span}</div>'
        f'<div class="lane curve">{bounds}<svg role="img" aria-label="{label}"'
        f' viewBox="0 0 1000 100" preserveAspectRatio="none">{drawing}</svg></div>'
    )


def _lane(board: Storyboard, kind: Kind) -> str:
    paths = dict.fromkeys(range(1, LEVELS + 1), "")
    for start, end, level in board.density(kind):
        paths[level] += f"M{1000 * start:.4g} 0h{1000 * (end - start):.3g}v1H{1000 * start:.4g}z"
    faint = "".join(f'<path class="d{n}" d="{d}"/>' for n, d in paths.items() if d)
    marks = "".join(
        f'<a class="mark" id="mark-{e.rank}" href="#card-{e.rank}" style="{_extent(*e.span)}"'
        f' title="{_label(e)}" aria-label="{_label(e)}"></a>'
        for e in board.entries
        if e.kind == kind
    )
    chosen = sum(e.kind == kind for e in board.entries)
    return (
        f'<div class="name-of kind-{kind.name}"><b>{kind.name.capitalize()}</b>'
        f"<span>{chosen} of {board.count(kind):,}</span></div>"
        f'<div class="lane kind-{kind.name}"><svg aria-hidden="true" viewBox="0 0 1000 1"'
        f' preserveAspectRatio="none">{faint}</svg>{marks}</div>'
    )


def _ticks(board: Storyboard) -> Iterable[str]:
    for i, (position, label) in enumerate(board.ticks()):
        # On a phone every second label gives way, and the one at the right end, which must not
        # stand out of the page and would run into its neighbour.
        names = " ".join(["minor"] * (i % 2) + ["last"] * (position > _LAST_LABEL))
        yield f'<span class="{names}" style="left:{100 * position:.2f}%">{_escaped(label)}</span>'


_Links = dict[str, str | None]
"""By video, where a browser finds it at which offset; None where nothing can be played."""


def _moments(board: Storyboard, links: _Links) -> str:
    items = "".join(
        f"<li><b>{number}</b><span>{_escaped(board.times(m))}{_said(m)}</span>"
        f'<span class="score">{m.score:.3f}</span>{_play(board, links, m.video, m.span.start_s)}'
        "</li>"
        for number, m in enumerate(board.moments, 1)
    )
    body = f'<ol class="moments">{items}</ol>' if items else '<p class="none">No moments found.</p>'
    return (
        '<section aria-labelledby="moments-title"><h2 id="moments-title">Moments</h2>'
        f"{body}</section>"
    )


def _said(moment: Moment) -> str:
    """The words by which a moment was found."""
    return f' <q dir="auto">{_escaped(moment.text)}</q>' if moment.text else ""


def _cards(board: Storyboard, links: _Links) -> str:
    if not board.entries:
        return '<p class="none">No tokens selected.</p>'
    width, height = board.entries[0].size
    low, high = _CARD_WIDTHS_PX
    card_px = min(max(math.sqrt(_CARD_AREA_PX * width / height), low), high)
    top = max(entry.relevance for entry in board.entries)
    cards = "\n".join(_card(board, entry, links, top) for entry in board.entries)
    return f'<ol class="sheet" style="--card:{card_px:.0f}px">\n{cards}\n</ol>'


def _card(board: Storyboard, entry: Entry, links: _Links, top: float) -> str:
    share = max(entry.relevance, 0) / top if top > 0 else 0
    return (
        f'<li class="card kind-{entry.kind.name}" id="card-{entry.rank}"'
        f' data-token="{_escaped(entry.token_id)}">'
        f"{_picture(entry)}{_words(entry)}"
        f'<p class="caption"><a href="#mark-{entry.rank}">{_escaped(entry.times())}</a>'
        f"{_play(board, links, entry.video, entry.start_s)}</p>"
        f'<div class="meter"><i style="width:{100 * share:.1f}%"></i></div>'
        f'<p class="detail"><span>{entry.kind.name.capitalize()}</span>'
        f'<span><span class="word">relevance </span>{entry.relevance:.3f}</span></p></li>'
    )


def _picture(entry: Entry) -> str:
    """The token's frame with its box; nothing where its kind has no picture."""
    if entry.thumbnail is None:
        return ""
    width, height = entry.size
    source = f"data:{entry.mime};base64,{base64.b64encode(entry.thumbnail).decode()}"
    return (
        f'<div class="frame"><div style="position:relative">'
        f'<img src="{source}" alt="{_label(entry)}" width="{width}" height="{height}">'
        f"{_overlay(entry)}</div></div>"
    )


def _words(entry: Entry) -> str:
    """The token's words."""
    words = escape(printable_lines(entry.text))
    return f'<p class="words" dir="auto">{words}</p>' if words else ""


def _colours() -> str:
    """What the style sheet needs to know of each kind."""
    return "".join(
        f".kind-{kind.name} {{ --on-paper: {_hex(kind.color)}; --bright: {_hex(kind.bright)}; }}\n"
        for kind in kinds.known().values()
    )


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _overlay(entry: Entry) -> str:
    """The token's box, and its path where it moves, over its picture."""
    if not entry.has_box:
        return ""
    width, height = entry.size
    x0, y0, x1, y1 = entry.box
    box = f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}z"
    line, tip = box, ""
    if entry.path:
        line += "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in entry.path)
        x, y = entry.path[-1]
        tip = f'<circle class="tip" cx="{x:.1f}" cy="{y:.1f}" r="{0.014 * (width + height):.1f}"/>'
    return (
        f'<svg class="kind-{entry.kind.name}" aria-hidden="true" viewBox="0 0 {width} {height}">'
        f'<path class="veil" d="M0 0H{width}V{height}H0z{box}"/>'
        f'<path class="under" d="{line}"/><path class="over" d="{line}"/>{tip}</svg>'
    )


def _play(board: Storyboard, links: _Links, video: str, time_s: float) -> str:
    reel = board.reel(video)
    link = links[reel.video]
    if link is None:
        return ""
    # Media players start at 0, wherever the container's clock does.
    offset = f"{max(time_s - reel.start_s, 0):.3f}".rstrip("0").rstrip(".")
    return (
        f'<a class="play" href="{_escaped(link)}#t={offset}" target="_blank" rel="noopener"'
        f' aria-label="Play at {clock(time_s)}">play</a>'
    )


def _link(reel: Reel, folder: Path) -> str | None:
    """Where a browser finds the video: an address, or a path relative to the page, so that both
    can move together. None where there is no such file."""
    path = reel.path
    if urlsplit(path).scheme in ("http", "https"):
        return urldefrag(path).url
    if not Path(path).is_file():
        return None
    try:
        return quote(os.fsencode(Path(os.path.relpath(path, folder)).as_posix()))
    except ValueError:  # Windows: no relative path leads to another drive.
        return Path(path).resolve().as_uri()


def _clock_note(board: Storyboard) -> str:
    start_s = board.reels[0].start_s
    if len(board.reels) > 1 or start_s == 0:
        return ""
    return (
        f"<p>Times are the video's own, which start at {clock(start_s)};"
        " a media player counts from 0:00.</p>"
    )


def _label(entry: Entry) -> str:
    kind, times = entry.kind.name.capitalize(), _escaped(entry.times())
    return f"{kind}, {times}, relevance {entry.relevance:.3f}"


def _extent(left: float, right: float) -> str:
    return f"left:{100 * left:.3f}%;width:{100 * (right - left):.3f}%"


def _escaped(text: str) -> str:
    """Text, as an element or an attribute holds it."""
    return escape(printable(text))


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _PAGE_TITLE_LENGTH else text[: _PAGE_TITLE_LENGTH - 1] + "…"
