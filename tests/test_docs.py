"""The commands that the documentation shows exist, with the options shown."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import seal
from conftest import DATA
from filmed import write_film
from seal.cli import main
from seal.config import Options
from synthetic import write_video
from test_answer_endpoint import Server, says, server
from test_watch import Camera

__all__ = ["server"]

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
PAGES = [
    PROJECT / "README.md",
    DOCS / "first-video.md",
    DOCS / "export.md",
    DOCS / "answering.md",
    DOCS / "agents.md",
    DOCS / "localisation.md",
    DOCS / "paper.md",
    DOCS / "lab.md",
    DOCS / "selection.md",
    DOCS / "many-machines.md",
    PROJECT / "Makefile",
]


def shown(page: Path) -> list[str]:
    lines = re.findall(r"(?:^|[\s/])(seal [a-z][^`\n]*)", page.read_text().replace("\\\n", " "))
    return [line.split("#")[0].strip() for line in lines if line.split()[1] in main.commands]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_parse(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").touch()  # A file that is read must be there, and a folder of videos.
    (tmp_path / "videos").mkdir()
    commands = shown(page)
    assert commands, "no commands found: the pattern is wrong"
    for line in commands:
        command: click.Command = main
        # What is written to must have a folder: this one.
        arguments = shlex.split(line.replace("$(DEMO)/", ""))[1:]
        while isinstance(command, click.Group) and arguments:
            name, *arguments = arguments
            command = command.commands[name]
        if arguments:
            command.make_context(name, arguments, parent=click.Context(main))


def python_blocks() -> list[str]:
    """The scripts that the pages show."""
    # Those of agents.md ask a server: tests/test_serve_completions.py runs them.
    pages = [page.read_text() for page in PAGES if page.name != "agents.md"]
    blocks = [
        code for text in pages for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    assert len(blocks) == 2
    return blocks


@pytest.mark.parametrize("code", python_blocks(), ids=["readme", "first-video"])
def test_the_python_that_is_shown_runs_as_a_script(code: str, tmp_path: Path) -> None:
    """On a video of several parts, by several processes, without any guard."""
    write_film(tmp_path / "holiday.mp4", seed=1, duration_s=6.0)
    parts = '("holiday.mp4", jobs=2, options=["video.part_s=2"])'
    assert '("holiday.mp4")' in code
    script = tmp_path / "script.py"
    script.write_text(code.replace('("holiday.mp4")', parts))
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, timeout=120)


def footage(folder: Path) -> Path:
    """A real clip where there is one, otherwise a film of our own."""
    real = DATA / "davis" / "dog.mp4"
    path = folder / "film.mp4"
    if real.is_file():
        shutil.copy(real, path)
    else:
        write_film(path, seed=1, duration_s=6.0)
    return path


def test_the_front_door_is_as_the_package_shows_it(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line of the package's docstring, with a scripted model and a camera on loopback."""
    footage(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.replies = [says("At [0:00.0] it turns.")]
    camera = Camera([write_video(tmp_path / "live.ts", range(0, 3000, 40))], 0.0)
    code = (seal.__doc__ or "").partition("\n\n")[2]
    assert "rtsp://..." in code
    code = code.replace("rtsp://...", camera.address)
    code = code.replace("queries=[", "options=['video.max_duration_s=3'], queries=[")
    names: dict[str, Any] = {}
    results = []
    for line in filter(None, code.splitlines()):
        if line.startswith(("import ", "library = ", "video = ")):
            exec(line, names)
        else:
            results.append(eval(line, names))
    tokens, *results = results
    assert len(tokens) == len(names["video"].tokens)
    selected, found, _shown, answer, everywhere, windows = results
    assert len(found.moments) <= 3
    assert len(selected) == 16
    assert (tmp_path / "storyboard.html").stat().st_size > 10_000
    assert answer.text == "At [0:00.0] it turns."
    assert len(answer.citations)
    assert everywhere.moments[0].video == names["video"].id
    assert [window.choices[0].text for window in windows] == ["a person"]


def test_every_key_in_the_table_of_options_is_one() -> None:
    text = (PROJECT / "docs" / "first-video.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    keys = set(re.findall(r"`(?:--set )?(\w+\.\w+)(?:=[^`]*)?`", "\n".join(table)))
    assert len(keys) >= 4
    assert keys <= set(Options().keys())
