"""REST under /api/v1: videos, queries and jobs. Every answer is `to_json()` of a result."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from seal.errors import OptionError
from seal.inventory import Indexed
from seal.printing import json_line
from seal.results import Result, TokenList
from seal.serve import schemas
from seal.serve.answers import answer, told
from seal.serve.events import Told, changes
from seal.serve.replies import HEADER, KeptReply, once
from seal.serve.schemas import LONGEST_ID
from seal.serve.service import Service, allowed
from seal.serve.sources import media_files, resolved

PREFIX = "/api/v1"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (400, "The request cannot be read."),
        (401, "A token is needed."),
        (403, "The operator does not allow it."),
        (404, "There is nothing of this id."),
        (409, "It does not fit the state of things."),
        (413, "The request is too long."),
        (422, "A value is wrong; the detail lists what is valid."),
        (429, "Too many requests; Retry-After says when to come back."),
        (502, "The model that answers has failed."),
        (503, "The store or a back end cannot be used."),
        (507, "There is no space left."),
    )
}
router = APIRouter(prefix=PREFIX, responses=PROBLEMS)


def service_of(request: Request) -> Service:
    """The service behind an application."""
    service: Service = request.app.state.service
    return service


Here = Annotated[Service, Depends(service_of)]
VideoPath = Annotated[
    str, Path(max_length=LONGEST_ID, description="The id of a video, or its beginning.")
]
JobPath = Annotated[str, Path(max_length=64, description="The id of a job.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=LONGEST_ID, description="`next` of the page before.")
]
From = Annotated[
    float | None, Query(allow_inf_nan=False, description="Leave out what ends before, in seconds.")
]
Until = Annotated[
    float | None, Query(allow_inf_nan=False, description="Leave out what begins after.")
]
Key = Annotated[
    str | None,
    Header(alias=HEADER, description="A request that is sent twice under one key counts once."),
]


def as_json(value: Any, status: int = 200) -> Response:
    """A JSON value as an answer."""
    return Response(json_line(value), status, media_type="application/json")


@router.get("/videos", response_model=schemas.VideosJson, tags=["videos"])
def list_videos(service: Here, limit: Limit = 100, after: After = None) -> Response:
    """The videos, in the order of indexing."""
    listing = service.library.listing()
    names = [video.video for video in listing.videos]
    shown, following = page(listing.videos, names, limit, after)
    titles = service.titles()
    videos = [video.to_json() | {"title": service.title(video.path, titles)} for video in shown]
    begun = [{"video": video, "path": path} for video, path in listing.unfinished]
    return as_json({"videos": videos, "unfinished": begun, "next": following})


@router.get("/videos/{video}", response_model=schemas.VideoJson, tags=["videos"])
def show_video(service: Here, video: VideoPath) -> Response:
    """One video."""
    described: Indexed = service.video(video).describe()
    return as_json(described.to_json() | {"title": service.title(described.path)})


@router.delete("/videos/{video}", response_model=list[schemas.RemovedJson], tags=["videos"])
def remove_video(
    service: Here,
    video: VideoPath,
    purge: Annotated[bool, Query(description="Give the space back at once.")] = False,
) -> Response:
    """Remove a video with all its tokens, indexed or half indexed; an uploaded file, too."""
    return as_json(service.remove(video, purge).to_json())


@router.get("/tokens", response_model=schemas.TokensJson, tags=["queries"])
def list_tokens(
    service: Here,
    video: Annotated[str, Query(max_length=LONGEST_ID)],
    kind: Annotated[str | None, Query(max_length=64)] = None,
    start_s: From = None,
    end_s: Until = None,
    limit: Limit = 1000,
    after: After = None,
) -> Response:
    """The tokens of a video, or those of a time, by kind and start."""
    asked = service.video(video)
    if start_s is None and end_s is None:
        listed = asked.list_tokens(kind)
    else:
        listed = asked.tokens_between(start_s, end_s, kind)
    tokens = listed.tokens
    rows, following = page(range(len(tokens)), tokens.ids.tolist(), limit, after)
    return as_json({"tokens": TokenList(tokens.take(rows)).to_json(), "next": following})


@router.post("/find", response_model=schemas.FoundJson, tags=["queries"])
async def find(service: Here, asked: schemas.FindRequest) -> Response:
    """The moments that a query describes, best first, and whether anything matches."""

    def work() -> Result:
        options = allowed(asked.options)
        return service.asked(asked.video).find(asked.query, top=asked.top, options=options)

    return as_json((await service.compute(work)).to_json())


@router.post("/select", response_model=schemas.SelectionJson, tags=["queries"])
async def select(service: Here, asked: schemas.SelectRequest) -> Response:
    """The tokens worth looking at for a query, within a budget, with a bound on the best choice."""

    def work() -> Result:
        return service.asked(asked.video).select(
            asked.query,
            budget=asked.budget,
            objective=asked.objective,
            solver=asked.solver,
            alpha=asked.alpha,
            options=allowed(asked.options),
            **asked.ids,
        )

    return as_json((await service.compute(work)).to_json())


@router.post(
    "/ask",
    response_model=schemas.AnswerJson,
    responses={200: {"content": {"text/event-stream": {}}}},
    tags=["queries"],
)
async def ask(service: Here, asked: schemas.AskRequest) -> Response:
    """An answer from selected evidence, with the times that show it.

    With `stream`, the answer comes as server-sent events: `text` for each piece, then `answer` with
    the whole. What fails once the stream has begun comes as `problem`, with a status and a detail.
    """
    if asked.stream:
        service.streams.check_room()
        return service.streams.response(await told(service, asked))
    return as_json(await service.converse(lambda: answer(service, asked, None)))


@router.post("/prompt", tags=["queries"], response_model=dict[str, str])
async def prompt(service: Here, asked: schemas.AskRequest) -> Response:
    """What `ask` would send to the model, as a person reads it."""

    def work() -> str:
        return service.asked(asked.video).prompt(
            asked.question,
            budget=asked.budget,
            choices=asked.choices,
            **service.answering(asked.options),
        )

    return as_json({"prompt": await service.compute(work)})


@router.get("/media", response_model=schemas.MediaFilesJson, tags=["jobs"])
def list_media(service: Here, limit: Limit = 100, after: After = None) -> Response:
    """The video files under --media, each with the id that a job takes as its source."""
    return as_json(media_page(service, limit, after))


@router.post("/jobs", response_model=schemas.JobJson, status_code=202, tags=["jobs"])
def add_job(service: Here, asked: schemas.JobRequest, key: Key = None) -> Response:
    """Index a video."""
    source = resolved(service, asked.source)
    spec = service.spec(source.location, quick=asked.quick, options=asked.options)

    def make(rows: sqlite3.Connection) -> KeptReply:
        job = service.jobs.add(rows, "index", source.title, spec)
        return KeptReply(202, job.to_json(), f"{PREFIX}/jobs/{job.id}")

    reply = once(service.state, key, "jobs", asked.model_dump(), make)
    service.jobs.wake()
    return reply.response(service.options.path_prefix)


@router.get("/jobs", response_model=schemas.JobListJson, tags=["jobs"])
def list_jobs(
    service: Here,
    limit: Limit = 100,
    before: Annotated[str | None, Query(max_length=64, description="`next` of a page.")] = None,
) -> Response:
    """The jobs, the newest first."""
    jobs = service.jobs.newest(limit + 1, before)
    following = jobs[limit - 1].id if len(jobs) > limit else None
    return as_json({"jobs": [job.to_json() for job in jobs[:limit]], "next": following})


@router.get("/jobs/{job}", response_model=schemas.JobJson, tags=["jobs"])
def show_job(service: Here, job: JobPath) -> Response:
    """One job."""
    return as_json(service.jobs.get(job).to_json())


@router.post("/jobs/{job}/cancel", response_model=schemas.JobJson, tags=["jobs"])
def cancel_job(service: Here, job: JobPath) -> Response:
    """End a job that is queued or running; what it has stored stays."""
    return as_json(service.jobs.cancel(job).to_json())


@router.delete("/jobs/{job}", status_code=204, tags=["jobs"])
def remove_job(service: Here, job: JobPath) -> Response:
    """Forget a job that is over. If it has indexed nothing, what was uploaded for it goes, too."""
    service.forget(job)
    return Response(status_code=204)


@router.post("/jobs/{job}/retry", response_model=schemas.JobJson, tags=["jobs"])
def retry_job(service: Here, job: JobPath) -> Response:
    """Queue a job again that has failed or was cancelled; it goes on where it was left."""
    return as_json(service.jobs.retry(job).to_json())


@router.get("/jobs/{job}/events", tags=["jobs"], response_class=EventSourceResponse)
async def watch_job(service: Here, job: JobPath) -> EventSourceResponse:
    """A job whenever something about it changes, as server-sent events, until it is over."""
    service.jobs.get(job)

    def look() -> Told:
        found = service.jobs.get(job)
        return Told([("job", json_line(found.to_json()))], found.is_over)

    return service.streams.response(changes(look))


@router.get("/events", tags=["jobs"], response_class=EventSourceResponse)
async def watch_jobs(service: Here) -> EventSourceResponse:
    """All jobs that are not over, whenever something about one of them changes."""

    def look() -> Told:
        jobs = [job.to_json() for job in service.jobs.unfinished()]
        return Told([("jobs", json_line(jobs))])

    return service.streams.response(changes(look))


def media_page(service: Service, limit: int, after: str | None) -> dict[str, Any]:
    """A page of the files under --media as JSON. Raises as `page` does."""
    files = media_files(service.options.media)
    shown, following = page(files, [file.id for file in files], limit, after)
    return {"files": [{"media": file.id, "title": file.name} for file in shown], "next": following}


def page(
    items: Sequence[Any], names: list[str], limit: int, after: str | None
) -> tuple[Sequence[Any], str | None]:
    """Some of the items, and what to ask for after them; `names` tell them apart.

    Raises OptionError for an `after` that is none of them, such as that of a video since removed.
    """
    if after and after not in names:
        raise OptionError(f"there is no {after!r} to go on after: begin again without `after`")
    begin = names.index(after) + 1 if after else 0
    following = names[begin + limit - 1] if begin + limit < len(names) else None
    return items[begin : begin + limit], following
