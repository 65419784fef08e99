"""What the REST API takes, and what its OpenAPI description says of the answers.

The answers themselves are `to_json()` of the results; tests hold them against these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from seal.config import WatchOptions
from seal.content import LONGEST_QUERY
from seal.errors import OptionError
from seal.results import FOUND_BY

LONGEST_ID = 300
"""Characters of the id of a video at most: it begins with the name of a file."""
Options = Annotated[
    dict[str, str | int | float | bool],
    Field(description="Options by key, such as attention.alpha; a wrong key lists what is valid."),
]
Query = Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY, examples=["a red ball"])]
Ids = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=1024)]
VideoId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=r"^[0-9A-Za-z_.-]+$")]
Choices = Annotated[
    dict[str, str] | list[str] | None,
    Field(description="The choices of a multiple choice: texts by letter, or a list of texts."),
]
Verdict = Literal["likely", "unsure", "unlikely"]
FoundBy = Annotated[str, Field(description=f"One of {', '.join(FOUND_BY)}; absent for a picture.")]
Box = Annotated[list[float], Field(description="x0 y0 x1 y1 in [0, 1]", min_length=4, max_length=4)]


class QueryRequest(BaseModel):
    """What a query says, whatever is done with it."""

    model_config = ConfigDict(extra="forbid")

    query: Query
    video: VideoId | None = Field(None, description="One video; by default all are asked.")
    options: Options = Field(default_factory=dict)


class FindRequest(QueryRequest):
    """Find the moments that a query describes."""

    top: int | None = Field(None, ge=1, le=100, description="How many moments at most.")


class SelectRequest(QueryRequest):
    """Select the tokens worth looking at for a query."""

    budget: int | None = Field(None, ge=1, le=1024)
    objective: str | None = None
    solver: str | None = None
    alpha: float | None = Field(None, ge=0, le=1)
    include: Ids = Field(default_factory=list, description="Tokens of the video to select.")
    exclude: Ids = Field(default_factory=list, description="Tokens of the video not to select.")

    @property
    def ids(self) -> dict[str, list[str]]:
        """The tokens that are named. Raises OptionError where no video is."""
        given = {"include": self.include, "exclude": self.exclude}
        if self.video is None and (self.include or self.exclude):
            raise OptionError("include and exclude name tokens of one video: name the video, too")
        return {} if self.video is None else given


class AskRequest(BaseModel):
    """Ask a question."""

    model_config = ConfigDict(extra="forbid")

    question: Query
    video: VideoId | None = Field(None, description="One video; by default all are asked.")
    budget: int | None = Field(None, ge=1, le=1024)
    choices: Choices = None
    verify: bool = Field(False, description="Ask again without what the answer cites.")
    stream: bool = Field(False, description="Send the answer as it is written, by SSE.")
    dialogue: str | None = Field(
        None,
        max_length=64,
        description='The dialogue that this goes on with; "new" begins one about a video.',
    )
    options: Options = Field(default_factory=dict)


class SourceRequest(BaseModel):
    """Where a video comes from: exactly one of these."""

    model_config = ConfigDict(extra="forbid")

    media: str | None = Field(None, description="A file under --media, by its id.")
    url: str | None = Field(None, description="An address on a host that the operator allows.")
    video: VideoId | None = Field(None, description="A video of the library, to be indexed anew.")


class JobRequest(BaseModel):
    """Index a video."""

    model_config = ConfigDict(extra="forbid")

    source: SourceRequest
    quick: bool = Field(False, description="Look at the codec's keyframes alone.")
    options: Options = Field(default_factory=dict)


class WatchRequest(BaseModel):
    """Watch a source."""

    model_config = ConfigDict(extra="forbid")

    source: SourceRequest
    queries: list[Query] = Field(min_length=1, max_length=32)
    window_s: float = Field(WatchOptions.window_s, ge=1, le=3600)
    budget: int = Field(WatchOptions.budget, ge=1, le=256)
    webhook: str | None = Field(None, description="Where alerts are sent; an allowed host.")
    options: Options = Field(default_factory=dict)


class MatchJson(BaseModel):
    """Whether a video shows what was asked at all."""

    verdict: Verdict
    probability: float
    doubt: str | None = Field(None, description="Why the verdict is worth little.")


class MomentJson(BaseModel):
    """A stretch of a video that a query describes."""

    video: str
    start_s: float
    end_s: float
    score: float
    token: str
    found_by: FoundBy | None = None
    text: str | None = None


class FoundJson(BaseModel):
    """The moments that a query describes, best first."""

    match: MatchJson | None
    moments: list[MomentJson]


class TokenJson(BaseModel):
    """One semantic entity of a video."""

    id: str
    kind: str
    start_s: float
    end_s: float
    box: Box
    text: str
    score: float


class ListedTokenJson(TokenJson):
    """A token as a listing has it."""

    track: list[list[float]] = Field(description="time_s, x0, y0, x1, y1 at each time.")
    words: list[list[float | str]] | None = Field(
        None, description="When each word is said: time_s and word."
    )


class TokensJson(BaseModel):
    """A page of the tokens of a video."""

    tokens: list[ListedTokenJson]
    next: str | None = Field(description="What to send as `after` for the next page.")


class SelectedJson(TokenJson):
    """A selected token."""

    video: str
    role: Literal["answer", "context"]
    relevance: float
    found_by: FoundBy | None = None


class ReachJson(BaseModel):
    """How far what is as relevant as the answers can be from what is selected."""

    relevance: float
    within_s: float


class SelectionJson(BaseModel):
    """The tokens worth looking at, with a bound on the best choice."""

    selection: list[SelectedJson]
    match: MatchJson | None
    objective: float
    upper_bound: float
    gap: float
    reach: ReachJson | None
    cost: float
    candidates: int = Field(description="The number of tokens that they were chosen from.")
    seconds: float


class ShownJson(TokenJson):
    """A token that the model was shown."""

    video: str
    relevance: float
    cited: bool


class CitationJson(BaseModel):
    """A token at a time that the answer cites."""

    id: str
    video: str
    start_s: float
    end_s: float


class AnswerJson(BaseModel):
    """What a model says, and the evidence that it was shown."""

    answer: str | None = Field(description="null where the server has no model.")
    citations: list[CitationJson]
    evidence: list[ShownJson]
    match: MatchJson | None
    moments: list[MomentJson]
    notes: list[str]
    model: str | None
    seconds: float
    choice: str | None = None
    without_cited: dict[str, Any] | None = None
    cut: str | None = Field(None, description="Why the text ends before it is whole.")
    dialogue: str | None = Field(None, description="What to send to go on with the dialogue.")
    cost: float | None = Field(None, description="What all evidence of the dialogue has cost.")


class VideoJson(BaseModel):
    """A video of the library."""

    video: str
    title: str
    path: str
    duration_s: float
    tokens: dict[str, int] = Field(description="How many there are, by kind.")
    profile: str
    stage: Literal["quick", "complete"]
    gaps: list[list[float | str]] = Field(description="start_s, end_s and reason of each.")
    notes: list[list[float | str]] = Field(description="time_s and text of each.")
    seconds: float
    realtime_factor: float


class RemovedJson(BaseModel):
    """A video that is no longer in the library, or not yet."""

    video: str
    path: str


class VideosJson(BaseModel):
    """A page of the videos of the library."""

    videos: list[VideoJson]
    unfinished: list[RemovedJson] = Field(description="Videos whose indexing was begun.")
    next: str | None = Field(description="What to send as `after` for the next page.")


class JobJson(BaseModel):
    """A job as it stands."""

    id: str
    kind: str
    title: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str
    done_s: float
    total_s: float | None
    speed: float | None
    left_s: float | None
    video: str | None
    failure: str | None
    attempts: int
    created_at: float
    started_at: float | None
    ended_at: float | None


class MediaFileJson(BaseModel):
    """A file under --media."""

    media: str = Field(description="The id of the file, for a job.")
    title: str = Field(description="Its path below the folder of the operator.")


class MediaFilesJson(BaseModel):
    """A page of the files under --media."""

    files: list[MediaFileJson]
    next: str | None = Field(description="What to send as `after` for the next page.")


class JobListJson(BaseModel):
    """A page of jobs, the newest first."""

    jobs: list[JobJson]
    next: str | None = Field(description="What to send as `before` for the next page.")


class PlayableJson(BaseModel):
    """Whether browsers play a video, and what can be done where they do not."""

    state: Literal["original", "remux", "transcode", "ready"]
    why: str
    job: str | None = Field(description="The job that is making a copy.")


class WatchJson(BaseModel):
    """A source that is watched."""

    id: str
    title: str
    queries: list[str]
    state: Literal["running", "stopped", "ended", "failed"]
    told: str = Field(description="What was noticed since the last window, such as a lost source.")
    failure: str | None
    webhook: str | None
    window: dict[str, Any] | None = Field(description="The last window, as `seal watch` prints it.")
    created_at: float


class WatchListJson(BaseModel):
    """All watches."""

    watches: list[WatchJson]


class AlertJson(BaseModel):
    """A window that likely shows what a query says, after one that did not."""

    number: int
    at: float
    watch: str
    title: str
    query: str
    match: MatchJson
    start_s: float
    end_s: float
    token: dict[str, Any] | None
    delivery: str = Field(description='"none", "pending", "sent", or why sending has failed.')


class AlertListJson(BaseModel):
    """Alerts, the oldest first."""

    alerts: list[AlertJson]
