"""One video of a server."""

from __future__ import annotations

from base64 import b64decode
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal.client.asking import Server
from seal.client.connection import part
from seal.config import ChapterOptions
from seal.files import read_json
from seal.front import PutExport, PutQuestion, Video
from seal.inventory import Indexed
from seal.results import Answer, Found, Selection, Shown, TokenList

if TYPE_CHECKING:
    from seal.answer import Answerer
    from seal.client.dialogue import RemoteDialogue
    from seal.export import Exported
    from seal.spoken import Chapters, SpokenWords
    from seal.types import Tokens

_PAGE = 1000
"""Tokens in one answer."""
_PICTURES = 64
"""Pictures in one answer."""


class RemoteVideo(Video):
    """One video of a server: what is asked of it is asked there."""

    def __init__(self, server: Server, video_id: str, path: str) -> None:
        self._server = server
        self._id = video_id
        self._indexed_path = path

    @property
    def id(self) -> str:
        return self._id

    @property
    def path(self) -> str:
        return self._indexed_path

    @cached_property
    def tokens(self) -> Tokens:
        return self.list_tokens().tokens

    def describe(self) -> Indexed:
        values = self._server.get(self._place)
        with self._server.reading():
            return Indexed.from_json(values)

    def list_tokens(self, kind: str | None = None) -> TokenList:
        rows, after = list[Any](), None
        while True:
            page = self._server.get("/tokens", video=self._id, kind=kind, limit=_PAGE, after=after)
            with self._server.reading():
                rows += page["tokens"]
                if (after := page["next"]) is None:
                    return TokenList.from_json(rows, self._id)

    def transcript(self) -> SpokenWords:
        from seal.spoken import SpokenWords

        values = self._server.get(f"{self._place}/transcript")
        with self._server.reading():
            return SpokenWords.from_json(values)

    def chapters(self, *, every_s: float = ChapterOptions.every_s) -> Chapters:
        from seal.spoken import Chapters

        values = self._server.get(f"{self._place}/chapters", every_s=every_s)
        with self._server.reading():
            return Chapters.from_json(values)

    def pictures(self, tokens: Tokens, *, crop: bool = False) -> list[bytes]:
        ids, found = tokens.ids.tolist(), list[bytes]()
        # A server before crops takes no such field.
        how = {"crop": True} if crop else {}
        for first in range(0, len(ids), _PICTURES):
            wanted = {"video": self._id, "tokens": ids[first : first + _PICTURES]}
            values = self._server.post("/pictures", wanted | how)
            with self._server.reading():
                found += [b64decode(picture) for picture in values["pictures"]]
        return found

    def _find(self, query: str, settings: list[str]) -> Found:
        return self._server.find(query, settings, self._id)

    def _select(
        self, query: str, settings: list[str], include: list[str], exclude: list[str]
    ) -> Selection:
        return self._server.select(query, settings, self._id, include, exclude)

    def _ask(self, put: PutQuestion) -> Answer:
        return self._server.ask(put, self._id)

    def _prompt(self, put: PutQuestion) -> str:
        return self._server.prompt(put, self._id)

    def _chat(
        self, settings: list[str], answerer: str | Answerer | None, session: Path | None
    ) -> RemoteDialogue:
        from seal.client.dialogue import RemoteDialogue

        kept = self._server.settings_of(settings, answerer)
        if session is None:
            return RemoteDialogue(self._server, self._id, kept)
        return RemoteDialogue.resumed(self._server, self._id, kept, read_json(session), session)

    def _show(
        self,
        query: str,
        path: str | Path,
        settings: list[str],
        include: list[str],
        exclude: list[str],
    ) -> Shown:
        return self._server.show(query, path, settings, self._id, include, exclude)

    def _export(self, put: PutExport) -> Exported:
        return self._server.export(put, self._id)

    @property
    def _place(self) -> str:
        return f"/videos/{part(self._id)}"
