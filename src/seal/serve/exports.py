"""What queries find as files: tables, subtitles, chapters, edit lists, storyboards."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from seal.arguments import merged, selecting
from seal.asked import Drawn
from seal.content import LONGEST_QUERY
from seal.results import Found
from seal.serve import schemas
from seal.serve.delivery import content, disposition, safe_name
from seal.serve.rest import PREFIX, PROBLEMS, Here, as_json
from seal.serve.service import Service, allowed
from seal.show import Reel, write

_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "edl": "text/plain",
    "otio": "application/vnd.opentimelineio+json",
    "html": "text/html",
}
"""By format: the type of a file of moments."""
Form = Literal["csv", "json", "srt", "vtt", "edl", "otio", "html"]

router = APIRouter(prefix=PREFIX, responses=PROBLEMS, tags=["queries"])


class ExportRequest(schemas.FindRequest):
    """Export the moments that a query describes."""

    format: Form


class ExportedJson(BaseModel):
    """Moments, and the file that holds them."""

    found: schemas.FoundJson
    videos: list[str] = Field(description="The ids of the videos that were asked.")
    file: str = Field(description="The file, in Base64.")


class ShowRequest(schemas.SelectRequest):
    """Draw a storyboard."""

    format: Literal["html", "png"] = "html"


class DrawnJson(ExportedJson):
    """A storyboard, and what it shows."""

    selection: schemas.SelectionJson


class _File(NamedTuple):
    found: Found
    videos: Sequence[str]
    data: bytes


@router.get("/export", responses=content(*_TYPES.values()), response_class=Response)
async def export(
    service: Here,
    query: Annotated[str, Query(min_length=1, max_length=LONGEST_QUERY)],
    form: Annotated[Form, Query(alias="format")],
    video: Annotated[
        str | None, Query(max_length=schemas.LONGEST_ID, description="By default all.")
    ] = None,
    top: Annotated[int | None, Query(ge=1, le=100)] = None,
) -> Response:
    """The moments that a query describes, as a file: a table, subtitles, chapters of a player, an
    edit list, or the storyboard."""
    settings = merged((), {"find.top": top})
    file = await service.compute(lambda: _exported(service, query, video, form, settings))
    name = safe_name(f"{video or 'library'}-{query}", f".{form}")
    headers = {"content-disposition": disposition(name, "attachment")}
    return Response(file.data, 200, headers, _TYPES[form])


@router.post("/export", response_model=ExportedJson)
async def export_for_client(service: Here, asked: ExportRequest) -> Response:
    """The moments that a query describes, and the file that holds them."""
    settings = merged(allowed(asked.options), {"find.top": asked.top})
    file = await service.compute(
        lambda: _exported(service, asked.query, asked.video, asked.format, settings)
    )
    values = {"found": file.found.to_json(), "videos": file.videos}
    return as_json({**values, "file": b64encode(file.data).decode()})


@router.post("/show", response_model=DrawnJson)
async def show(service: Here, asked: ShowRequest) -> Response:
    """A storyboard of a query, as a page in one file or as a picture."""

    def work() -> dict[str, Any]:
        named = selecting(asked.budget, asked.objective, asked.solver, asked.alpha)
        settings = merged(allowed(asked.options), named)
        drawn = service.asked(asked.video).draw(asked.query, settings, **asked.ids)
        values = {"selection": drawn.selection.to_json(), "found": drawn.found.to_json()}
        file = b64encode(_storyboard(drawn, asked.format)).decode()
        return values | {"videos": drawn.videos, "file": file}

    return as_json(await service.compute(work))


def _exported(
    service: Service, query: str, video: str | None, form: Form, settings: list[str]
) -> _File:
    of = service.asked(video)
    if form == "html":
        drawn = of.draw(query, settings)
        return _File(drawn.found, drawn.videos, _storyboard(drawn, "html"))
    with tempfile.TemporaryDirectory(prefix="seal-export-") as folder:
        path = Path(folder) / f"moments.{form}"
        made = of.export(query, path, options=settings)
        return _File(made.found, made.videos, path.read_bytes())


def _storyboard(drawn: Drawn, form: str) -> bytes:
    # Nobody but this machine can open its files.
    reels = [_public(reel) for reel in drawn.storyboard.reels]
    # A storyboard is written to a path.
    with tempfile.TemporaryDirectory(prefix="seal-show-") as folder:
        path = Path(folder) / f"storyboard.{form}"
        write(replace(drawn.storyboard, reels=reels), path)
        return path.read_bytes()


def _public(reel: Reel) -> Reel:
    is_web = urlsplit(reel.path).scheme in ("http", "https")
    return reel if is_web else replace(reel, path="")
