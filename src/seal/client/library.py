"""The videos of a server."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal.client.asking import Server, as_options
from seal.client.connection import part, patiently
from seal.client.uploads import upload
from seal.client.video import RemoteVideo
from seal.config import Options
from seal.errors import NotIndexedError, OptionError, VideoError
from seal.front import Indexing, Library, PutExport, PutQuestion
from seal.inventory import Indexed, Listing, Optimized, Removed, Share
from seal.missing import not_indexed, several, several_named
from seal.printing import printable
from seal.results import Answer, Found, Selection, Shown

if TYPE_CHECKING:
    from seal.export import Exported
    from seal.windows import Window

_Row = Mapping[str, Any]
_PAGE = 1000
"""Videos in one answer."""
_TICK_S = 0.5
"""How often a job is asked how far it is."""


class RemoteLibrary(Library):
    """The videos of a server: all that is asked of them is asked there."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @staticmethod
    def at(address: str, token: str | None = None) -> RemoteLibrary:
        """The library of a server: see `seal.opening.open_library`."""
        return RemoteLibrary(Server(address, token))

    def __repr__(self) -> str:
        return f"<seal.Library {self._server.address}>"

    def video(self, name: str | Path) -> RemoteVideo:
        rows, _ = self._listed()
        found = self._named(str(name), rows)
        return self._video(found["video"], found["path"])

    def by_id(self, video_id: str) -> RemoteVideo:
        values = self._server.get(f"/videos/{part(video_id)}")
        with self._server.reading():
            described = Indexed.from_json(values)
        if described.video != video_id:  # The server takes the beginning of an id.
            raise NotIndexedError(f"no video {video_id!r} at {self._server.address}; see seal list")
        return self._video(described.video, described.path)

    def __len__(self) -> int:
        return len(self.listing())

    def __iter__(self) -> Iterator[RemoteVideo]:
        return (self._video(video.video, video.path) for video in self.listing())

    def listing(self) -> Listing:
        rows, unfinished = self._listed()
        with self._server.reading():
            begun = [(row["video"], row["path"]) for row in unfinished]
            return Listing.from_json(rows, begun)

    def remove(self, *names: str | Path, purge: bool = False) -> Removed:
        rows, unfinished = self._listed()
        wanted = [self._named(str(name), [*rows, *unfinished], whole=True) for name in names]
        removed = list[tuple[str, str]]()
        for row in wanted:
            values = self._server.delete(f"/videos/{part(row['video'])}", purge=str(purge).lower())
            with self._server.reading():
                removed += Removed.from_json(values).videos
        return Removed(removed)

    def optimize(self) -> Optimized:
        raise OptionError(
            f"{self._server.address} is a server: run `seal optimize` on the machine with its store"
        )

    def _find(self, query: str, settings: list[str]) -> Found:
        return self._server.find(query, settings)

    def _select(self, query: str, settings: list[str]) -> Selection:
        return self._server.select(query, settings)

    def _ask(self, put: PutQuestion) -> Answer:
        return self._server.ask(put)

    def _prompt(self, put: PutQuestion) -> str:
        return self._server.prompt(put)

    def _show(self, query: str, path: str | Path, settings: list[str]) -> Shown:
        return self._server.show(query, path, settings)

    def _export(self, put: PutExport) -> Exported:
        return self._server.export(put)

    def _watch(self, source: str, queries: list[str], **how: Any) -> Iterator[Window]:
        raise OptionError(
            f"{self._server.address} is a server, and this client watches nothing there: watch on"
            " the page of the server, or with seal.open(FOLDER).watch"
        )

    def _index_each(
        self, source: str | Path | Iterable[str | Path], how: Indexing
    ) -> Generator[tuple[int, str | Path, Callable[[], Share]], None, None]:
        from seal.video import sources_of

        self._check(how)
        for place, path in enumerate(sources_of(source)):
            yield place, path, partial(self._indexed, path, how)

    def _check(self, how: Indexing) -> None:
        """Raise OptionError for what a server decides by itself."""
        given = [name for name, value in how.objects.items() if value is not None]
        given += ["jobs"] if how.jobs is not None else []
        given += ["shard"] if how.shard is not None else []
        # Nobody can tell whether the default was asked for.
        given += ["profile"] if how.profile not in (Options.profile, self._server.profile) else []
        if given:
            raise OptionError(
                f"{self._server.address} indexes with its own profile"
                f" ({self._server.profile}), models and processes: leave {given[0]}= out, or start"
                " the server with it"
            )

    def _indexed(self, source: str | Path, how: Indexing) -> Share:
        """One file or address, indexed by the server."""
        from seal.ingest import Progress
        from seal.video import is_address

        options = as_options(how.settings)
        if is_address(source):
            body = {"source": {"url": str(source)}, "quick": how.quick, "options": options}
            # Under one key the job is queued once, although an answer may be lost.
            key = {"idempotency-key": uuid.uuid4().hex}
            queued = patiently(lambda: self._server.post("/jobs", body, key))
            with self._server.reading():
                job = str(queued["id"])
        elif os.path.isfile(source):
            if how.quick or options:
                raise OptionError(
                    f"{self._server.address} indexes what is uploaded with its own options: leave"
                    " quick= and options= out, or set them where the server starts"
                )
            how.on_progress(Progress("uploading"))
            job = upload(self._server, Path(source))
        else:
            raise VideoError(
                f"{source} is no file: a server indexes files, which are uploaded, and addresses of"
                " hosts that it allows"
            )
        return Share(self._waited(job, str(source), how), str(source), None, 0, True)

    def _waited(self, job: str, source: str, how: Indexing) -> str:
        """The id of the video that has come of a job."""
        from seal.ingest import Progress

        last = None
        while True:
            values = patiently(lambda: self._server.get(f"/jobs/{part(job)}"))
            with self._server.reading():
                state, video = values["state"], values["video"]
                progress = Progress(values["stage"], values["done_s"], total_s=values["total_s"])
            if progress != last and progress.stage:
                last = progress
                how.on_progress(progress)
            if state == "done":
                return str(video)
            if state in ("failed", "cancelled"):
                raise VideoError(values["failure"] or f"{source}: the job {job} was cancelled")
            time.sleep(_TICK_S)

    def _video(self, video_id: str, path: str) -> RemoteVideo:
        return RemoteVideo(self._server, video_id, path)

    def _listed(self) -> tuple[list[_Row], list[_Row]]:
        """The videos, and those that were begun, each with at least its id and its path."""
        try:
            return self._pages()
        except OptionError:
            # A video may be removed that the next page begins after.
            return self._pages()

    def _pages(self) -> tuple[list[_Row], list[_Row]]:
        rows, after = list[_Row](), None
        while True:
            page = self._server.get("/videos", limit=_PAGE, after=after)
            with self._server.reading():
                rows += page["videos"]
                if (after := page["next"]) is None:
                    return rows, list(page["unfinished"])

    def _named(self, name: str, rows: list[_Row], *, whole: bool = False) -> _Row:
        """The video of this id, path, beginning of one id, content of a file on this machine; or,
        where no such file lies here, title of one video. With `whole` the beginning of an id is no
        name.

        Raises NotIndexedError, which lists the videos that may be meant.
        """
        places = {name, os.path.abspath(name)}
        with self._server.reading():
            # A file on this machine is its content, whatever its name.
            is_name = bool(name) and not os.path.exists(name)
            titled = [row for row in rows if is_name and row.get("title") == name]
            matches = (
                [row for row in rows if row["video"] == name]
                or [row for row in rows if row["path"] in places][-1:]
                or [row for row in rows if printable(row["path"]) == name][-1:]
                or [row for row in rows if name and not whole and row["video"].startswith(name)]
                or _copies(name, rows)
            )
            if not matches and len({row["path"] for row in titled}) > 1:
                videos = [(row["video"], row["path"]) for row in titled]
                raise NotIndexedError(several_named(name, f"at {self._server.address}", videos))
            matches = matches or titled[-1:]
            if len(matches) == 1:
                return matches[0]
            named = [(row["video"], row["path"]) for row in matches or rows]
        where = f"at {self._server.address}"
        if matches:
            raise NotIndexedError(several(name, where, named))
        raise NotIndexedError(not_indexed(name, where, named, "index it first", whole=whole))


def _copies(name: str, rows: list[_Row]) -> list[_Row]:
    """The video whose content a file on this machine has: an id ends with a hash of the content."""
    if not os.path.isfile(name):
        return []
    from seal.video import content_id

    ending = f"-{content_id(name)[:8]}"
    return [row for row in rows if row["video"].endswith(ending)][:1]
