"""What the Python client asks for besides: `seal.client` has the other half of each request."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi import Path as PathPart
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from seal import __version__
from seal.config import ChapterOptions
from seal.errors import OptionError
from seal.results import Result
from seal.serve import schemas
from seal.serve.answers import begin, saved
from seal.serve.rest import PREFIX, PROBLEMS, Here, VideoPath, as_json

router = APIRouter(prefix=PREFIX, responses=PROBLEMS)

DialoguePath = Annotated[str, PathPart(max_length=64, description="The id of a dialogue.")]


class ServerJson(BaseModel):
    """What a server is."""

    version: str
    profile: str = Field(description="How it indexes videos.")
    answerer: str | None = Field(description="The model that answers; null for none.")


class WordJson(BaseModel):
    """A word and when it is said."""

    start_s: float
    end_s: float
    text: str


class CueJson(WordJson):
    """A sentence, or the title of a chapter, and when it is said."""

    words: list[WordJson] | None = None


class PicturesRequest(BaseModel):
    """Pictures of tokens."""

    model_config = ConfigDict(extra="forbid")

    video: schemas.VideoId
    tokens: schemas.Ids = Field(description="The ids of the tokens.")
    crop: bool = Field(False, description="Cut out objects and actions, as a model is shown them.")


class PicturesJson(BaseModel):
    """Pictures of tokens."""

    pictures: list[str] = Field(description="A JPEG of each token, in Base64.")


class DialogueRequest(BaseModel):
    """Begin a dialogue, or go on with one that was saved."""

    model_config = ConfigDict(extra="forbid")

    video: schemas.VideoId
    saved: dict[str, Any] | None = Field(None, description="What a client has saved of one.")
    options: schemas.Options = Field(default_factory=dict)


class DialogueJson(BaseModel):
    """A dialogue that goes on."""

    dialogue: str
    cost: float = Field(description="What all evidence shown so far has cost.")


class TurnJson(BaseModel):
    """A question of a dialogue, and its answer."""

    question: str
    complete: str = Field(description="With what it points back to in its place.")
    evidence: list[str] = Field(description="The ids of the tokens that it showed first.")
    answer: str | None


class SavedDialogueJson(BaseModel):
    """A dialogue as a file keeps it."""

    version: int
    video: str
    keys: dict[str, str]
    turns: list[TurnJson]


@router.get("/server", response_model=ServerJson, tags=["server"])
def about(service: Here) -> Response:
    """What this server is; whoever may ask learns it."""
    models = service.models
    return as_json({"version": __version__, "profile": models.profile, "answerer": models.model})


@router.get("/videos/{video}/transcript", response_model=list[CueJson], tags=["videos"])
async def transcript(service: Here, video: VideoPath) -> Response:
    """Everything that is said in a video."""
    return as_json((await service.compute(lambda: service.video(video).transcript())).to_json())


@router.get("/videos/{video}/chapters", response_model=list[CueJson], tags=["videos"])
async def chapters(
    service: Here,
    video: VideoPath,
    every_s: Annotated[
        float, Query(allow_inf_nan=False, description="The usual length of a chapter.")
    ] = ChapterOptions.every_s,
) -> Response:
    """Where the subject of what is said in a video changes."""

    def work() -> Result:
        return service.video(video).chapters(every_s=every_s)

    return as_json((await service.compute(work)).to_json())


@router.post("/pictures", response_model=PicturesJson, tags=["videos"])
async def pictures(service: Here, asked: PicturesRequest) -> Response:
    """The stored frames that show some tokens of a video, or crops of these."""

    def work() -> list[str]:
        video = service.video(asked.video)
        tokens = video.tokens
        places = {name: row for row, name in enumerate(tokens.ids.tolist())}
        if missing := [name for name in asked.tokens if name not in places]:
            raise OptionError(f"{asked.video} has no token {missing[0]!r}")
        rows = np.array([places[name] for name in asked.tokens], np.int64)
        found = video.pictures(tokens.take(rows), crop=asked.crop)
        return [b64encode(one).decode() for one in found]

    return as_json({"pictures": await service.compute(work)})


@router.post("/dialogues", response_model=DialogueJson, status_code=201, tags=["queries"])
async def begin_dialogue(service: Here, asked: DialogueRequest) -> Response:
    """Begin a dialogue about a video, or go on with one that was saved."""
    told = await service.compute(lambda: begin(service, asked.video, asked.saved, asked.options))
    return as_json(told, 201)


@router.get("/dialogues/{dialogue}", response_model=SavedDialogueJson, tags=["queries"])
def show_dialogue(service: Here, dialogue: DialoguePath) -> Response:
    """A dialogue as a file keeps it, with which it can be gone on with later or elsewhere."""
    return as_json(saved(service, dialogue))
