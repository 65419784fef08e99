"""What a browser or a program fetches of a video: itself, its pictures, its words, clips of it.

Media come from the library alone, by the id of a video. A reply to an address with `?v=VERSION`,
where the version is that of `seal.serve.originals.version_of`, may be kept for ever.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from seal import __version__
from seal.errors import OptionError
from seal.indexed import LocalVideo
from seal.lookup import source_options
from seal.serve import schemas
from seal.serve.browsers import MEDIA_TYPES, makeup_of
from seal.serve.clips import check_clip, clip
from seal.serve.delivery import (
    CHECKED,
    KEPT,
    content,
    disposition,
    etag_of,
    file_reply,
    is_known,
    not_modified,
    ranged,
    safe_name,
)
from seal.serve.originals import original_file, version_of
from seal.serve.problems import MissingError
from seal.serve.replies import KeptReply, once
from seal.serve.rest import PREFIX, PROBLEMS, Here, Key, VideoPath, as_json
from seal.serve.service import Service
from seal.serve.stills import Thumbnails, picture, poster
from seal.spoken import SpokenWords
from seal.store import VideoRecord
from seal.video.source import VIDEO_SUFFIXES
from seal.words import Cue
from seal.words.export import render

Route = TypeVar("Route", bound=Callable[..., Any])

_MP4, _JPEG, _VTT = "video/mp4", "image/jpeg", "text/vtt"

router = APIRouter(responses=PROBLEMS)

Token = Annotated[str, Path(max_length=64, description="The id of a token.")]
Width = Annotated[int | None, Query(ge=16, le=1920, description="Pixels; never scaled up.")]
Version = Annotated[
    str | None,
    Query(alias="v", max_length=64, description="That of the tokens: then it is kept for ever."),
]
Time = Annotated[float, Query(allow_inf_nan=False, description="Presentation time in seconds.")]


def _served(path: str, responses: dict[int | str, dict[str, Any]]) -> Callable[[Route], Route]:
    """A route that answers GET, and HEAD with the same headers."""

    def add(route: Route) -> Route:
        common: dict[str, Any] = {"responses": responses, "response_class": Response}
        router.head(path, tags=["media"], **common)(route)
        router.get(path, tags=["media"], **common)(route)
        return route

    return add


@_served("/media/{video}", ranged(*MEDIA_TYPES))
def whole(request: Request, service: Here, video: VideoPath) -> Response:
    """A video, whole or in ranges: the copy that browsers play where there is one, or else the file
    that was indexed. A copy begins at 0; times of tokens count from the container's zero."""
    record = service.record(video)
    if (copy := service.copies.find(record.id)) is not None:
        return file_reply(request, copy, _MP4, _name(service, record, ".mp4"))
    path = original_file(record)
    suffix = path.suffix.lower() if path.suffix.lower() in VIDEO_SUFFIXES else ""
    media_type = makeup_of(path, source_options(record)).media_type
    return file_reply(request, path, media_type, _name(service, record, suffix))


def _name(service: Service, record: VideoRecord, suffix: str) -> str:
    return safe_name(PurePath(service.title(record.location)).stem, suffix)


async def _kept(
    request: Request,
    service: Service,
    name: str,
    version: str | None,
    media_type: str,
    make: Callable[[LocalVideo], bytes],
) -> Response:
    """What is made from the stored tokens of a video, unless the client has it already."""

    def work() -> Response:
        video = service.video(name)
        current = version_of(video.record)
        cache = KEPT if version == current else CHECKED
        etag = etag_of(__version__, video.id, current, request.url.path, request.url.query)
        if is_known(request, etag):
            return not_modified(etag, cache)
        return Response(make(video), 200, {"etag": etag, "cache-control": cache}, media_type)

    return await service.compute(work)


@_served("/media/{video}/poster.jpg", content(_JPEG))
async def show_poster(
    request: Request, service: Here, video: VideoPath, width: Width = None, v: Version = None
) -> Response:
    """The stored frame that is most like all others of a video."""
    return await _kept(request, service, video, v, _JPEG, lambda video: poster(video, width))


@_served("/media/{video}/pictures/{token}.jpg", content(_JPEG))
async def show_picture(
    request: Request,
    service: Here,
    video: VideoPath,
    token: Token,
    width: Width = None,
    v: Version = None,
) -> Response:
    """The stored frame that shows a token."""
    return await _kept(
        request, service, video, v, _JPEG, lambda video: picture(video, token, width)
    )


