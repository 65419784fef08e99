"""The pages: library, search, a video, live, jobs. They are complete without JavaScript, but for
what only a script can do; the scripts play spans, follow jobs, upload and ask."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from seal.clock import clock
from seal.content import LONGEST_QUERY
from seal.errors import OptionError, SealError
from seal.indexed import LocalVideo
from seal.printing import printable
from seal.serve import schemas
from seal.serve.assets import assets
from seal.serve.login import Fields, To, local, logged_in, logged_out
from seal.serve.problems import headers_of, status_of
from seal.serve.rest import Here, VideoPath, service_of
from seal.serve.service import Service
from seal.serve.sources import media_files, resolved
from seal.serve.views import (
    JobRow,
    MatchWords,
    MomentCard,
    Site,
    VideoCard,
    bare,
    counted,
    current,
    watchable,
)
from seal.show import parts
from seal.store import VideoRecord

_MOMENTS = 24
"""How many moments a search over everything shows."""
_VIDEOS = 60
"""How many videos a page of the library shows."""
_JOBS = 100
"""How many jobs a page lists."""
_FAILED_OF = 10
"""Among how many of the newest jobs the library looks for failed ones."""


class _PageRoute(APIRoute):
    """A route whose errors are pages, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except SealError as error:
                status, detail = status_of(error), service_of(request).told(error)
                headers = headers_of(error)
            except RequestValidationError:
                status, detail = 422, "The address of this page has a value that is not valid."
                headers = {}
            title = HTTPStatus(status).phrase
            said = {"title": title, "detail": printable(detail)}
            reply = _page(service_of(request), "problem.html", status, **said)
            reply.headers.update(headers)
            return reply

        return handled


router = APIRouter(route_class=_PageRoute, include_in_schema=False)
Asked = Annotated[str, Query(max_length=LONGEST_QUERY)]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
Time = Annotated[float | None, Query(allow_inf_nan=False)]


