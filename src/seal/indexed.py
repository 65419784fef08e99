"""One indexed video: its tokens, and what is asked of them. Nothing here needs the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seal import asked, kinds, spoken
from seal.asked import Settings, asking, describe, merged, selecting
from seal.config import ChapterOptions
from seal.content import VideoContent
from seal.encoders import Encoders
from seal.inventory import Indexed
from seal.lookup import options_of
from seal.printing import printable
from seal.results import Answer, Found, Selection, Shown, TokenList
from seal.scope import Scope
from seal.show import Storyboard, writer
from seal.spoken import Chapters, SpokenWords
from seal.store import Store, VideoRecord
from seal.types import Tokens

if TYPE_CHECKING:
    from seal.answer import Answerer, Conversation, OnText
    from seal.export import Exported


class Video:
    """One video of a library: its tokens, and what is asked of them."""

    def __init__(self, store: Store, record: VideoRecord, encoders: Encoders) -> None:
        self.record = record
        self.content = VideoContent(store, record, encoders)
        self._last: tuple[str, list[str], Scope] | None = None

    def __repr__(self) -> str:
        return f"<seal.Video {self.id}: {printable(self.record.path)}>"

    @property
    def id(self) -> str:
        """The name of the video in its library."""
        return self.record.id

    @property
    def tokens(self) -> Tokens:
        """All tokens of the video."""
        return self.content.tokens

    def describe(self) -> Indexed:
        """What the library knows of the video as a whole."""
        return describe(self.record, self.content.store.count(self.id))

    def list_tokens(self, kind: str | None = None) -> TokenList:
        """The tokens of the video, or those of one kind. Raises OptionError for an unknown kind."""
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
        """Everything that is said in the video. Raises OptionError if it has no speech tokens."""
        return spoken.transcript(self.tokens, self.record)

    def chapters(self, *, every_s: float = ChapterOptions.every_s) -> Chapters:
        """Where the subject of what is said changes: chapters of about `every_s` seconds, each
        with a title. Raises OptionError if the video has no speech tokens."""
        return spoken.chapters(self.tokens, self.record, ChapterOptions(every_s))

    def find(
        self,
        query: str,
        *,
        top: int | None = None,
        head: str | None = None,
        options: Settings = (),
    ) -> Found:
        """The moments that a query describes, best first, at most `top`, and whether any matches.

        `head` is a trained localisation head, a folder or a name on the hub, which then finds them.
        Options: `find`. Raises OptionError for an empty query.
        """
        settings = merged(options, {"find.top": top, "find.head": head})
        return self._scope("find", settings).find(query)

    def select(
        self,
        query: str,
        *,
        budget: int | None = None,
        objective: str | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        options: Settings = (),
    ) -> Selection:
        """The tokens worth looking at for a query, at most `budget`, with a bound on the best.

        Those with the ids `include` are among them, and those with the ids `exclude` are not.
        Options: `attention`, and the probabilities of `find`. Raises OptionError for an id that no
        token has, and if what is included does not fit.
        """
        settings = merged(options, selecting(budget, objective, solver, alpha))
        return self._scope("select", settings).select(query, include, exclude)

    def ask(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Mapping[str, str] | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
        options: Settings = (),
    ) -> Answer:
        """The answer of a model to a question, from selected evidence, with the times that show it.

        `answerer` is such as "openai:MODEL" or "hf:MODEL", or an object; without one the evidence
        and the moments are the answer. `choices` are those of a multiple choice, by letter.
        `verify` asks again without the evidence that the answer cites. `on_text` is handed the
        answer piece by piece. Options: `answer`, `attention` and `find`.

        Raises OptionError for an empty question, AnswerError if the model fails.
        """
        scope = self._scope("ask", merged(options, asking(budget, answerer)))
        return asked.answer(scope, question, answerer, choices, verify, on_text)

    def prompt(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Mapping[str, str] | None = None,
        options: Settings = (),
    ) -> str:
        """What `ask` would send, as a person reads it: all of its text, and what pictures show."""
        scope = self._scope("ask", merged(options, asking(budget, answerer)))
        return asked.prompt(scope, question, choices)

    def chat(
        self,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        session: str | Path | None = None,
        options: Settings = (),
    ) -> Conversation:
        """A dialogue about the video; with a file `session` that is there, one that goes on."""
        from seal.answer import Conversation

        scope = self._scope("ask", merged(options, asking(budget, answerer)))
        model = asked.load_answerer(scope, answerer)
        if session is not None and Path(session).exists():
            return Conversation.resume(session, scope, model)
        return Conversation(scope, model)

    def show(
        self,
        query: str,
        path: str | Path,
        *,
        budget: int | None = None,
        objective: str | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        options: Settings = (),
    ) -> Shown:
        """Write a storyboard, as .html or .png: the selected tokens, when and where they are.

        Options: `attention` and `find`. Raises OptionError for another suffix, and as `select`.
        """
        settings = merged(options, selecting(budget, objective, solver, alpha))
        scope = self._scope("show", settings)
        writer(path)  # A wrong suffix is an error before the work, not after it.
        return asked.show(scope, scope.find(query), path, include, exclude)

    def storyboard(
        self, query: str, *, budget: int | None = None, options: Settings = ()
    ) -> Storyboard:
        """What `show` would write. Options: `attention` and `find`."""
        scope = self._scope("show", merged(options, selecting(budget, None, None, None)))
        return asked.storyboard(scope, scope.find(query))[0]

    def export(
        self,
        query: str,
        path: str | Path,
        *,
        top: int | None = None,
        head: str | None = None,
        copy: bool = False,
        options: Settings = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> Exported:
        """Write the moments that a query describes: .csv, .json, .srt, .vtt, .edl or .otio; a
        storyboard as .html; or a clip of each, into a folder whose name ends in a slash.

        Clips are encoded anew and begin exactly at their moments; with `copy` they have the packets
        of the video and begin at the keyframe before. `say` is told of each clip. `top`, `head` and
        options are those of `find`, and with .html also those of `show`.

        Raises OptionError for another suffix and for moments that the format cannot hold,
        VideoError if clips cannot be cut, DataError if a file cannot be written.
        """
        settings = merged(options, {"find.top": top, "find.head": head})
        scope = self._scope(asked.exporting(path, copy), settings)
        return asked.export(scope, scope.find(query), path, copy, say)

    def pictures(self, tokens: Tokens) -> list[bytes]:
        """For each of some tokens of the video the stored frame that shows it, as JPEG."""
        return self.content.pictures(tokens)

    def _scope(self, task: str, settings: list[str]) -> Scope:
        # A hundred queries with the same options read them once. Threads may ask at once.
        last = self._last
        if last is None or last[:2] != (task, settings):
            options = options_of(self.content.store, self.record, settings, task)
            self._last = last = task, settings, Scope(self.content, options)
        return last[2]
