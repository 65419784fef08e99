"""The application: the parts of the server, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from seal import __version__
from seal.serve import besides, problems, rest, uploads
from seal.serve.safety import Guard
from seal.serve.service import Service


def application(service: Service) -> FastAPI:
    """The application of a service; its jobs run while it is up."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

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
    app.state.uploads = uploads.Uploads(service)
    app.add_middleware(Guard, options=service.options)
    problems.install(app)
    for part in (rest, uploads, besides):
        app.include_router(part.router)

    @app.get("/health", tags=["server"], response_model=dict[str, str])
    def health() -> Response:
        """Whether the server is up."""
        return JSONResponse({"status": "ok", "version": __version__})

    return app
