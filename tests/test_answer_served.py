"""The endpoint back end against a real server: `transformers serve`, in a process of its own.

It serves the LLaVA: without torchvision it has no processor for models that also take videos.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiny_answerer
from filmed import filmed
from seal import Options
from seal.answer import Answerer, ask, load
from seal.answer.prompt import Message
from seal.scope import Scope
from test_answer_local import prompt

# Loading torch takes most of it; a machine may have other things to do.
_STARTS_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_answerer.save(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server is; it chooses a free port and says which."""
    cache = tmp_path_factory.mktemp("cache")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", "0", "--device", "cpu"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    with (
        (cache / "log").open("w") as log,
        subprocess.Popen(command, env={**os.environ, **offline}, stdout=log, stderr=log) as process,
    ):
        try:
            yield _address(process, Path(log.name)) + "/v1"
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + _STARTS_S
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"running on (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    pytest.fail(f"the server does not start: {log.read_text()}")


def answerer(folder: Path, *settings: str) -> Answerer:
    made = load(Options.load("mini", [f"answer.model={folder}", *settings]).answer)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def here(folder: Path) -> Answerer:
    return answerer(folder, "answer.backend=hf", "answer.device=cpu", "answer.max_tokens=8")


@pytest.fixture(scope="module")
def there(folder: Path, url: str) -> Answerer:
    return answerer(
        folder, "answer.backend=openai", f"answer.base_url={url}", "answer.max_tokens=8"
    )


@pytest.mark.parametrize("colors", [[], ["red"], ["blue", "red"], ["red", "blue"]])
def test_a_served_model_answers_as_the_same_model_here(
    here: Answerer, there: Answerer, colors: list[str]
) -> None:
    """Words and pictures arrive whole and in order, and the answer comes back whole."""
    pieces = list(there.stream(prompt(*colors)))
    assert len(pieces) > 1
    assert "".join(pieces).strip() == there.answer(prompt(*colors)) == here.answer(prompt(*colors))


def test_a_dialogue_reaches_the_model_with_its_earlier_turns(
    here: Answerer, there: Answerer
) -> None:
    talk = [*prompt("red"), Message("assistant", ("A ball.",)), *prompt("blue", text="And?")[1:]]
    assert there.answer(talk) == here.answer(talk) != there.answer(talk[:1] + talk[-1:])


def test_a_video_is_asked_about(here: Answerer, there: Answerer, tmp_path: Path) -> None:
    store = filmed(tmp_path, 6.0)
    settings = ["attention.solver=greedy", "attention.budget=4"]
    film = Scope.of(store, store.videos()[0].id, "ask", settings)
    answer = ask(film, "Where is the red ball?", there)
    assert len(answer.evidence) == 4
    assert answer.text == ask(film, "Where is the red ball?", here).text
