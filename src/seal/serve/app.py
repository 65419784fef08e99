"""The application: the parts of the server, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from seal import __version__
from seal.serve import (
    agents,
    assets,
    besides,
    completions,
    exports,
    live,
    media,
    pages,
    problems,
    rest,
    uploads,
)
from seal.serve.delivery import Compressed
from seal.serve.safety import Guard
from seal.serve.service import Service


def application(service: Service) -> FastAPI:
    """The application of a service; its jobs run while it is up."""

    watches = live.Watches(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.copies.tidy(record.id for record in service.library.store.videos())
        service.jobs.start()
        watches.start()
        try:
            async with tools.run():
                yield
        finally:
            service.jobs.end()
            watches.stop()
            service.jobs.stop()

    tools = agents.over_http(service)
    app = FastAPI(
        title="SEAL",
        version=__version__,
        summary="Hours of video as a few semantic tokens: find, select and ask.",
        root_path=service.options.path_prefix,
        lifespan=lifespan,
        # The pages of FastAPI fetch scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.state.watches = watches
    app.state.uploads = uploads.Uploads(service)
    app.add_middleware(Compressed)
    app.add_middleware(Guard, options=service.options)
    problems.install(app)
    for part in (rest, exports, besides, uploads, live, media, completions, pages, assets):
        app.include_router(part.router)
    # Each request stands alone, so there is nothing that a stream or a session would be for.
    app.router.routes.append(Route("/mcp", tools.asgi_app, methods=["POST"]))

    @app.get("/health", tags=["server"], response_model=dict[str, str])
    def health() -> Response:
        """Whether the server is up."""
        return JSONResponse({"status": "ok", "version": __version__})

    return app
