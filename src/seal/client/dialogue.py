"""A dialogue that a server keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seal.answer import Dialogue, OnText
from seal.answer.conversation import Turn
from seal.arguments import Choices, lettered
from seal.client.asking import Server, as_options
from seal.client.connection import part
from seal.errors import OptionError
from seal.files import write_text
from seal.front import PutQuestion
from seal.results import Answer


class RemoteDialogue(Dialogue):
    """Questions about a video of a server; the server begins the dialogue with the first one."""

    def __init__(self, server: Server, video: str, settings: list[str]) -> None:
        self._server = server
        self._video = video
        self._settings = settings
        self._name = ""
        self._cost = 0.0

    @staticmethod
    def resumed(
        server: Server, video: str, settings: list[str], values: Any, path: Path
    ) -> RemoteDialogue:
        """The dialogue of which `save` wrote the values to a file, here or from a local library.

        Raises OptionError if it is about another video, or about tokens that are no longer stored.
        """
        if not isinstance(values, Mapping):
            raise OptionError(f"{path} is no dialogue")
        dialogue = RemoteDialogue(server, video, settings)
        dialogue._begin(values)
        return dialogue

    @property
    def turns(self) -> Sequence[Turn]:
        if not self._name:
            return []
        values = self._saved()
        with self._server.reading():
            return [Turn.from_json(turn) for turn in values["turns"]]

    @property
    def model(self) -> str | None:
        return self._server.answerer

    @property
    def cost(self) -> float:
        return self._cost

    def ask(
        self,
        question: str,
        *,
        choices: Choices | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
    ) -> Answer:
        put = PutQuestion(question, self._settings, None, lettered(choices), verify, on_text)
        named = {"dialogue": self._name or "new"}
        values = self._server.answered(put, self._server.question(put, self._video) | named)
        with self._server.reading():
            self._name, self._cost = str(values["dialogue"]), float(values["cost"])
            return Answer.from_json(values)

    def save(self, path: str | Path) -> None:
        if not self._name:
            self._begin(None)
        write_text(path, json.dumps(self._saved(), indent=1) + "\n")

    def _begin(self, saved: Mapping[str, Any] | None) -> None:
        body = {"video": self._video, "options": as_options(self._settings), "saved": saved}
        told = self._server.post("/dialogues", body)
        with self._server.reading():
            self._name, self._cost = str(told["dialogue"]), float(told["cost"])

    def _saved(self) -> Any:
        return self._server.get(f"/dialogues/{part(self._name)}")
