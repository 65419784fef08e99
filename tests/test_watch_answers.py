"""`seal watch --answerer`: when a model is asked, what it is shown, and what its failures stop."""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import seal as package
from filmed import filmed
from seal.answer import Answerer, Prompt
from seal.answer.evidence import searched_by
from seal.cli import main
from seal.clock import clock
from seal.config import NoAnswer
from seal.errors import AnswerError
from seal.library import Library
from synthetic import write_video
from test_answer_endpoint import Handler, Server, fails, says, server
from test_watch import Camera

__all__ = ["server"]

QUESTION, BUDGET, WINDOW_S = "Where is the red ball?", 6, 8.0
SAID = "It is on the left [0:03.0]."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of three windows, and beside it the store of its parts."""
    folder = tmp_path_factory.mktemp("film")
    filmed(folder, 3 * WINDOW_S, f"video.part_s={WINDOW_S}")
    return folder


def seal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def watch(folder: Path, server: Server, *flags: object, answerer: str = "openai:m") -> Result:
    common = ["--window", WINDOW_S, "--budget", BUDGET, "--set", "attention.solver=greedy"]
    endpoint = [f"answer.base_url={server.url}", "answer.retries=0", "answer.timeout_s=5"]
    asked = ["--answerer", answerer, *(part for each in endpoint for part in ("--set", each))]
    return seal("watch", folder / "film.mp4", *common, *asked, *flags)


def queries(result: Result) -> list[dict[str, Any]]:
    """The first query of each line."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["queries"][0] for line in result.stdout.splitlines()]


def ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows}


def pictures(asked: dict[str, Any]) -> list[bytes]:
    parts = [part for turn in asked["messages"] for part in turn["content"]]
    urls = [part["image_url"]["url"] for part in parts if "image_url" in part]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


@pytest.mark.parametrize("scenes", [False, True])
def test_a_question_is_answered_from_the_tokens_that_are_chosen(
    folder: Path, server: Server, scenes: bool
) -> None:
    server.replies = [says(SAID)]
    flags = ["--query", QUESTION, "--answer-every", 0, "--json"]
    # Whole frames alone fit into the budget.
    for kind in ("object", "action") if scenes else ():
        flags += ["--set", f"attention.cost_{kind}={2 * BUDGET}"]
    lines = queries(watch(folder, server, *flags))
    answers = [line["answer"] for line in lines]
    assert [answer["until_s"] for answer in answers] == [8.0, 16.0, 24.0]
    assert [answer["asked"] for answer in answers] == [1, 2, 3]
    store = package.open(folder / "store").store
    known = store.tokens(store.videos()[0].id)
    for line, answer, asked in zip(lines, answers, server.requests, strict=True):
        assert (answer["answer"], answer["failure"], answer["failed"]) == (SAID, None, 0)
        assert answer["model"] == "openai:m"
        assert ids(answer["evidence"]) == ids(line["selection"])
        so_far = clock(answer["until_s"], tenths=False)
        assert f"a video that lasts {so_far}." in asked["messages"][0]["content"]
        starts = [row["start_s"] for row in answer["evidence"]]
        assert starts == sorted(starts)
        assert all(row["start_s"] - 1 <= 3.0 <= row["end_s"] + 1 for row in answer["citations"])
        shown = pictures(asked)
        assert len(shown) == len(answer["evidence"])
        assert shown if scenes else len(shown) == BUDGET
        # Whole frames are those that an index stores.
        for row, picture in zip(answer["evidence"], shown, strict=True):
            if row["kind"] == "scene":
                same = (known.kinds == "scene") & (np.abs(known.start_s - row["start_s"]) < 1e-6)
                assert store.pictures(store.videos()[0].id, known.take(same)) == [picture]
            else:
                assert not scenes


@pytest.mark.parametrize(
    ("every_s", "until_s"),
    [("16", [8.0, None, 24.0]), ("60", [8.0, None, None, 24.0]), (None, [8.0, None, None, 24.0])],
)
def test_a_question_is_asked_anew_after_a_while_and_in_the_end(
    folder: Path, server: Server, every_s: str | None, until_s: list[float | None]
) -> None:
    server.replies = [says(SAID)]
    flags = [] if every_s is None else ["--answer-every", every_s]
    result = watch(folder, server, "--query", QUESTION, *flags, "--json")
    answers = [line["answer"] for line in queries(result)]
    assert [answer and answer["until_s"] for answer in answers] == until_s
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["tokens"] == {}) == (len(until_s) == 4)
    assert last["window"] == 2


def test_unchanged_tokens_are_not_asked_about_again(folder: Path, server: Server) -> None:
    """Of two questions the one keeps its tokens: with this objective nothing better comes."""
    server.replies = [says(SAID)]
    flags = ["--query", QUESTION, "--query", "What is green?", "--answer-every", 0, "--budget", 1]
    flags += ["--set", "attention.objective=normalised", "--set", "attention.alpha=1", "--json"]
    result = watch(folder, server, *flags)
    lines = [json.loads(line)["queries"] for line in result.stdout.splitlines()]
    kept = 0
    for i in range(2):
        chosen = [ids(line[i]["selection"]) for line in lines]
        changed = [before != after for before, after in zip([set(), *chosen], chosen, strict=False)]
        assert [line[i]["answer"] is not None for line in lines] == changed
        kept += changed.count(False)
    assert kept