@_served("/media/{video}/thumbnails.vtt", content(_VTT))
async def show_thumbnails(
    request: Request, service: Here, video: VideoPath, v: Version = None
) -> Response:
    """For each stretch of a video the picture that shows it, as WebVTT: a rectangle of a sheet.
    Times count from the first picture."""
    return await _kept(
        request, service, video, v, _VTT, lambda video: Thumbnails.of(video).cues().encode()
    )


@_served("/media/{video}/thumbnails/{sheet}.jpg", content(_JPEG))
async def show_sheet(
    request: Request,
    service: Here,
    video: VideoPath,
    sheet: Annotated[int, Path(ge=0, le=999)],
    v: Version = None,
) -> Response:
    """A sheet of thumbnails, which `thumbnails.vtt` names."""
    return await _kept(
        request, service, video, v, _JPEG, lambda video: Thumbnails.of(video).sheet(sheet)
    )


@_served("/media/{video}/chapters.vtt", content(_VTT))
async def show_chapters(
    request: Request, service: Here, video: VideoPath, v: Version = None
) -> Response:
    """The chapters of what is said, as WebVTT. Times count from the first picture."""
    return await _kept(
        request, service, video, v, _VTT, lambda video: _words(video, LocalVideo.chapters)
    )


@_served("/media/{video}/subtitles.vtt", content(_VTT))
async def show_subtitles(
    request: Request, service: Here, video: VideoPath, v: Version = None
) -> Response:
    """What is said, as WebVTT. Times count from the first picture."""
    return await _kept(
        request, service, video, v, _VTT, lambda video: _words(video, LocalVideo.transcript)
    )


def _words(video: LocalVideo, spoken: Callable[[LocalVideo], SpokenWords]) -> bytes:
    """WebVTT of what is said. Raises MissingError where nothing is."""
    try:
        cues = spoken(video).cues
    except OptionError as error:
        raise MissingError(str(error)) from error
    shifted = [_earlier(cue, video.record.start_s) for cue in cues]
    return render(shifted, "vtt").encode("utf-8", "replace")


def _earlier(cue: Cue, by_s: float) -> Cue:
    words = tuple(
        replace(word, start_s=word.start_s - by_s, end_s=word.end_s - by_s) for word in cue.words
    )
    return replace(cue, start_s=cue.start_s - by_s, end_s=cue.end_s - by_s, words=words)


@_served("/media/{video}/clip", content(_MP4))
async def show_clip(
    request: Request,
    service: Here,
    video: VideoPath,
    start_s: Time,
    end_s: Time,
    exact: Annotated[
        bool, Query(description="Encoded anew, to begin at any picture and not at a keyframe.")
    ] = False,
) -> Response:
    """A stretch of a video as fragmented MP4, cut while it is sent. It begins at the keyframe at or
    before its start where MP4 has a place for the codecs. Otherwise, and with `exact`, it is
    encoded anew and begins and ends exactly."""
    record = await run_in_threadpool(service.record, video)
    check_clip(record, start_s, end_s, service.options.max_clip_s)
    name = safe_name(f"{_name(service, record, '')}-{start_s:.1f}-{end_s:.1f}", ".mp4")
    headers = {"content-disposition": disposition(name), "cache-control": "no-store"}
    if request.method == "HEAD":
        await run_in_threadpool(original_file, record)
        return StreamingResponse(iter(()), 200, headers, _MP4)
    pieces = clip(service, record, start_s, end_s, exact)
    # What is wrong is told before the first piece.
    return StreamingResponse(_onwards(await anext(pieces), pieces), 200, headers, _MP4)


async def _onwards(
    first: bytes, pieces: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


@router.get(
    f"{PREFIX}/videos/{{video}}/playable", response_model=schemas.PlayableJson, tags=["videos"]
)
def show_playable(service: Here, video: VideoPath) -> Response:
    """Whether browsers play a video. If not, a copy that they play is made on request."""
    return as_json(service.playability(video).to_json())


@router.post(
    f"{PREFIX}/videos/{{video}}/playable",
    response_model=schemas.JobJson,
    status_code=202,
    tags=["videos"],
)
def make_playable(service: Here, video: VideoPath, key: Key = None) -> Response:
    """Make a copy of a video that browsers play: without loss where only the container is wrong,
    otherwise as H.264 and AAC."""
    found = service.playability(video)

    def make(rows: sqlite3.Connection) -> KeptReply:
        job = service.queue_copy(rows, video, found)
        return KeptReply(202, job.to_json(), f"{PREFIX}/jobs/{job.id}")

    reply = once(service.state, key, "playable", {"video": video}, make)
    service.jobs.wake()
    return reply.response(service.options.path_prefix)
