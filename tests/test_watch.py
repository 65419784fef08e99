"""`seal watch` on files and on live streams that are cut, killed and resumed."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from filmed import write_film
from seal.cli import main
from synthetic import write_video

LENGTH_S, WINDOW_S = 24.0, 8.0
# Greedy alone: a solver that the clock stops may choose otherwise on a machine under load.
EXACT = ["--window", str(WINDOW_S), "--set", "attention.solver=greedy", "--json"]
QUERIES = ["--query", "a red ball", "--query", "a cat"]


def seal(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_film(path, seed=0, duration_s=LENGTH_S)
    return path


@pytest.fixture(scope="module")
def watched(film: Path) -> list[dict[str, Any]]:
    """The film in one go."""
    result = seal("watch", film, *QUERIES, "--budget", "12", *EXACT)
    assert result.exit_code == 0, result.stderr
    return lines(result.stdout)


def test_a_line_for_each_window_and_a_choice_for_each_query(watched: list[dict[str, Any]]) -> None:
    assert [line["window"] for line in watched] == [0, 1, 2]
    for number, line in enumerate(watched):
        assert line["start_s"] == pytest.approx(number * WINDOW_S, abs=0.2)
        assert line["end_s"] == pytest.approx((number + 1) * WINDOW_S, abs=1e-6)
        assert line["gaps"] == []
        assert [choice["query"] for choice in line["queries"]] == ["a red ball", "a cat"]
        for choice in line["queries"]:
            rows = choice["selection"]
            assert len(rows) == min(
                12, sum(sum(w["tokens"].values()) for w in watched[: number + 1])
            )
            assert len({row["id"] for row in rows}) == len(rows)
            assert all(row["start_s"] < line["end_s"] for row in rows)
            assert choice["objective"] <= choice["upper_bound"]
    assert watched[0]["queries"][0]["selection"] != watched[0]["queries"][1]["selection"]


def test_tokens_are_those_that_indexing_in_such_parts_finds(
    film: Path, tmp_path: Path, watched: list[dict[str, Any]]
) -> None:
    store = tmp_path / "store"
    part = ["--set", f"video.part_s={WINDOW_S}", "--jobs", "1"]
    indexed = json.loads(seal("index", film, "--store", store, *part, "--json").stdout)
    counted = {kind: sum(line["tokens"][kind] for line in watched) for kind in indexed["tokens"]}
    # Parts of an index begin at keyframes, where they end other tracklets than windows do.
    for kind in ("scene", "object"):
        assert counted[kind] == indexed["tokens"][kind]
    assert counted["action"] > 0


def test_it_speaks_to_people_too_and_needs_no_query(film: Path) -> None:
    result = seal("watch", film, "--window", "12")
    assert result.exit_code == 0
    assert [line.partition("  ")[0] for line in result.stdout.splitlines()] == [
        "0:00.0–0:12.0",
        "0:12.0–0:24.0",
    ]
    assert "chosen" in result.stdout
    asked = seal("watch", film, "--window", "12", "--query", "a red ball")
    assert "a red ball: " in asked.stdout
    found = lines(seal("watch", film, "--window", "12", "--json").stdout)
    assert [choice["query"] for choice in found[-1]["queries"]] == [None]
    assert {row["relevance"] for row in found[-1]["queries"][0]["selection"]} == {0.0}


def test_a_killed_watch_goes_on_where_it_was(
    film: Path, tmp_path: Path, watched: list[dict[str, Any]]
) -> None:
    arguments = ["--budget", "12", *EXACT, "--state", str(tmp_path / "state")]
    command = [sys.executable, "-m", "seal.cli", "watch", str(film), *QUERIES, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = lines(process.stdout.readline() + process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
    assert first == watched[:2]
    # The queries come from the state. A window whose saving was cut short is told again.
    rest = lines(seal("watch", film, *arguments).stdout)
    assert rest in (watched[1:], watched[2:])
    again = seal("watch", film, *arguments)
    assert (again.exit_code, again.stdout) == (0, "")
    state = tmp_path / "state"
    assert again.stderr == f"seal: {state} has all of {film}: nothing is left to watch\n"
    # A query that comes after the end is answered from what is remembered: here, of everything.
    (late,) = lines(seal("watch", film, *arguments, "--query", "a house").stdout)
    assert [choice["query"] for choice in late["queries"]] == ["a red ball", "a cat", "a house"]
    assert late["queries"][:2] == watched[-1]["queries"]
    assert {row["start_s"] < WINDOW_S for row in late["queries"][2]["selection"]} == {True, False}


def test_a_part_of_a_file(film: Path) -> None:
    result = seal("watch", film, "--window", "4", "--set", "video.max_duration_s=6", "--json")
    found = lines(result.stdout)
    assert [line["end_s"] for line in found] == pytest.approx([4.0, 6.0], abs=1e-6)


class Camera:
    """A server that sends each of some films to one client after the other, and hangs up."""

    def __init__(self, films: list[Path], pause_s: float) -> None:
        self._films, self._pause_s = films, pause_s
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        port = self._server.getsockname()[1]
        for film in self._films:
            line, _ = self._server.accept()
            with line:
                line.sendall(film.read_bytes())
            # Nobody answers for a while.
            self._server.close()
            time.sleep(self._pause_s)
            if film is not self._films[-1]:
                self._server = socket.create_server(("127.0.0.1", port))


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    """Both begin at 0, as the streams of most cameras do whenever somebody connects."""
    return [
        write_video(tmp_path / f"{i}.ts", range(0, 1000 * length, 40))
        for i, length in enumerate((5, 6))
    ]


def test_a_lost_connection_is_found_again_and_the_clock_goes_on(films: list[Path]) -> None:
    camera = Camera(films, pause_s=2.0)
    result = seal("watch", camera.address, "--window", "4", "--give-up", "4", "--json")
    found = lines(result.stdout)
    # Gone for good in the end: that is a failure, but what was seen is there.
    assert result.exit_code == 1
    assert "given up" in result.stderr
    assert f"{camera.address}: the stream has ended; trying again" in result.stderr
    assert sum(line["tokens"]["scene"] for line in found) == 3 + 3
    gaps = [gap for line in found for gap in line["gaps"]]
    assert len(gaps) == 1
    start_s, end_s, reason = gaps[0]
    began_s = found[0]["start_s"]
    assert start_s - began_s == pytest.approx(5.0, abs=0.3)
    assert 0.25 <= end_s - start_s < 20.0
    assert "ended" in reason
    assert "is missing" in result.stderr
    assert found[-1]["end_s"] == pytest.approx(end_s + 6.0, abs=0.3)
    times = [row["start_s"] for row in found[-1]["queries"][0]["selection"]]
    assert not any(start_s < time_s < end_s for time_s in times)
    assert len({line["window"] for line in found}) == len(found)
    assert all(a["end_s"] <= b["start_s"] for a, b in itertools.pairwise(found))


def test_an_encoder_that_restarts_on_the_same_line_is_carried_on(
    films: list[Path], tmp_path: Path
) -> None:
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(film.read_bytes() for film in films))
    camera = Camera([joined], pause_s=0.5)
    result = seal("watch", camera.address, "--window", "4", "--give-up", "1", "--json")
    found = lines(result.stdout)
    began_s = found[0]["start_s"]
    assert found[-1]["end_s"] - began_s == pytest.approx(5.0 + 6.0, abs=0.1)
    assert sum(line["tokens"]["scene"] for line in found) >= 5
    ((time_s, text),) = [note for line in found for note in line["notes"]]
    assert time_s - began_s == pytest.approx(5.0, abs=0.1)
    assert "clock" in text
    assert sum(end_s - start_s for line in found for start_s, end_s, _ in line["gaps"]) < 0.5


def test_a_live_stream_goes_on_after_a_kill(films: list[Path], tmp_path: Path) -> None:
    camera = Camera(films, pause_s=0.5)
    arguments = ["watch", camera.address, "--window", "2", "--json", "--query", "bars"]
    arguments += ["--state", str(tmp_path / "state"), "--give-up", "1"]
    command = [sys.executable, "-m", "seal.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = lines(process.stdout.readline() + process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(1.0)
    rest = lines(seal(*arguments).stdout)
    (gap,) = rest[0]["gaps"]
    assert gap[2] == "not watched"
    assert gap[0] in [line["end_s"] for line in first]
    assert gap[1] >= gap[0] + 1.0
    assert rest[0]["start_s"] == pytest.approx(gap[1], abs=0.1)
    remembered = {row["id"] for row in first[0]["queries"][0]["selection"]}
    assert remembered & {row["id"] for row in rest[0]["queries"][0]["selection"]}


def test_a_limit_holds_for_all_connections_together(films: list[Path]) -> None:
    camera = Camera(films, pause_s=0.1)
    result = seal(
        "watch", camera.address, "--window", "60", "--set", "video.max_duration_s=7", "--json"
    )
    assert result.exit_code == 0, result.stderr
    (found,) = lines(result.stdout)
    assert found["end_s"] - found["start_s"] <= 7.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mp4"], "missing.mp4: no such file"),
        (["tcp://127.0.0.1:1"], "refused"),
        (["FILM", "--query", "  "], "the query is empty"),
        (["FILM", "--query", "x" * 2000], "2,000 characters"),
        (["FILM", "--window", "0"], "window_s must be at least 1"),
        (["FILM", "--window", "nan"], "window_s must be at least 1"),
        (["FILM", "--budget", "0"], "budget must be at least 1"),
        (["FILM", "--give-up", "-1"], "give_up_s must be at least 0"),
        (["FILM", "--profile", "maxi"], "valid: mini, base, paper"),
        (["FILM", "--set", "attention.objective=best"], "valid: seal"),
        (["FILM", "--set", "attention.memory=0"], "memory must be at least 1"),
        (["FILM", "--set", "attention.budget=8"], "its budget is --budget"),
        (["FILM", "--set", "attention.alpha=0.5"], "no effect on the objective seal"),
        (["FILM", "--state", "NOTES"], "not the state of a stream"),
        (["FILM", "--state", "/nonexistent/state"], "cannot be written"),
    ],
)
def test_wrong_values_get_one_clear_line(
    film: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("nothing to see here")
    names = {"FILM": str(film), "NOTES": str(notes)}
    result = seal("watch", *[names.get(argument, argument) for argument in arguments])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_state_belongs_to_one_source_and_one_encoder(film: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    limit = ["--set", "video.max_duration_s=2"]
    assert seal("watch", film, *limit, "--state", state).exit_code == 0
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.read_bytes())
    other = seal("watch", copy, *limit, "--state", state)
    assert other.exit_code == 1
    assert f"{state} is the state of watching {film}" in other.stderr
    with np.load(state, allow_pickle=False) as stored:
        arrays = dict(stored)
    head = str(arrays["head"])
    (scenes,) = re.findall(r'"scene": "([^"]+)"', head)
    for written, read, message in [
        ("mini-", "mina-", "tokens of another encoder"),
        (scenes, "0" * len(scenes), "tokens of other versions of the stages"),
    ]:
        arrays["head"] = np.array(head.replace(written, read))
        with state.open("wb") as file:
            np.savez(file, **arrays)
        assert message in seal("watch", film, *limit, "--state", state).stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--budget", "5"], "attention.budget=64, now 5"),
        (["--window", "7"], "window_s=60.0, now 7.0"),
        (["--set", "attention.memory=7"], "attention.memory=1024, now 7"),
        (["--set", "objects.interval_s=1"], "objects.interval_s=2.0, now 1.0"),
    ],
)
def test_a_state_goes_on_with_the_options_it_was_written_with(
    film: Path, tmp_path: Path, changed: list[str], message: str
) -> None:
    state = tmp_path / "state"
    limit = ["--set", "video.max_duration_s=2"]
    assert seal("watch", film, *limit, "--state", state).exit_code == 0
    before = state.read_bytes()
    other = seal("watch", film, *limit, "--state", state, *changed)
    assert other.exit_code == 1
    assert f"{state} was written with {message}: use the same" in other.stderr
    assert state.read_bytes() == before
    # How long is watched may change.
    longer = seal("watch", film, "--state", state, "--set", "video.max_duration_s=4", "--json")
    (line,) = lines(longer.stdout)
    assert (line["start_s"], line["end_s"]) == (2.0, 4.0)


@pytest.mark.parametrize("arguments", [["watch"], ["watch", "a", "b"], ["watch", "a", "--query"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    assert seal(*arguments).exit_code == 2
