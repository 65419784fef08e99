"""What the pages show: results and jobs in the words and links of a page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from seal.clock import clock, span_clock
from seal.indexed import LocalVideo
from seal.printing import printable
from seal.results import Match, Verdict
from seal.serve.jobs import Job
from seal.show import Links, Reel, Storyboard
from seal.store import VideoRecord
from seal.types import Choice, Moment, Tokens

_CARD_PX = 480
"""The width of pictures on cards: one and a half pixels for each that a card has on a desktop."""
_SHORTEST_S = 2.0
"""Nobody sees anything in less: a shorter span is played for so long."""
_RECENT_S = 3600.0
"""A job that failed stays in the library for so long."""
_WHY = {
    "picture": "found by its picture",
    "words": "found by its words",
    "passage": "found by words around it",
    "meaning": "found by its meaning",
}
"""By `found_by` of a moment, how it was found."""
_STANDING: dict[Verdict, tuple[str, str]] = {
    "likely": ("Likely", "This shows what was asked for."),
    "unsure": ("Unsure", "Perhaps nothing matches. This comes closest."),
    "unlikely": ("Unlikely", "Nothing seems to match. This comes closest."),
}
_EXPORTS = {
    "csv": "CSV table",
    "json": "JSON",
    "srt": "SubRip subtitles",
    "vtt": "WebVTT chapters",
    "edl": "EDL for editing programs",
    "otio": "OpenTimelineIO",
    "html": "Storyboard",
}
"""By form of the export, what it is."""


@dataclass(frozen=True)
class Site:
    """The addresses of the pages."""

    prefix: str
    """Where a proxy offers the server."""

    def url(self, path: str, **query: Any) -> str:
        """A path of the server as a browser asks for it."""
        given = {key: value for key, value in query.items() if value is not None}
        return self.prefix + quote(path) + (f"?{urlencode(given)}" if given else "")

    def moment(self, video: str, query: str, start_s: float, end_s: float) -> str:
        """The page of a video that plays a span."""
        times = {"start_s": f"{start_s:.3f}", "end_s": f"{watchable(start_s, end_s):.3f}"}
        return self.url(f"/videos/{video}", q=query or None, **times)

    def picture(self, video: str, token: str) -> str:
        """The stored picture of a token."""
        return self.url(f"/media/{video}/pictures/{token}.jpg", width=_CARD_PX)

    def links(self, query: str) -> Links:
        """Where the parts of a storyboard lead that is about a query."""

        def play(video: str, start_s: float, end_s: float) -> dict[str, str]:
            return {
                "href": self.moment(video, query, start_s, end_s),
                "data-start": f"{start_s:.3f}",
                "data-end": f"{watchable(start_s, end_s):.3f}",
            }

        return Links(lambda entry: self.picture(entry.video, entry.token_id), play)

    def exports(self, query: str, video: str | None = None) -> list[tuple[str, str]]:
        """(name, address) of each form of what a query finds."""
        forms = [name for name in _EXPORTS if video is not None or name != "html"]
        return [
            (_EXPORTS[form], self.url("/api/v1/export", query=query, video=video, format=form))
            for form in forms
        ]


def watchable(start_s: float, end_s: float) -> float:
    """The end of a span as it is played."""
    return max(end_s, start_s + _SHORTEST_S)


@dataclass(frozen=True)
class VideoCard:
    """A video as the library shows it."""

    id: str
    href: str
    title: str
    duration_s: float
    length: str
    counts: list[tuple[str, int]]
    """(kind, number of tokens)."""
    state: str
    """What there is to know of it; empty where all is well."""
    poster: str
    width: int
    height: int

    @staticmethod
    def of(site: Site, video: VideoRecord, counts: Mapping[str, int], title: str) -> VideoCard:
        """A video of a library; `counts` is kind -> number of its tokens."""
        missing_s = sum(end_s - start_s for start_s, end_s, _ in video.gaps)
        state = f"{clock(missing_s)} could not be read" if missing_s else ""
        if video.is_quick:
            state = "only its keyframes were looked at; index it anew to complete it"
        return VideoCard(
            id=video.id,
            href=site.url(f"/videos/{video.id}"),
            title=printable(title),
            duration_s=video.duration_s,
            length=clock(video.duration_s, tenths=False),
            counts=[(kind, count) for kind, count in counts.items() if count],
            state=state,
            poster=site.url(f"/media/{video.id}/poster.jpg", width=_CARD_PX),
            width=video.width,
            height=video.height,
        )


@dataclass(frozen=True)
class JobRow:
    """A job as the pages show it."""

    id: str
    title: str
    state: str
    said: str
    """How it stands, in words."""
    share: int | None
    """Per cent done; None where nobody can tell."""
    failure: str
    href: str
    """The page of the video that came of it; or ""."""
    actions: tuple[str, ...]
    """What can be done about it: "cancel", "retry" and "forget"."""

    @staticmethod
    def of(site: Site, job: Job) -> JobRow:
        """A job as it stands."""
        progress, running = job.progress, job.state == "running"
        share = round(100 * progress.done_s / progress.total_s) if progress.total_s else None
        said = [progress.stage or "starting" if running else str(job.state)]
        if running and share is not None:
            said.append(f"{share} %")
        if running and progress.speed:
            said.append(f"{progress.speed:.1f}× real time")
        if running and progress.left_s is not None:
            said.append(f"{clock(progress.left_s, tenths=False)} left")
        again = () if job.state == "done" else ("retry",)
        return JobRow(
            id=job.id,
            title=printable(job.title),
            state=job.state,
            said=" · ".join(said),
            share=share if running else None,
            failure=printable(job.failure or ""),
            href=site.url(f"/videos/{job.video}") if job.state == "done" and job.video else "",
            actions=(*again, "forget") if job.is_over else ("cancel",),
        )


def current(unfinished: Sequence[Job], newest: Sequence[Job]) -> list[Job]:
    """The jobs that a library shows: those at work, and those that have failed lately."""
    since = time.time() - _RECENT_S
    failed = [job for job in newest if job.state == "failed" and (job.ended_at or 0) > since]
    return [*unfinished, *failed]


@dataclass(frozen=True)
class MatchWords:
    """Whether anything matches, in words."""

    name: str
    """The verdict."""
    title: str
    text: str

    @staticmethod
    def of(match: Match | None) -> MatchWords:
        """A match with its probability, and why it is worth little."""
        if match is None:
            text = "These come closest; nobody can tell whether they match."
            return MatchWords("unsure", "Not calibrated", text)
        title, text = _STANDING[match.verdict]
        sure = f" The probability is {100 * match.probability:.0f} %."
        return MatchWords(
            match.verdict, title, text + sure + f" {match.doubt}." * bool(match.doubt)
        )


@dataclass(frozen=True)
class MomentCard:
    """A moment of any video."""

    href: str
    title: str
    times: str
    why: str
    """How it was found."""
    text: str
    score: float
    picture: str
    """The address of a picture of that time; or ""."""
    alt: str
    width: int
    height: int

    @staticmethod
    def of(site: Site, query: str, moment: Moment, video: LocalVideo, title: str) -> MomentCard:
        """A moment that a query has found."""
        span, token = moment.span, _pictured(video.tokens, moment)
        return MomentCard(
            href=site.moment(moment.video, query, span.start_s, span.end_s),
            title=printable(title),
            times=span_clock(span.start_s, span.end_s),
            why=_WHY[moment.found_by],
            text=moment.text,
            score=moment.score,
            picture=site.picture(moment.video, token) if token else "",
            alt=f"A picture of {printable(title)} at {clock(span.start_s)}",
            width=video.record.width,
            height=video.record.height,
        )


def _pictured(tokens: Tokens, moment: Moment) -> str:
    """The token whose picture shows a moment: its own, or the nearest one in time; "" for none."""
    rows = np.flatnonzero(tokens.where(lambda kind: kind.has_picture))
    if not len(rows):
        return ""
    own = rows[tokens.ids[rows] == moment.token]
    if len(own):
        return moment.token
    middle_s = (moment.span.start_s + moment.span.end_s) / 2
    return str(tokens.ids[rows[np.argmin(abs(tokens.middle_s[rows] - middle_s))]])


def bare(video: LocalVideo) -> Storyboard:
    """The lanes of a video that is asked nothing."""
    nothing = np.empty(0, np.int64)
    return Storyboard(
        query="",
        reels=[Reel.of(video.record)],
        tokens=video.tokens,
        selection=Choice(nothing, np.empty(0, np.float32), 0.0, 0.0),
        is_answer=np.empty(0, bool),
        thumbnails=[],
        moments=[],
        curve=(np.empty(0), np.empty(0)),
        threshold=None,
        facts={},
        verdict="likely",
    )


def counted(counts: Iterable[tuple[str, int]]) -> str:
    """Numbers of tokens by kind, in words."""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts if count)