def test_a_failure_is_told_and_counted_and_ends_nothing(folder: Path, server: Server) -> None:
    server.replies = [fails(500, "out of memory"), fails(400, "no"), says(SAID)]
    result = watch(folder, server, "--query", QUESTION, "--answer-every", 0, "--json")
    answers = [line["answer"] for line in queries(result)]
    assert [answer["answer"] for answer in answers] == [None, None, SAID]
    assert [(answer["asked"], answer["failed"]) for answer in answers] == [(1, 1), (2, 2), (3, 2)]
    assert "out of memory" in answers[0]["failure"]
    told = result.stderr.splitlines()
    assert len(told) == 2
    assert told[0].startswith(f"seal: {QUESTION}: 1 of 1 failed: http")
    assert told[1].startswith(f"seal: {QUESTION}: 2 of 2 failed: http")


def test_what_failed_is_asked_again_in_the_end_though_nothing_changed(
    folder: Path, server: Server
) -> None:
    server.replies = [fails(500, "out of memory"), says(SAID)]
    flags = ["--query", QUESTION, "--window", 60, "--json"]
    first, last = (line["answer"] for line in queries(watch(folder, server, *flags)))
    assert (first["answer"], last["answer"]) == (None, SAID)
    assert (last["asked"], last["failed"]) == (2, 1)


def test_people_read_the_answer_below_the_line_of_its_window(folder: Path, server: Server) -> None:
    server.replies = [says("On the left [0:03.0].\nIt moves [9:00.0]."), fails(500, "broken")]
    result = watch(folder, server, "--query", QUESTION, "--answer-every", 0)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("0:00.0–0:08.0")
    assert lines[1:4] == [
        f"  {QUESTION} (until 0:08.0):",
        "    On the left [0:03.0].",
        "    It moves [9:00.0].",
    ]
    assert re.search(
        r"^    cites .*9:00\.0.*, where nothing was shown$", result.stdout, re.MULTILINE
    )
    assert f"  {QUESTION} (until 0:16.0): no answer, 1 of 2 failed: http" in result.stdout


def test_what_is_looked_for_is_the_phrase_of_a_question(
    folder: Path, server: Server, tmp_path: Path
) -> None:
    server.replies = [says(SAID)]
    phrase = searched_by(QUESTION, NoAnswer())
    assert phrase != QUESTION
    asked = queries(watch(folder, server, "--query", QUESTION, "--json"))
    plain = ["--window", WINDOW_S, "--budget", BUDGET, "--set", "attention.solver=greedy", "--json"]
    film = folder / "film.mp4"
    for words, flags in ((phrase, []), (QUESTION, ["--set", "answer.query=question"])):
        looked = queries(seal("watch", film, *plain, "--query", words))
        asked = queries(watch(folder, server, "--query", QUESTION, *flags, "--json"))
        for one, other in zip(looked, asked, strict=False):
            assert one["selection"] == other["selection"]
    whole = queries(seal("watch", film, *plain, "--query", QUESTION))
    assert (
        whole[-1]["selection"]
        != queries(seal("watch", film, *plain, "--query", phrase))[-1]["selection"]
    )


def test_a_state_keeps_the_pictures_and_the_phrase(
    folder: Path, server: Server, tmp_path: Path
) -> None:
    server.replies = [says(SAID)]
    flags = ["--answer-every", 0, "--json", "--state", tmp_path / "state"]
    whole = queries(watch(folder, server, "--query", QUESTION, *flags[:3]))
    wanted = pictures(server.requests[-1])
    library: Library = package.open(tmp_path / "store")
    watched = library.watch(
        str(folder / "film.mp4"),
        [QUESTION],
        window_s=WINDOW_S,
        budget=BUDGET,
        state=tmp_path / "state",
        options={"attention.solver": "greedy"},
        answerer=Waiting(True),
    )
    # The state is that of the second window.
    for _ in range(3):
        next(watched)
    watched.close()
    (rest,) = queries(watch(folder, server, *flags))
    assert rest["selection"] == whole[2]["selection"]
    assert ids(rest["selection"]) & ids(whole[1]["selection"])
    assert not any("not shown" in note for note in rest["answer"]["notes"])
    assert pictures(server.requests[-1]) == wanted
    # All was seen before this one was asked: of the most of its tokens there are no pictures.
    flags = [*flags, "--query", "What is green?"]
    late = json.loads(watch(folder, server, *flags).stdout)["queries"][1]
    left = len(late["selection"]) - len(late["answer"]["evidence"])
    assert left
    said = f"{left} chosen tokens are not shown: their pictures were not kept"
    assert said in late["answer"]["notes"]


