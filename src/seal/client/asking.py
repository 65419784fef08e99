"""A server that has said what it is, and the questions to one of its videos or to all of them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal import __version__
from seal.client.connection import ServerConnection, part
from seal.errors import NotIndexedError, OptionError, StoreError, StoreVersionError
from seal.files import replacing, write_whole
from seal.front import PutExport, PutQuestion
from seal.printing import printable
from seal.results import Answer, Found, Selection, Shown
from seal.settings import split

if TYPE_CHECKING:
    from seal.export import Exported


class Server(ServerConnection):
    """A connection to a server that has said what it is.

    In the methods, `video` is the id of the video that is asked about; None stands for all videos.
    """

    def __init__(self, address: str, token: str | None) -> None:
        """Raises StoreError if no server answers, OptionError if it wants another token."""
        super().__init__(address, token)
        self.version = "?"
        try:
            about = self.get("/server")
        except NotIndexedError as error:
            raise StoreVersionError(
                f"{self.address} is of an older SEAL than {__version__}: upgrade the server"
            ) from error
        if not isinstance(about, dict) or not isinstance(about.get("version"), str):
            raise self._foreign()
        with self.reading():
            self.version, self.profile = str(about["version"]), str(about["profile"])
            self.answerer: str | None = about["answerer"]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What the server has sent is read here: it may be of another SEAL.

        Raises StoreVersionError if it cannot be read.
        """
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            raise StoreVersionError(
                f"{self.address} is of SEAL {self.version}, and SEAL {__version__} cannot read its"
                f" answer ({type(error).__name__}: {error}): use one version on both sides"
            ) from error

    def find(self, query: str, settings: list[str], video: str | None = None) -> Found:
        """The moments that a query describes."""
        values = self.post("/find", _query(query, settings, video))
        with self.reading():
            return Found.from_json(values, query, several=video is None)

    def select(
        self,
        query: str,
        settings: list[str],
        video: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Selection:
        """The tokens worth looking at for a query."""
        ids = {"include": include, "exclude": exclude}
        values = self.post("/select", _query(query, settings, video) | ids)
        with self.reading():
            return Selection.from_json(values, query, several=video is None)

    def ask(self, put: PutQuestion, video: str | None = None) -> Answer:
        """The answer to a question."""
        values = self.answered(put, self.question(put, video))
        with self.reading():
            return Answer.from_json(values, several=video is None)

    def answered(self, put: PutQuestion, body: Mapping[str, Any]) -> Any:
        """The JSON of a streamed answer; what is written is handed on as it comes.

        A stream tells a model that takes minutes from a server that is gone.
        """
        for name, value in self.events("/ask", {**body, "stream": True}):
            if name == "text" and put.on_text is not None:
                put.on_text(value)
            elif name == "answer":
                return value
            elif name == "problem":
                raise self.problem(value)
        raise StoreError(f"{self.address} was lost before the answer was whole: ask again")

    def prompt(self, put: PutQuestion, video: str | None = None) -> str:
        """What would be sent to the model."""
        values = self.post("/prompt", self.question(put, video))
        with self.reading():
            return str(values["prompt"])

    def show(
        self,
        query: str,
        path: str | Path,
        settings: list[str],
        video: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> Shown:
        """Write a storyboard that the server has drawn."""
        from seal.show import writer

        writer(path)  # A wrong suffix is an error before the work, not after it.
        how = {"format": Path(path).suffix.lower()[1:], "include": include, "exclude": exclude}
        values = self.post("/show", _query(query, settings, video) | how)
        with self.reading():
            several = video is None
            selection = Selection.from_json(values["selection"], query, several)
            found = Found.from_json(values["found"], query, several)
            shown = Shown(Path(path), selection, found, values["videos"])
            drawn = b64decode(values["file"])
        write_whole(shown.output, drawn)
        return shown

    def export(self, put: PutExport, video: str | None = None) -> Exported:
        """Write the moments that a query describes to a file that the server has made, or a clip of
        each, which the server cuts."""
        from seal.export import CLIPS, Exported, check_copy, form_of
        from seal.words.beside import check_no_subtitles

        check_copy(put.path, put.copy)
        check_no_subtitles(put.path)
        if form_of(put.path) == CLIPS:
            return self._clips(put, video)
        body = _query(put.query, put.settings, video) | {"format": form_of(put.path)[1:]}
        values = self.post("/export", body)
        with self.reading():
            found = Found.from_json(values["found"], put.query, several=video is None)
            exported = Exported(Path(put.path), found, values["videos"])
            file = b64decode(values["file"])
        write_whole(put.path, file)
        return exported

    def _clips(self, put: PutExport, video: str | None) -> Exported:
        from seal.export import Clip, Exported, clip_name, new_files

        if put.copy:
            raise OptionError(
                f"{self.address} does not say where a copy begins: leave copy= out, or export on"
                " the machine with its store"
            )
        found, folder, clips = self.find(put.query, put.settings, video), Path(put.path), []
        names = [
            f"{clip_name(rank, moment.video, moment.span.start_s)}.mp4"
            for rank, moment in enumerate(found.moments, 1)
        ]
        for path, moment in zip(new_files(folder, names), found.moments, strict=True):
            span = moment.span
            times = {"start_s": span.start_s, "end_s": span.end_s, "exact": "true"}
            with replacing(path) as draft, draft.open("wb") as file:
                file.writelines(self.blocks(f"/media/{part(moment.video)}/clip", **times))
            clips.append(Clip(path, span))
            put.say(f"{printable(str(path))}: {len(clips)} of {len(names)} clips")
        asked = [video] if video else list(dict.fromkeys(each.video for each in found.moments))
        return Exported(folder, found, asked, clips)

    def settings_of(self, settings: list[str], answerer: object) -> list[str]:
        """The settings of a question that a server takes; it has its own answerer.

        Raises OptionError for another one.
        """
        if answerer is None:
            return settings
        if answerer != self.answerer:
            own = "no model" if self.answerer is None else self.answerer
            raise OptionError(
                f"{self.address} answers with {own}: leave answerer= out, or start the server with"
                " --answerer"
            )
        chosen = ("answer.backend=", "answer.model=")
        return [setting for setting in settings if not setting.startswith(chosen)]

    def question(self, put: PutQuestion, video: str | None) -> dict[str, Any]:
        """The JSON of a question."""
        options = as_options(self.settings_of(put.settings, put.answerer))
        body = {"question": put.question, "video": video, "options": options}
        return body | {"choices": put.choices or None, "verify": put.verify}


def as_options(settings: list[str]) -> dict[str, str]:
    """Settings as the REST API takes them."""
    return dict(split(setting) for setting in settings)


def _query(query: str, settings: list[str], video: str | None) -> dict[str, Any]:
    return {"query": query, "video": video, "options": as_options(settings)}
