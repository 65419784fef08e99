"""SEAL's selection in front of any model of lmms-eval: it is shown the evidence, not the video.

lmms-eval finds this as its model `seal`, by an entry point of the package; what needs lmms-eval
itself is in `lmms_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache, wraps
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from seal.answer import prompt
from seal.answer.evidence import gather
from seal.answer.prompt import PromptPicture
from seal.config import Options
from seal.encoders import Encoders
from seal.errors import DataError, NotIndexedError, OptionError
from seal.ingest import index
from seal.scope import Scope
from seal.store import Store

# As in lmms-eval, a path that has none of these is that of a video.
_OTHER_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp"}
_OTHER_SUFFIXES |= {".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus"}
# Benchmarks ask video by video; some models ask several questions at once.
_OPEN_VIDEOS = 4
_OWN = ("seal_model", "seal_store", "seal_profile", "seal_question")
# Where the function of the task that shows a document stands in the arguments of a request: in
# those of models that take messages, and in those of simple ones.
_MESSAGES, _VISUALS = 1, 2

Document = Mapping[str, Any]
"""What a task of lmms-eval knows about one of its questions."""


class VideoClip(NamedTuple):
    """A video that a task shows, from one time to another where it shows a part."""

    path: str
    start_s: float | None = None
    end_s: float | None = None


class Selector:
    """Puts the evidence for a document's question in the place of its videos.

    `settings` are those of a query, such as "attention.budget=16". A video that is not in the store
    is indexed with `profile`. `question` is the field of the documents that is looked for.

    Raises OptionError for a wrong setting or profile.
    """

    def __init__(
        self,
        store: str,
        settings: Iterable[str] = (),
        profile: str = Options().profile,
        question: str = "question",
    ) -> None:
        self._store = Store(store, create=True)
        self._settings = tuple(settings)
        self._indexing = Options.load(profile)
        Options.load(profile, self._settings, "ask")
        self._encoders = Encoders()
        self._question = question
        self._opened = lru_cache(_OPEN_VIDEOS)(self._open)

    def visuals(self, doc_to_visual: Callable[[Document], Any]) -> Callable[[Document], list[Any]]:
        """A task's function that lists what a document shows, with pictures for its videos."""

        @wraps(doc_to_visual)
        def selected(document: Document) -> list[Any]:
            shown: list[Any] = []
            for visual in doc_to_visual(document) or []:
                clip = clip_of(visual)
                parts = [] if clip is None else self.evidence(clip, document)
                pictures = [part.image() for part in parts if isinstance(part, PromptPicture)]
                shown += [visual] if clip is None else pictures
            return shown

        return selected

    def messages(self, doc_to_messages: Callable[..., Any]) -> Callable[..., Any]:
        """A task's function that gives the messages of a document, in which pictures with their
        times and kinds take the place of videos."""

        @wraps(doc_to_messages)
        def selected(document: Document) -> list[dict[str, Any]]:
            return [
                {**message, "content": self._content(message["content"], document)}
                for message in doc_to_messages(document)
            ]

        return selected

    def _content(self, content: Any, document: Document) -> Any:
        if isinstance(content, str):
            return content
        shown = []
        for part in content:
            if part["type"] != "video":
                shown.append(part)
                continue
            url, span = part["url"], (part.get("start_time"), part.get("end_time"))
            clip = VideoClip(url, *span) if isinstance(url, str) else clip_of(url)
            if clip is None:
                raise DataError(f"a video that is not a file cannot be indexed: {url!r}")
            shown += [
                {"type": "image", "url": each.image()}
                if isinstance(each, PromptPicture)
                else {"type": "text", "text": each}
                for each in self.evidence(clip, document)
            ]
        return shown

    def evidence(self, clip: VideoClip, document: Document) -> tuple[str | PromptPicture, ...]:
        """What a prompt shows of a clip for a document's question.

        Raises DataError if the document has no question or the clip no tokens, and as `gather` and
        `seal.ingest.index` do.
        """
        if self._question not in document:
            fields = ", ".join(document)
            raise DataError(f"no field {self._question!r}: set seal_question to one of {fields}")
        video = self._opened(clip.path)
        tokens = video.tokens
        start_s = -np.inf if clip.start_s is None else clip.start_s
        end_s = np.inf if clip.end_s is None else clip.end_s
        outside = (tokens.end_s < start_s) | (tokens.start_s > end_s)
        question, budget = str(document[self._question]), video.options.attention.budget
        rows = gather(video, question, budget, exclude=outside).rows
        if not len(rows):
            raise DataError(f"{clip.path}: no token from {start_s:g} s to {end_s:g} s to show")
        return prompt.evidence(video, tokens.take(rows))

    def _open(self, path: str) -> Scope:
        try:
            return self._scope(path)
        except NotIndexedError:
            index(path, self._store, self._indexing)
            return self._scope(path)

    def _scope(self, path: str) -> Scope:
        return Scope.of(self._store, path, "ask", self._settings, self._encoders)


def take_selector(arguments: dict[str, Any]) -> tuple[str, Selector]:
    """The name of the model that answers, and what selects for it, as `arguments` say: those with
    `seal_`, and with a dot SEAL's settings. They are taken out; the others are the model's.

    Raises OptionError for those that SEAL has not.
    """
    own = {key: arguments.pop(key) for key in [*arguments] if key.startswith("seal_")}
    if not {"seal_model", "seal_store"} <= own.keys() <= {*_OWN}:
        given = ", ".join(own) or "none"
        raise OptionError(
            f"the model seal takes {', '.join(_OWN)}, the first two at least; got {given}"
        )
    settings = [f"{key}={arguments.pop(key)}" for key in [*arguments] if "." in key]
    name = own.pop("seal_model")
    return name, Selector(
        settings=settings, **{key.removeprefix("seal_"): value for key, value in own.items()}
    )


def in_front(model: Any, selector: Selector) -> Any:
    """A kind of the class `model` of lmms-eval that is shown what `selector` selects."""

    def selecting(request: Any) -> Any:
        place = _VISUALS if model.is_simple else _MESSAGES
        select = selector.visuals if model.is_simple else selector.messages
        changed, arguments = copy(request), list(request.args)
        arguments[place] = select(arguments[place])
        changed.arguments = tuple(arguments)
        return changed

    class Selecting(model):
        def generate_until(self, requests: Sequence[Any]) -> Any:
            return super().generate_until([selecting(request) for request in requests])

        def loglikelihood(self, requests: Sequence[Any]) -> Any:
            return super().loglikelihood([selecting(request) for request in requests])

        def generate_until_multi_round(self, requests: Sequence[Any]) -> Any:
            raise NotImplementedError("SEAL selects for tasks of a single round")

        def generate_visual_cot(self, requests: Sequence[Any]) -> Any:
            raise NotImplementedError("SEAL selects for tasks that are answered in words")

    return Selecting


def clip_of(visual: Any) -> VideoClip | None:
    """The video that one of a task's visuals is; None for a picture or a sound."""
    if isinstance(visual, Mapping):
        path = visual.get("path") or visual.get("url")
        if visual.get("type", "video") != "video" or not isinstance(path, str):
            return None
        return VideoClip(path, visual.get("video_start"), visual.get("video_end"))
    if isinstance(visual, str) and PurePath(visual).suffix.lower() not in _OTHER_SUFFIXES:
        return VideoClip(visual)
    return None


def manifest() -> Any:
    """What lmms-eval's registry wants to know."""
    from lmms_eval.models.registry_v2 import ModelManifest

    module = f"{__package__}.lmms_model"
    return ModelManifest("seal", f"{module}.SimpleSeal", f"{module}.Seal")
