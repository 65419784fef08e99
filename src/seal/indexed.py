"""One indexed video of a store, and what is asked of it. Nothing here needs the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seal import asked, kinds, spoken
from seal.arguments import Settings, merged, selecting
from seal.asked import Drawn, describe
from seal.config import ChapterOptions
from seal.content import VideoContent
from seal.encoders import Encoders
from seal.errors import OptionError
from seal.front import PutExport, PutQuestion, Video
from seal.inventory import Indexed
from seal.lookup import options_of
from seal.results import Answer, Found, Selection, Shown, TokenList
from seal.scope import Scope
from seal.show import Storyboard, writer
from seal.spoken import Chapters, SpokenWords
from seal.store import Store, VideoRecord
from seal.types import Tokens

if TYPE_CHECKING:
    from seal.answer import Answerer, Conversation
    from seal.export import Exported


class LocalVideo(Video):
    """One video of a store: its tokens, and what is asked of them."""

    def __init__(
        self,
        store: Store,
        record: VideoRecord,
        encoders: Encoders,
        defaults: Sequence[str] = (),
    ) -> None:
        """`defaults` are settings below those of each call: see `Options.load`."""
        self.record = record
        self._defaults = defaults
        self.content = VideoContent(store, record, encoders)
        self._last: tuple[str, list[str], Scope] | None = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def path(self) -> str:
        return self.record.path

    @property
    def tokens(self) -> Tokens:
        return self.content.tokens

    def describe(self) -> Indexed:
        return describe(self.record, self.content.store.count(self.id))

    def list_tokens(self, kind: str | None = None) -> TokenList:
        wanted = None if kind is None else [kind]
        return TokenList(self.content.store.tokens(self.id, kinds=wanted))

    def tokens_between(
        self, start_s: float | None, end_s: float | None, kind: str | None = None
    ) -> TokenList:
        """The tokens that are there at some time between two times, or after or before one; of one
        kind or of all. Raises OptionError for an unknown kind."""
        tokens = self.tokens
        there = np.ones(len(tokens), bool)
        if start_s is not None:
            there &= tokens.end_s >= start_s
        if end_s is not None:
            there &= tokens.start_s <= end_s
        if kind is not None:
            there &= tokens.kinds == kinds.get(kind).name
        return TokenList(tokens.take(there))

    def transcript(self) -> SpokenWords:
        return spoken.transcript(self.tokens, self.record)

    def chapters(self, *, every_s: float = ChapterOptions.every_s) -> Chapters:
        return spoken.chapters(self.tokens, self.record, ChapterOptions(every_s))

    def pictures(self, tokens: Tokens, *, crop: bool = False) -> list[bytes]:
        if len(other := tokens.ids[tokens.video_ids != self.id]):
            raise OptionError(
                f"{self.id} has no token {str(other[0])!r}; Library.pictures takes those of several"
                " videos"
            )
        if not crop:
            return self.content.pictures(tokens)
        from seal.answer.prompt import crops

        return crops(self.content.pictures, tokens, self._scope("ask", []).options.answer)

    def _find(self, query: str, settings: list[str]) -> Found:
        return self._scope("find", settings).find(query)

    def _select(
        self, query: str, settings: list[str], include: list[str], exclude: list[str]
    ) -> Selection:
        return self._scope("select", settings).select(query, include, exclude)

    def _ask(self, put: PutQuestion) -> Answer:
        return asked.answer(self._scope("ask", put.settings), put)

    def _prompt(self, put: PutQuestion) -> str:
        return asked.prompt(self._scope("ask", put.settings), put)

    def _chat(
        self, settings: list[str], answerer: str | Answerer | None, session: Path | None
    ) -> Conversation:
        from seal.answer import Conversation

        scope = self._scope("ask", settings)
        model = asked.load_answerer(scope, answerer)
        if session is not None:
            return Conversation.resume(session, scope, model)
        return Conversation(scope, model)

    def _show(
        self,
        query: str,
        path: str | Path,
        settings: list[str],
        include: list[str],
        exclude: list[str],
    ) -> Shown:
        writer(path)  # A wrong suffix is an error before the work, not after it.
        return asked.show(self.draw(query, settings, include, exclude), path)

    def draw(
        self,
        query: str,
        settings: list[str],
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
    ) -> Drawn:
        """What `show` writes."""
        scope = self._scope("show", settings)
        return asked.draw(scope, scope.find(query), include, exclude)

    def storyboard(
        self, query: str, *, budget: int | None = None, options: Settings = ()
    ) -> Storyboard:
        """What `show` would write. Options: `attention` and `find`."""
        settings = merged(options, selecting(budget, None, None, None))
        return self.draw(query, settings).storyboard

    def _export(self, put: PutExport) -> Exported:
        scope = self._scope(asked.exporting(put), put.settings)
        return asked.export(scope, scope.find(put.query), put)

    def _scope(self, task: str, settings: list[str]) -> Scope:
        # A hundred queries with the same options read them once. Threads may ask at once.
        last = self._last
        if last is None or last[:2] != (task, settings):
            options = options_of(self.content.store, self.record, settings, task, self._defaults)
            self._last = last = task, settings, Scope(self.content, options)
        return last[2]