@cache
def _templates() -> Environment:
    """The templates; everything in them is escaped unless it is marked as HTML."""
    made = Environment(
        loader=PackageLoader("seal.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["printable"] = printable
    return made


def _page(service: Service, template: str, status: int = 200, **values: Any) -> Response:
    site = Site(service.options.path_prefix)

    def asset(name: str) -> str:
        return site.url(f"/static/{assets().version}/{name}")

    common = {
        "url": site.url,
        "asset": asset,
        "prefix": site.prefix,
        "here": "",
        "is_outside": False,
        "has_token": bool(service.options.token),
    }
    body = _templates().get_template(template).render(common | values)
    return HTMLResponse(body, status, {"cache-control": "no-store"})


@router.get("/")
def library(request: Request, service: Here, page: PageNumber = 1) -> Response:
    """The videos, what is being done, and ways to add more."""
    records = service.library.store.videos()
    total_s = sum(record.duration_s for record in records)
    count = len(records)
    summary = f"{count} video{'s' * (count != 1)}, {clock(total_s, tenths=False)} in all"
    return _page(
        service,
        "library.html",
        here="/",
        summary=summary,
        media=media_files(service.options.media),
        hosts=service.options.hosts,
        jobs=_current(service),
        live=[row["title"] for row in request.app.state.watches.running()],
        **_videos(service, page),
    )


@router.get("/videos")
def videos(service: Here, page: PageNumber = 1) -> Response:
    """The videos of the library, as a part of its page."""
    media = media_files(service.options.media)
    return _page(service, "videos.html", media=media, **_videos(service, page))


def _videos(service: Service, page: int) -> dict[str, Any]:
    """Some of the videos, the newest first, and the pages before and after them."""
    site, titles = Site(service.options.path_prefix), service.titles()
    counts = service.library.store.counts()
    records = [record for record in service.library.store.videos() if record.id in counts]
    records.reverse()
    first = (page - 1) * _VIDEOS
    shown = [
        VideoCard.of(site, record, counts[record.id], service.title(record.location, titles))
        for record in records[first : first + _VIDEOS]
    ]
    newer, older = (
        page - 1 if page > 1 else None,
        page + 1 if first + _VIDEOS < len(records) else None,
    )
    return {"videos": shown, "page": page, "newer": newer, "older": older}


@router.get("/search")
async def search(service: Here, q: Asked = "") -> Response:
    """The moments of all videos that a query describes."""
    site = Site(service.options.path_prefix)
    if not q.strip():
        return RedirectResponse(site.url("/"), 303)

    def work() -> dict[str, Any]:
        found, titles = service.library.find(q, top=_MOMENTS), service.titles()
        cards = []
        for moment in found.moments:
            video = service.video(moment.video)
            title = service.title(video.record.location, titles)
            cards.append(MomentCard.of(site, q, moment, video, title))
        count = len(service.library)
        where = f"Search over {count} video{'s' * (count != 1)}"
        return {"moments": cards, "verdict": MatchWords.of(found.match), "where": where}

    return _page(
        service,
        "search.html",
        searched=q,
        exports=site.exports(q),
        model=service.models.model,
        **await service.compute(work),
    )


@router.get("/videos/{video}")
async def show(
    service: Here, video: VideoPath, q: Asked = "", start_s: Time = None, end_s: Time = None
) -> Response:
    """A video with its lanes, and what a query finds in it."""
    query, span = q.strip(), None

    def work() -> tuple[VideoRecord, dict[str, Any]]:
        asked = service.video(video)
        return asked.record, _facts(service, asked.record) | _video(service, asked, query)

    record, values = await service.compute(work)
    if start_s is not None:
        end_s = watchable(start_s, start_s if end_s is None else end_s)
        span = (start_s - record.start_s, end_s - record.start_s)
    site = Site(service.options.path_prefix)
    # A player stops by itself at the end of the span: this works without JavaScript.
    fragment = f"#t={max(span[0], 0):.3f},{max(span[1], 0):.3f}" if span else ""
    return _page(
        service,
        "video.html",
        video=record.id,
        query=query,
        span=None if span is None else (f"{start_s:.3f}", f"{end_s:.3f}"),
        media=site.url(f"/media/{record.id}") + fragment,
        model=service.models.model,
        exports=site.exports(query, record.id) if query else [],
        **values,
    )


def _facts(service: Service, record: VideoRecord) -> dict[str, Any]:
    return {
        "title": printable(service.title(record.location)),
        "length": clock(record.duration_s),
        "width": record.width,
        "height": record.height,
        "start_s": record.start_s,
        "start_clock": clock(record.start_s),
        "language": record.language,
    }


def _video(service: Service, video: LocalVideo, query: str) -> dict[str, Any]:
    """What a query finds in a video, drawn; the lanes alone without a query."""
    site = Site(service.options.path_prefix)
    board = video.storyboard(query) if query else bare(video)
    counts = [(kind.name, board.count(kind)) for kind in board.lanes]
    links = site.links(query)
    speaks = bool(video.tokens.where(lambda kind: kind.has_word_times).any())
    return {
        "tokens": counted(counts),
        "has_speech": speaks,
        "chapters": _chapters(site, video) if speaks else [],
        "verdict": MatchWords.of(video.find(query).match) if query else None,
        "timeline": Markup(parts.timeline(board)),
        "moments": Markup(parts.moments(board, links)),
        "evidence": Markup(parts.evidence(board, links)),
        "settings": [(name.capitalize(), value) for name, value in board.settings().items()],
        "data": Markup(parts.curve_json(board)),
    }


def _chapters(site: Site, video: LocalVideo) -> list[dict[str, Any]]:
    return [
        {
            "href": site.moment(video.id, "", cue.start_s, cue.end_s),
            "start_s": f"{cue.start_s:.3f}",
            "end_s": f"{cue.end_s:.3f}",
            "clock": clock(cue.start_s, tenths=False),
            "title": printable(cue.text),
        }
        for cue in video.chapters().cues
    ]


@router.get("/live")
def live(service: Here) -> Response:
    """Sources that are watched, what their queries hold, and alerts."""
    options = service.options
    media = media_files(options.media)
    return _page(service, "live.html", here="/live", media=media, hosts=options.hosts)


@router.get("/jobs")
def jobs(service: Here) -> Response:
    """All jobs."""
    return _page(service, "jobs.html", here="/jobs", jobs=_newest(service))


@router.get("/jobs/all")
def all_jobs(service: Here) -> Response:
    """All jobs, as a part of their page."""
    return _page(service, "alljobs.html", jobs=_newest(service))


@router.get("/jobs/current")
def current_jobs(service: Here) -> Response:
    """The jobs at work, as a part of the library."""
    return _page(service, "current.html", jobs=_current(service))


def _newest(service: Service) -> list[JobRow]:
    site = Site(service.options.path_prefix)
    return [JobRow.of(site, job) for job in service.jobs.newest(_JOBS)]


def _current(service: Service) -> list[JobRow]:
    site = Site(service.options.path_prefix)
    shown = current(service.jobs.unfinished(), service.jobs.newest(_FAILED_OF))
    return [JobRow.of(site, job) for job in shown]


@router.post("/add")
def add(service: Here, fields: Fields) -> Response:
    """Queue the indexing of a file under --media, of an address or, anew, of a video."""
    given = {name: fields[name] for name in schemas.SourceRequest.model_fields if fields.get(name)}
    try:
        source = resolved(service, schemas.SourceRequest(**given))
    except ValidationError:
        raise OptionError(
            "a source is a media file, an address or a video of the library"
        ) from None
    service.queue_index(source.title, source.location)
    return _to(service, "/")


@router.post("/videos/{video}/remove")
def remove(service: Here, video: VideoPath) -> Response:
    """Remove a video with all its tokens."""
    service.remove(video)
    return _to(service, "/")


@router.post("/jobs/{job}/cancel")
def cancel(service: Here, job: str) -> Response:
    """End a job."""
    service.jobs.cancel(job)
    return _to(service, "/jobs")


@router.post("/jobs/{job}/forget")
def forget(service: Here, job: str) -> Response:
    """Forget a job that is over."""
    service.forget(job)
    return _to(service, "/jobs")


@router.post("/jobs/{job}/retry")
def retry(service: Here, job: str) -> Response:
    """Queue a job again."""
    service.jobs.retry(job)
    return _to(service, "/jobs")


def _to(service: Service, path: str) -> Response:
    return RedirectResponse(service.options.path_prefix + path, 303)


@router.get("/login")
def login(service: Here, to: To = "/") -> Response:
    """Where a browser gives the token."""
    return _login(service, to)


@router.post("/login")
def log_in(service: Here, request: Request, fields: Fields) -> Response:
    """Take the token."""
    to = fields.get("to", "/")
    found = logged_in(request, service.options, fields.get("token", ""), to)
    return found or _login(service, to, 401)


@router.post("/logout")
def log_out(service: Here) -> Response:
    """Forget that this browser has given the token."""
    return logged_out(service.options)


def _login(service: Service, to: str, status: int = 200) -> Response:
    said = {"to": local(to), "is_wrong": status != 200, "is_outside": True}
    return _page(service, "login.html", status, **said)
