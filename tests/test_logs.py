"""What SEAL and its back ends log and print, by -v and -q, and never among the results."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import seal
from filmed import write_film
from seal import logs
from seal.cli import main

_CHATTY = """
import logging, warnings
from seal.attention.solvers import greedy
from seal.config import MiniEncode
from seal.encode.mini import MiniEncoder

def solver(*arguments, **more):
    print("PRINTED")
    logging.getLogger("chatty").warning("WARNED")
    logging.getLogger("chatty").info("INFORMED")
    warnings.warn("OUTDATED")
    return greedy(*arguments, **more)

class Encoder(MiniEncoder):
    def __init__(self, options):
        print("LOADED")
        logging.getLogger("chatty").warning("SLOW")
        super().__init__(MiniEncode())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A Python that has back ends which print, log and warn."""
    site = tmp_path_factory.mktemp("site")
    (site / "chatty.py").write_text(_CHATTY)
    metadata = site / "chatty-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: chatty\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[seal.backends]\nsolver.chatty = chatty:solver\nencode.chatty = chatty:Encoder\n"
    )
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """A folder with a film and its store."""
    folder = tmp_path_factory.mktemp("film")
    write_film(folder / "film.mp4", seed=3, duration_s=24.0)
    run(folder, environment, "index", "film.mp4")
    return folder


def run(
    folder: Path, environment: dict[str, str], *arguments: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seal.cli", *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.parametrize(
    ("options", "said", "unsaid"),
    [
        ((), ["chatty: WARNED", "OUTDATED"], ["PRINTED", "INFORMED"]),
        (("-q",), [], ["WARNED", "OUTDATED", "PRINTED", "INFORMED"]),
        (("-v",), ["WARNED", "seal: PRINTED"], ["INFORMED"]),
        (("-vv",), ["WARNED", "PRINTED", "chatty: INFORMED"], []),
    ],
)
def test_what_a_back_end_says_goes_to_stderr_by_level(
    folder: Path,
    environment: dict[str, str],
    options: tuple[str, ...],
    said: list[str],
    unsaid: list[str],
) -> None:
    asked = ("select", "film.mp4", "a ball", "--solver", "chatty", "--json", *options)
    done = run(folder, environment, *asked)
    assert json.loads(done.stdout)["selection"]
    for text in said:
        assert text in done.stderr
    for text in unsaid:
        assert text not in done.stderr
    assert all(line.startswith("seal: ") for line in done.stderr.splitlines())


def test_worker_processes_say_as_much(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    chatty = ("--set", "encode.backend=chatty", "--set", "video.part_s=4", "--jobs", "2", "--json")
    for level, count in (("-q", 0), ("-v", 3)):
        store = ("--store", str(tmp_path / level))
        done = run(folder, environment, "index", "film.mp4", *chatty, *store, level)
        assert json.loads(done.stdout)["tokens"]["scene"]
        # Both workers load the models, and the process of the command does.
        found = done.stderr.count("seal: LOADED"), done.stderr.count("seal: chatty: SLOW")
        assert found == (count, count)


def test_errors_are_always_said(folder: Path, environment: dict[str, str]) -> None:
    quiet = run(folder, environment, "find", "none.mp4", "a ball", "-q", code=1)
    assert quiet.stderr.startswith("seal: ")
    assert quiet.stderr.count("\n") == 1
    loud = run(folder, environment, "find", "none.mp4", "a ball", "-vv", code=1)
    assert "NotIndexedError" in loud.stderr
    assert "Traceback" in loud.stderr


def test_quiet_leaves_notes_out(folder: Path, environment: dict[str, str]) -> None:
    assert "no answering model" in run(folder, environment, "ask", "film.mp4", "Why?").stderr
    assert run(folder, environment, "ask", "film.mp4", "Why?", "-q").stderr == ""


def test_every_command_has_both() -> None:
    def commands(group: click.Group) -> list[click.Command]:
        return [
            each
            for command in group.commands.values()
            for each in (commands(command) if isinstance(command, click.Group) else [command])
        ]

    every = commands(main)
    assert len(every) > 30
    for command in every:
        flags = [flag for parameter in command.params for flag in parameter.opts]
        assert {"-v", "-q"} <= {*flags}, command.name
        assert len(flags) == len(set(flags)), command.name


def test_the_library_shows_nothing_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    script = (
        "import logging, seal; logging.getLogger('seal.serve').error('lost');"
        "assert not logging.getLogger().handlers"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert capfd.readouterr().err == ""
    assert seal.__version__


def test_logging_is_afterwards_as_it_was() -> None:
    root, own = logging.getLogger(), logging.getLogger("seal")
    before = root.handlers[:], root.level, own.level, os.environ.get("SEAL_VERBOSITY")
    with logs.shown(logs.QUIET), logs.printed_apart():
        assert logs.is_quiet()
        print("half", end="")
    assert (root.handlers, root.level, own.level, os.environ.get("SEAL_VERBOSITY")) == before
    assert not logs.is_quiet()