def test_a_state_with_broken_pictures_is_refused(
    folder: Path, server: Server, tmp_path: Path
) -> None:
    server.replies = [says(SAID)]
    state = tmp_path / "state"
    flags = ["--query", QUESTION, "--state", state, "--set", "video.max_duration_s=8"]
    (line,) = queries(watch(folder, server, *flags, "--json"))
    with np.load(state, allow_pickle=False) as stored:
        arrays = dict(stored)
    # Pictures are kept of chosen tokens alone.
    assert set(arrays["pictures.ids"].tolist()) == ids(line["selection"])
    arrays["pictures.jpeg"] = arrays["pictures.jpeg"][::-1]
    with state.open("wb") as file:
        np.savez(file, **arrays)
    result = watch(folder, server, *flags)
    assert result.exit_code == 1
    assert "not the state of a stream, or damaged" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_model_that_takes_fewer_pictures_is_shown_the_first_that_were_chosen(
    folder: Path, server: Server
) -> None:
    server.replies = [fails(400, "At most 2 image(s) may be provided in one request"), says(SAID)]
    first = queries(watch(folder, server, "--query", QUESTION, "--json"))[0]
    shown = {row["id"] for row in first["selection"][:2]}
    assert ids(first["answer"]["evidence"]) == shown
    assert [len(pictures(asked)) for asked in server.requests[:2]] == [BUDGET, 2]
    assert "asked again with" in first["answer"]["notes"][0]


class Waiting(Answerer):
    """Answers when it is allowed to."""

    name = "waiting"

    def __init__(self, may: bool = False) -> None:
        self.may, self.prompts = threading.Event(), list[Prompt]()
        if may:
            self.may.set()

    def stream(self, prompt: Prompt) -> Iterator[str]:
        self.prompts.append(prompt)
        if not self.may.wait(20.0):
            raise AnswerError("nobody let it answer")
        yield f"answer {len(self.prompts)}"


def test_a_live_source_does_not_wait_for_its_answers(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.ts", range(0, 9000, 40))
    camera, model = Camera([film], pause_s=0.1), Waiting()
    library: Library = package.open(tmp_path / "store")
    came, windows = [], 0
    watched = library.watch(
        camera.address,
        ["Where are the bars?"],
        window_s=2.0,
        budget=4,
        give_up_s=0.5,
        answerer=model,
        answer_every_s=0.0,
        options={"answer.margin": 0.5},
    )
    # The source is gone for good in the end.
    with contextlib.suppress(package.VideoError):
        for window in watched:
            windows += bool(window.counts)
            assert not window.answers or model.may.is_set()
            came += window.answers
            if windows == 3:
                model.may.set()
    assert windows >= 4
    # While the first answer is awaited, the question is not asked again.
    assert came[0].answer.text == "answer 1"
    assert came[0].until_s < window.end_s
    # The last answer is from what is chosen in the end.
    assert {*came[-1].answer.evidence.ids} == {*window.choices[0].tokens.ids}
    assert [each.asked for each in came] == list(range(1, len(came) + 1))
    assert len(came) < windows


def test_who_stops_watching_waits_for_no_answer(folder: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.ts", range(0, 5000, 40))
    camera, model = Camera([film], pause_s=0.1), Waiting()
    library: Library = package.open(tmp_path / "store")
    watched = library.watch(camera.address, ["What is it?"], window_s=2.0, answerer=model)
    next(watched)
    watched.close()
    assert not model.may.is_set()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--answerer", "openai:m"], "openai:m has nothing to answer: give a question"),
        (["--answerer", "closed:m"], "unknown answer 'closed'; valid: none, openai, hf"),
        (["--answer-every", "5"], "answer_every_s=5 has no effect without an answerer"),
        (["--set", "answer.margin=1"], "answer.margin=1 has no effect without an answerer"),
        (["--answerer", "none", "--answer-every", "5"], "has no effect without an answerer"),
        (["--answerer", "openai:m", "--set", "answer.intent=off"], "answer.intent=off has no"),
        (["--answerer", "openai:m", "--set", "answer.dialogue=9"], "answer.dialogue=9 has no"),
        (["--answerer", "openai:m", "--answer-every", "-1"], "answer_every_s must be at least 0"),
        (["--answerer", "openai:"], "an endpoint needs the name of a model"),
    ],
)
def test_wrong_options_get_one_clear_line(
    folder: Path, server: Server, flags: list[str], message: str
) -> None:
    result = seal("watch", folder / "film.mp4", *flags)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_environment_names_no_answerer_for_a_stream(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream would ask for ever, and its queries need not be questions."""
    monkeypatch.setenv("SEAL_ANSWERER", "openai:m")
    result = seal("watch", folder / "film.mp4", "--query", "a ball", "--window", 60, "--json")
    assert "answer" not in queries(result)[0]


def silent(handler: Handler) -> None:
    handler.connection.close()


def test_a_server_that_is_gone_ends_nothing(folder: Path, server: Server) -> None:
    server.replies = [silent]
    result = watch(folder, server, "--query", QUESTION, "--json")
    assert [line["answer"] and line["answer"]["failed"] for line in queries(result)] == [
        *(1, None, None),
        2,
    ]
