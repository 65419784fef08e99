"""What agents send to the tools of `seal.serve.agents`, and what these give back."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from seal.serve import schemas
from seal.serve.messages import StrictModel

_MOST_PICTURES = 8
"""Pictures in one result: more would fill the context of an agent."""


class VideoCall(StrictModel):
    """What may be about one video."""

    video: schemas.VideoId | None = Field(
        default=None, description="The id of one video, from `list`; leave it out to ask all."
    )


class FindCall(VideoCall):
    """The arguments of `find`."""

    query: schemas.Query = Field(description="What to look for, such as 'a red ball'.")
    top: int | None = Field(default=None, ge=1, le=100, description="How many moments at most.")


class SelectCall(VideoCall):
    """The arguments of `select`."""

    query: schemas.Query = Field(description="What to look for, such as 'a red ball'.")
    budget: int | None = Field(default=None, ge=1, le=256, description="How many tokens at most.")


class AskCall(VideoCall):
    """The arguments of `ask`."""

    question: schemas.Query = Field(description="A question in plain words.")
    budget: int | None = Field(
        default=None, ge=1, le=256, description="How many pieces of evidence at most."
    )
    choices: schemas.Choices = None


class PageCall(StrictModel):
    """A page of a list."""

    limit: int = Field(default=100, ge=1, le=500, description="How many at most.")
    after: str | None = Field(
        default=None,
        max_length=schemas.LONGEST_ID,
        description="`next` of the page before this one.",
    )


class TokensCall(PageCall):
    """The arguments of `tokens`."""

    video: schemas.VideoId = Field(description="The id of a video, from `list`.")
    kind: str | None = Field(
        default=None, max_length=64, description="scene, object, action, speech or text."
    )


class PicturesCall(StrictModel):
    """The arguments of `pictures`."""

    video: schemas.VideoId = Field(description="The id of a video, from `list`.")
    tokens: list[Annotated[str, Field(max_length=64)]] = Field(
        min_length=1,
        max_length=_MOST_PICTURES,
        description="Ids of scenes, objects or actions, from `select`, `ask`, `find` or `tokens`.",
    )


class JobsCall(StrictModel):
    """The arguments of `jobs`."""

    job: str | None = Field(
        default=None, max_length=64, description="The id of one job; leave it out for the newest."
    )
    limit: int = Field(default=20, ge=1, le=100, description="How many at most.")


class IndexCall(StrictModel):
    """The arguments of `index`."""

    media: str | None = Field(
        default=None, max_length=64, description="The id of a file, from `media`."
    )
    video: schemas.VideoId | None = Field(
        default=None, description="The id of a video, from `list`, to be indexed anew."
    )
    quick: bool = Field(default=False, description="Look at the codec's keyframes alone.")


class ListedVideoJson(BaseModel):
    """A video as agents know it."""

    video: str
    title: str
    duration_s: float
    tokens: dict[str, int] = Field(description="How many there are, by kind.")


class ListedVideosJson(BaseModel):
    """A page of the videos."""

    videos: list[ListedVideoJson]
    next: str | None = Field(description="What to send as `after` for the next page.")


class ShownPicturesJson(BaseModel):
    """What the pictures of a result show."""

    pictures: list[schemas.TokenJson] = Field(
        description="The token of each picture, in the order of the pictures."
    )
    left_out: list[str] = Field(
        description="Ids of tokens for whose pictures there was no room: ask for them again."
    )


class ListedJobsJson(BaseModel):
    """Jobs, the newest first."""

    jobs: list[schemas.JobJson]
