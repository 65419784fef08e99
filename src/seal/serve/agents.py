"""MCP: the library as tools for agents, over HTTP under /mcp and over stdio as `seal mcp`.

Agents get ids, titles and stored pictures, never paths and never a file. What they ask for wrongly
is an error of the tool, in one sentence that says what is valid.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import anyio
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import BaseModel, ValidationError

from seal import __version__
from seal.config.serving import ServeOptions
from seal.errors import SealError
from seal.library import LocalLibrary
from seal.printing import json_line, printable
from seal.serve import calls, schemas, validation
from seal.serve.rest import media_page, page
from seal.serve.service import Chosen, Service
from seal.serve.sources import resolved
from seal.serve.state import ServerState
from seal.serve.stills import pictures

_log = logging.getLogger(__name__)
_INSTRUCTIONS = (
    "SEAL has turned hours of video into semantic tokens: scenes, objects, actions, speech and text"
    " in the picture. `list` names the videos; `find` gives the moments that a query describes;"
    " `select` and `ask` give the evidence for a query or a question; `pictures` shows the frames"
    " of the tokens that they name. Videos are named by their"
    " ids. Times are seconds from the start of a video. A match that is `unlikely` means that the"
    " videos probably do not show it: say so."
)
_WIDTH_PX = 768
"""How wide a picture is at most; models scale wider ones down."""
_MOST_BYTES = 1 << 20
"""Bytes of all pictures in one result, before Base64."""
_LONGEST = 500
"""Characters of an error: it may repeat what an agent has sent."""
_TITLES = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "What people call each video, by its id.",
}


class ToolResult(NamedTuple):
    """What a tool gives."""

    value: dict[str, Any]
    pictures: Iterable[bytes] = ()
    """JPEG files."""


Work = Callable[[Service, Any], dict[str, Any] | ToolResult]


@dataclass(frozen=True)
class AgentTool:
    """A tool, from its description to its result."""

    name: str
    description: str
    takes: type[BaseModel]
    gives: type[BaseModel]
    work: Work
    waits: bool = False
    """Whether it may wait for a model."""
    changes: bool = False
    """Whether something is another way afterwards."""

    def shown(self) -> Tool:
        """The tool as a client sees it."""
        gives = self.gives.model_json_schema()
        gives["properties"]["titles"] = _TITLES
        hints = ToolAnnotations(
            read_only_hint=not self.changes, destructive_hint=False, open_world_hint=False
        )
        return Tool(
            name=self.name,
            description=self.description,
            input_schema=self.takes.model_json_schema(),
            output_schema=gives,
            annotations=hints,
        )

    def wrong(self, error: ValidationError) -> str:
        """What is wrong with the arguments of a call."""
        schema = self.takes.model_json_schema()
        return validation.whole(validation.wrong(error.errors(), schema, schema))

    def done(self, service: Service, arguments: Mapping[str, Any]) -> ToolResult:
        """The result, with the titles of the videos in it. Raises ValidationError, SealError."""
        made = self.work(service, self.takes.model_validate(arguments))
        value, pictures = made if isinstance(made, ToolResult) else (made, ())
        named = _videos_in(value)
        records = service.library.store.videos() if named else []
        titles = service.titles() if named else {}
        known = {one.id: service.title(one.path, titles) for one in records if one.id in named}
        return ToolResult(value | {"titles": known} if known else value, pictures)


def _find(service: Service, asked: calls.FindCall) -> dict[str, Any]:
    return service.asked(asked.video).find(asked.query, top=asked.top).to_json()


def _select(service: Service, asked: calls.SelectCall) -> dict[str, Any]:
    return service.asked(asked.video).select(asked.query, budget=asked.budget).to_json()


def _ask(service: Service, asked: calls.AskCall) -> dict[str, Any]:
    found = service.asked(asked.video).ask(
        asked.question,
        budget=asked.budget,
        choices=asked.choices,
        **service.answering(None),
    )
    return found.to_json() | {"model": service.models.model}


def _list(service: Service, asked: calls.PageCall) -> dict[str, Any]:
    listing = service.library.listing()
    names = [video.video for video in listing.videos]
    shown, following = page(listing.videos, names, asked.limit, asked.after)
    titles = service.titles()
    kept = calls.ListedVideoJson.model_fields
    videos = [video.to_json() | {"title": service.title(video.path, titles)} for video in shown]
    rows = [{key: value for key, value in row.items() if key in kept} for row in videos]
    return {"videos": rows, "next": following}


def _tokens(service: Service, asked: calls.TokensCall) -> dict[str, Any]:
    rows = service.video(asked.video).list_tokens(asked.kind).to_json()
    shown, following = page(rows, [row["id"] for row in rows], asked.limit, asked.after)
    return {"tokens": shown, "next": following}


def _pictures(service: Service, asked: calls.PicturesCall) -> ToolResult:
    video = service.video(asked.video)
    shown = pictures(video, list(dict.fromkeys(asked.tokens)), _WIDTH_PX, _MOST_BYTES)
    rows = {row["id"]: row for row in video.list_tokens().to_json()}
    kept = schemas.TokenJson.model_fields
    named = [{key: of for key, of in rows[name].items() if key in kept} for name in shown]
    left = [name for name in dict.fromkeys(asked.tokens) if name not in shown]
    return ToolResult({"pictures": named, "left_out": left}, shown.values())


def _jobs(service: Service, asked: calls.JobsCall) -> dict[str, Any]:
    jobs = service.jobs.newest(asked.limit) if asked.job is None else [service.jobs.get(asked.job)]
    rows = [job.to_json() for job in jobs]
    return {"jobs": [row | {"failure": _public(service, row["failure"])} for row in rows]}


def _media(service: Service, asked: calls.PageCall) -> dict[str, Any]:
    return media_page(service, asked.limit, asked.after)


def _index(service: Service, asked: calls.IndexCall) -> dict[str, Any]:
    source = resolved(
        service, schemas.SourceRequest(media=asked.media, url=None, video=asked.video)
    )
    return service.queue_index(source.title, source.location, quick=asked.quick).to_json()


def _public(service: Service, text: str | None) -> str | None:
    return None if text is None else service.public(text)


TOOLS = (
    AgentTool(
        "list",
        "List the videos that can be asked about: their ids, titles, lengths in seconds, and how"
        " many tokens of each kind they have. Begin here when you need the id of a video.",
        *(calls.PageCall, calls.ListedVideosJson, _list),
    ),
    AgentTool(
        "find",
        "Find the moments that a query describes, best first, in one video or in all. `match` says"
        " how likely it is that the videos show it at all. Use it for 'when' and 'where'.",
        *(calls.FindCall, schemas.FoundJson, _find),
    ),
    AgentTool(
        "select",
        "Select the few tokens that are worth looking at for a query. Each has its time, its kind,"
        " its words if it has any, and a role: `answer` is about the query, `context` stands for"
        " the rest of the video. Use it to read what a long video has on a subject.",
        *(calls.SelectCall, schemas.SelectionJson, _select),
    ),
    AgentTool(
        "ask",
        "Ask a question. The answer cites its evidence by time. Where the server has no model of"
        " its own, `answer` is null: answer from `evidence` and `moments` yourself.",
        *(calls.AskCall, schemas.AnswerJson, _ask),
        waits=True,
    ),
    AgentTool(
        "tokens",
        "List all tokens of a video, or those of one kind, page by page. A long video has many"
        " thousands: prefer `find` and `select`. Kind `speech` is the transcript.",
        *(calls.TokensCall, schemas.TokensJson, _tokens),
    ),
    AgentTool(
        "pictures",
        "Show the stored frames of up to 8 tokens of a video as pictures. The box of a token says"
        " where in its frame an object or an action is. Tokens of speech and text have no picture.",
        *(calls.PicturesCall, calls.ShownPicturesJson, _pictures),
    ),
)
SERVER_TOOLS = (
    AgentTool(
        "jobs",
        "Show the indexing jobs of the server, the newest first, or one of them: its state, how"
        " many seconds of video are done, and the id of the video that has come of it.",
        *(calls.JobsCall, calls.ListedJobsJson, _jobs),
    ),
    AgentTool(
        "media",
        "List the video files that the server may index, each with an id for `index`.",
        *(calls.PageCall, schemas.MediaFilesJson, _media),
    ),
    AgentTool(
        "index",
        "Index a file of `media`, or a video of `list` anew. This takes minutes: it gives a job at"
        " once, and `jobs` shows how far the job is. Give exactly one of media and video.",
        *(calls.IndexCall, schemas.JobJson, _index),
        changes=True,
    ),
)
"""Tools for what only a server has."""


def agent_server(service: Service, tools: Sequence[AgentTool]) -> Server[Any]:
    """An MCP server that offers these tools."""
    by_name = {tool.name: tool for tool in tools}

    async def list_tools(
        context: ServerRequestContext[Any, Any], asked: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=[tool.shown() for tool in tools])

    async def call_tool(
        context: ServerRequestContext[Any, Any], asked: CallToolRequestParams
    ) -> CallToolResult:
        tool = by_name.get(asked.name)
        if tool is None:
            return _failed(f"there is no tool {asked.name[:64]!r}; valid: {', '.join(by_name)}")
        in_turn = service.converse if tool.waits else service.compute
        try:
            made = await in_turn(lambda: tool.done(service, asked.arguments or {}))
        except ValidationError as error:
            return _failed(tool.wrong(error))
        except SealError as error:
            return _failed(service.told(error))
        # An agent gets none of the traceback; the log has it.
        except Exception:
            _log.exception("the tool %s has failed", tool.name)
            return _failed("a fault of the server; its log says more")
        return CallToolResult(
            content=[_text(json_line(made.value)), *map(_image, made.pictures)],
            structured_content=made.value,
        )

    return Server(
        "seal",
        title="SEAL",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def over_http(service: Service) -> StreamableHTTPSessionManager:
    """What answers MCP over HTTP, a request at a time; it works within its `run()`."""
    return StreamableHTTPSessionManager(
        agent_server(service, (*TOOLS, *SERVER_TOOLS)),
        json_response=True,
        stateless=True,
        max_request_body_size=service.options.max_body_bytes,
    )


def over_stdio(store: str, models: Chosen) -> None:
    """Answer MCP over stdin and stdout until stdin ends.

    Raises StoreError, and BackendError for a model that cannot answer.
    """

    async def serve(service: Service) -> None:
        server = agent_server(service, TOOLS)
        async with stdio_server() as (coming, going):
            await server.run(coming, going, server.create_initialization_options())

    library = LocalLibrary.at(store, create=False, defaults=models.defaults)
    with (
        TemporaryDirectory(prefix="seal-mcp-") as folder,
        closing(ServerState(Path(folder))) as state,
    ):
        service = Service(library, state, ServeOptions(), models)
        service.check_answerer()
        anyio.run(serve, service)


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[_text(printable(text)[:_LONGEST])], is_error=True)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _image(jpeg: bytes) -> ImageContent:
    return ImageContent(type="image", data=b64encode(jpeg).decode(), mime_type="image/jpeg")


def _videos_in(value: Any) -> set[str]:
    """The ids of the videos that a result is about."""
    if isinstance(value, list):
        return set().union(*map(_videos_in, value))
    if not isinstance(value, dict):
        return set()
    own = {value["video"]} if isinstance(value.get("video"), str) else set()
    return own.union(*(_videos_in(each) for each in value.values() if isinstance(each, list)))
