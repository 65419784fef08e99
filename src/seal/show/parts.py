"""The parts of a storyboard as HTML: a file has them, and the pages of `seal serve`.

Their style is `parts.css`, and the colours of the kinds come from `colours`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

from seal import kinds
from seal.clock import clock
from seal.kinds import Color, Kind
from seal.printing import printable, printable_lines
from seal.show.storyboard import LEVELS, Entry, Storyboard
from seal.types import Moment

# Cards of all shapes get about this area: more columns for upright pictures than for wide ones.
_CARD_AREA_PX = 250 * 140
_CARD_WIDTHS_PX = (130, 320)
# A time label further right than this share of the axis ends where its tick is.
_LAST_LABEL = 0.97
_NOTHING = '<p class="none">No tokens selected.</p>'


@dataclass(frozen=True)
class Links:
    """Where the parts of a storyboard lead."""

    picture: Callable[[Entry], str]
    """The address of the picture of a selected token that has one."""
    play: Callable[[str, float, float], dict[str, str]]
    """The attributes of the link that plays a video from a time to another one, such as `href`;
    empty where the video cannot be played."""


def timeline(board: Storyboard) -> str:
    """The relevance over time and a lane for each kind, with the moments above them."""
    rows = max(board.moment_rows(), default=0) + 1
    curve = [_curve(board)] if board.query else []
    lanes = "\n".join([*curve, *(_lane(board, kind) for kind in board.lanes)])
    return (
        f'<div class="timeline" style="--rows:{rows}">\n'
        f'<div class="overlay" aria-hidden="true">{"".join(_bands(board))}'
        '<div class="cursor" hidden><span></span></div></div>\n'
        f'{lanes}\n<div class="axis" aria-hidden="true">{"".join(_ticks(board))}</div>\n</div>'
    )


def curve_json(board: Storyboard) -> str:
    """What `storyboard.js` needs to know, as JSON for a script element."""
    times, relevance = board.curve_points
    data = {
        "start_s": board.axis.start_s,
        "duration_s": board.axis.duration_s,
        "times_s": [round(float(t), 3) for t in times],
        "relevance": [round(float(r), 5) for r in relevance],
    }
    # "</script>" inside a script element would end it, whatever the type of the script.
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def moments(board: Storyboard, links: Links) -> str:
    """The moments as a list with its heading."""
    items = "".join(
        f"<li><b>{number}</b><span>{escaped(board.times(m))}{_said(m)}</span>"
        f'<span class="score">{m.score:.3f}</span>'
        f"{_play(links, board.reel(m.video).video, m.span.start_s, m.span.end_s)}</li>"
        for number, m in enumerate(board.moments, 1)
    )
    body = f'<ol class="moments">{items}</ol>' if items else '<p class="none">No moments found.</p>'
    return (
        '<section aria-labelledby="moments-title"><h2 id="moments-title">Moments</h2>'
        f"{body}</section>"
    )


def evidence(board: Storyboard, links: Links) -> str:
    """The selected tokens as cards with their heading: the answers, then the context."""
    answers = [entry for entry in board.entries if entry.is_answer]
    context = [entry for entry in board.entries if not entry.is_answer]
    groups = _group(board, links, "Answers", "chosen for the query", answers)
    groups += _group(board, links, "Context", "chosen for the rest of the video", context)
    return (
        '<section aria-labelledby="evidence-title"><h2 id="evidence-title">Evidence</h2>'
        f"{groups or _NOTHING}</section>"
    )


def colours() -> str:
    """The style of each kind: its colours."""
    return "".join(
        f".kind-{kind.name} {{ --on-paper: {_hex(kind.color)}; --bright: {_hex(kind.bright)}; }}\n"
        for kind in kinds.known().values()
    )


def escaped(text: str) -> str:
    """Text, as an element or an attribute holds it."""
    return escape(printable(text))


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
    label = f"Relevance over time, from {low:.2f} to {high:.2f}"
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
    if points and board.threshold is not None:
        y = 99 - 94 * board.height(board.threshold)
        drawing += f'<path class="least" d="M0 {y:.1f}H1000"/>'
        bounds += f'<span class="bound least" style="top:{y:.1f}%">answers</span>'
        label += f"; tokens of {board.threshold:.2f} and more are answers"
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
    mine = [entry for entry in board.entries if entry.kind == kind]
    marks = "".join(map(_mark, mine))
    return (
        f'<div class="name-of kind-{kind.name}"><b>{kind.name.capitalize()}</b>'
        f"<span>{len(mine)} of {board.count(kind):,}</span></div>"
        f'<div class="lane kind-{kind.name}"><svg aria-hidden="true" viewBox="0 0 1000 1"'
        f' preserveAspectRatio="none">{faint}</svg>{marks}</div>'
    )


def _mark(entry: Entry) -> str:
    role, label = "" if entry.is_answer else " context", _label(entry)
    return (
        f'<a class="mark{role}" id="mark-{entry.rank}" href="#card-{entry.rank}"'
        f' style="{_extent(*entry.span)}" title="{label}" aria-label="{label}"></a>'
    )


def _ticks(board: Storyboard) -> Iterable[str]:
    for i, (position, label) in enumerate(board.ticks()):
        # On a phone every second label gives way, and the one at the right end, which must not
        # stand out of the page and would run into its neighbour.
        names = " ".join(["minor"] * (i % 2) + ["last"] * (position > _LAST_LABEL))
        yield f'<span class="{names}" style="left:{100 * position:.2f}%">{escaped(label)}</span>'


def _said(moment: Moment) -> str:
    """The words by which a moment was found."""
    return f' <q dir="auto">{escaped(moment.text)}</q>' if moment.text else ""


def _group(board: Storyboard, links: Links, title: str, why: str, entries: list[Entry]) -> str:
    """Some of the selected tokens; nothing where there are none."""
    if not entries:
        return ""
    width, height = board.entries[0].size
    low, high = _CARD_WIDTHS_PX
    card_px = min(max(math.sqrt(_CARD_AREA_PX * width / height), low), high)
    top = max(entry.relevance for entry in board.entries)
    cards = "\n".join(_card(entry, links, top) for entry in entries)
    return (
        f"<h3>{title} <span>{len(entries)} {why}</span></h3>"
        f'<ol class="sheet" style="--card:{card_px:.0f}px">\n{cards}\n</ol>'
    )


def _card(entry: Entry, links: Links, top: float) -> str:
    share = max(entry.relevance, 0) / top if top > 0 else 0
    return (
        f'<li class="card kind-{entry.kind.name}" id="card-{entry.rank}"'
        f' data-token="{escaped(entry.token_id)}">'
        f"{_picture(entry, links)}{_words(entry)}"
        f'<p class="caption"><a href="#mark-{entry.rank}">{escaped(entry.times())}</a>'
        f"{_play(links, entry.video, entry.start_s, entry.end_s)}</p>"
        f'<div class="meter"><i style="width:{100 * share:.1f}%"></i></div>'
        f'<p class="detail"><span>{entry.kind.name.capitalize()}</span>'
        f'<span><span class="word">relevance </span>{entry.relevance:.3f}</span></p></li>'
    )


def _picture(entry: Entry, links: Links) -> str:
    """The token's frame with its box; nothing where its kind has no picture."""
    if entry.thumbnail is None:
        return ""
    width, height = entry.size
    return (
        f'<div class="frame"><div style="position:relative">'
        f'<img src="{escape(links.picture(entry))}" alt="{_label(entry)}"'
        f' width="{width}" height="{height}">'
        f"{_overlay(entry)}</div></div>"
    )


def _words(entry: Entry) -> str:
    """The token's words."""
    words = escape(printable_lines(entry.text))
    return f'<p class="words" dir="auto">{words}</p>' if words else ""


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


def _play(links: Links, video: str, start_s: float, end_s: float) -> str:
    attributes = links.play(video, start_s, end_s)
    if not attributes:
        return ""
    listed = "".join(f' {name}="{escaped(value)}"' for name, value in attributes.items())
    return f'<a class="play"{listed} aria-label="Play at {clock(start_s)}">play</a>'


def _label(entry: Entry) -> str:
    kind = entry.kind.name.capitalize() + (
        f" ({entry.text})" if entry.has_box and entry.text else ""
    )
    return escaped(f"{kind}, {entry.times()}, relevance {entry.relevance:.3f}")


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _extent(left: float, right: float) -> str:
    return f"left:{100 * left:.3f}%;width:{100 * (right - left):.3f}%"
