"""`seal serve`: one process for a page, for programs and for agents.

service      what all of the following have in common: a library, its state, limits
app          the application, put together
rest         REST under /api/v1
schemas      its requests and answers, as OpenAPI describes them
pages        the pages: library, search, a video, live, jobs
views        what they show
login        how a browser gives the token
assets       their scripts and styles
exports      what queries find as files
media        what is fetched of a video: itself, pictures, words, clips
originals    the files of indexed videos
browsers     what browsers play
playable     copies that they play
stills       stored pictures
clips        stretches of a video, cut while they are sent
delivery     files and bytes as replies
answers      questions, streamed answers and dialogues
completions  the OpenAI-style endpoint
messages     what its messages say
agents       MCP: tools for agents, over HTTP and stdio
calls        what these tools take and give
jobs         heavy work, each by a process of its own
process      such a process, from the side of the server
worker       what such a process does
sources      what may be indexed
events       server-sent events
besides      what the Python client asks for besides
gate         the way out to the hosts that the operator allows
uploads      files that clients send, which can be resumed
live         sources that are watched, and alerts
webhook      alerts that are sent to an address
state        what is remembered over restarts
replies      what is answered to a request that comes twice
safety       who may ask, and how much
problems     errors as HTTP has them
validation   wrong values, in sentences
"""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from seal.config.serving import ServeOptions
from seal.dependencies import dependency
from seal.errors import OptionError
from seal.library import LocalLibrary

_PATIENCE_S = 10
"""How long what is under way may take when the server is told to end."""
_BACKLOG = 2048
"""Connections that may wait to be accepted."""


def default_state(store: Path | str) -> Path:
    """The folder of a server's state: beside a store in a folder.

    Raises OptionError for the address of a store in an object store.
    """
    if isinstance(store, str):
        raise OptionError(
            f"{store} is not on this machine: name a folder for what the server remembers with"
            " --state DIR"
        )
    return store.with_name(store.name + "-server")


def run(store: str, options: ServeOptions, say: Any, **models: Any) -> None:
    """Serve a library until the process is told to end.

    `models` are the arguments of `seal.serve.service.Chosen`. Raises BackendError without the
    extra `serve`, or for a model that cannot answer, such as for lack of a key. Raises StoreError
    for a store or a state that cannot be used, OptionError for an address that cannot be listened
    at.
    """
    uvicorn = dependency("uvicorn", "serve").require("seal serve")
    dependency("fastapi", "serve").require("seal serve")
    from seal.serve.app import application
    from seal.serve.service import Chosen, Service
    from seal.serve.state import ServerState

    chosen = Chosen(**models)
    library = LocalLibrary.at(store, defaults=chosen.defaults)
    folder = options.state or default_state(library.store.path)
    with (
        closing(_listen(options)) as listening,
        closing(ServerState(folder)) as state,
    ):
        service = Service(library, state, options, chosen)
        service.check_answerer()
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        say(f"serving {store} at http://{shown}:{port}{options.path_prefix}/")
        config = uvicorn.Config(
            application(service),
            root_path=options.path_prefix,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=options.trusts_proxy,
            # A proxy may be on another machine; by default only one on this machine counts.
            forwarded_allow_ips="*" if options.trusts_proxy else None,
            timeout_graceful_shutdown=_PATIENCE_S,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _listen(options: ServeOptions) -> socket.socket:
    """A socket at the address of the options. Raises OptionError if it cannot be had."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            # Whoever reads the address may ask at once, and waits until the application is up.
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        where = f"{options.host}:{options.port}"
        raise OptionError(
            f"{where} cannot be listened at ({error.strerror}): choose another --host or --port"
        ) from error
    return listening
