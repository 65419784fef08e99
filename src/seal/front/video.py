"""One indexed video: its tokens, and what is asked of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from seal.arguments import Choices, Settings, asking, lettered, merged, selecting
from seal.config import ChapterOptions
from seal.front.requests import PutExport, PutQuestion
from seal.printing import printable

# Not loaded here: a video on a server needs little of it.
if TYPE_CHECKING:
    from seal.answer import Answerer, Dialogue, OnText
    from seal.export import Exported
    from seal.inventory import Indexed
    from seal.results import Answer, Found, Selection, Shown, TokenList
    from seal.spoken import Chapters, SpokenWords
    from seal.types import Tokens


class Video(ABC):
    """One video of a library: its tokens, and what is asked of them."""

    def __repr__(self) -> str:
        return f"<seal.Video {self.id}: {printable(self.path)}>"

    @property
    @abstractmethod
    def id(self) -> str:
        """The name of the video in its library."""

    @property
    @abstractmethod
    def path(self) -> str:
        """The path or the address from which the video was indexed."""

    @property
    @abstractmethod
    def tokens(self) -> Tokens:
        """All tokens of the video. Those of a library on a server have no embeddings."""

    @abstractmethod
    def describe(self) -> Indexed:
        """What the library knows of the video as a whole."""

    @abstractmethod
    def list_tokens(self, kind: str | None = None) -> TokenList:
        """The tokens of the video, or those of one kind. Raises OptionError for an unknown kind."""

    @abstractmethod
    def transcript(self) -> SpokenWords:
        """Everything that is said in the video. Raises OptionError if it has no speech tokens."""

    @abstractmethod
    def chapters(self, *, every_s: float = ChapterOptions.every_s) -> Chapters:
        """Where the subject of what is said changes: chapters of about `every_s` seconds, each
        with a title. Raises OptionError if the video has no speech tokens."""

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
        return self._find(query, settings)

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
        return self._select(query, settings, list(include), list(exclude))

    def ask(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Choices | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
        options: Settings = (),
    ) -> Answer:
        """The answer of a model to a question, from selected evidence, with the times that show it.

        `answerer` is such as "openai:MODEL" or "hf:MODEL", or an object; without one the evidence
        and the moments are the answer. `choices` are those of a multiple choice: texts by letter,
        or a list of texts. `verify` asks again without the evidence that the answer cites.
        `on_text` is handed the answer piece by piece. Options: `answer`, `attention` and `find`.

        Raises OptionError for an empty question and for choices of another form, AnswerError if
        the model fails.
        """
        settings = merged(options, asking(budget, answerer))
        return self._ask(
            PutQuestion(question, settings, answerer, lettered(choices), verify, on_text)
        )

    def prompt(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Choices | None = None,
        options: Settings = (),
    ) -> str:
        """What `ask` would send, as a person reads it: all of its text, and what pictures show."""
        settings = merged(options, asking(budget, answerer))
        return self._prompt(PutQuestion(question, settings, answerer, lettered(choices)))

    def chat(
        self,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        session: str | Path | None = None,
        options: Settings = (),
    ) -> Dialogue:
        """A `seal.Dialogue` about the video: questions that build on each other. With a file
        `session` that is there, the dialogue in it goes on."""
        there = None if session is None or not Path(session).exists() else Path(session)
        return self._chat(merged(options, asking(budget, answerer)), answerer, there)

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
        return self._show(query, path, settings, list(include), list(exclude))

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
        storyboard as .html. Or write a clip of each, into a folder whose name ends in a slash.

        Clips are encoded anew and begin exactly at their moments; with `copy` they have the packets
        of the video and begin at the keyframe before. `say` is told of each clip. `top`, `head` and
        options are those of `find`, and with .html also those of `show`.

        Raises OptionError for another suffix, for moments that the format cannot hold, and for an
        existing subtitle file of a video. Raises VideoError if clips cannot be cut, and DataError
        if a file cannot be written.
        """
        settings = merged(options, {"find.top": top, "find.head": head})
        return self._export(PutExport(query, path, settings, copy, say))

    @abstractmethod
    def pictures(self, tokens: Tokens, *, crop: bool = False) -> list[bytes]:
        """For each of some tokens of the video, such as `Selection.tokens`, a picture as JPEG.

        The picture is the stored frame that shows the token. Its short side has
        `video.short_side_px` pixels. With `crop` the picture is what `ask` shows a model: a crop
        of an object with a margin, a strip of crops of an action, the frame of a scene. Several
        tokens may lie in one frame.

        Raises OptionError for a token that the video does not have, and for a kind without
        pictures, such as speech.
        """

    @abstractmethod
    def _find(self, query: str, settings: list[str]) -> Found: ...

    @abstractmethod
    def _select(
        self, query: str, settings: list[str], include: list[str], exclude: list[str]
    ) -> Selection: ...

    @abstractmethod
    def _ask(self, put: PutQuestion) -> Answer: ...

    @abstractmethod
    def _prompt(self, put: PutQuestion) -> str: ...

    @abstractmethod
    def _chat(
        self, settings: list[str], answerer: str | Answerer | None, session: Path | None
    ) -> Dialogue: ...

    @abstractmethod
    def _show(
        self,
        query: str,
        path: str | Path,
        settings: list[str],
        include: list[str],
        exclude: list[str],
    ) -> Shown: ...

    @abstractmethod
    def _export(self, put: PutExport) -> Exported: ...
