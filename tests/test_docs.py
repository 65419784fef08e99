"""The commands that the documentation shows exist, with the options shown."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import seal
from filmed import write_film
from seal.cli import main
from seal.config import Options

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
PAGES = [
    PROJECT / "README.md",
    DOCS / "first-video.md",
    DOCS / "answering.md",
    DOCS / "localisation.md",
    PROJECT / "Makefile",
]


def shown(page: Path) -> list[str]:
    lines = re.findall(r"(?:^|[\s/])(seal [a-z][^`\n]*)", page.read_text().replace("\\\n", " "))
    return [line.split("#")[0].strip() for line in lines if line.split()[1] in main.commands]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_parse(page: Path) -> None:
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
    pages = [page.read_text() for page in PAGES]
    blocks = [
        code for text in pages for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ]
    assert len(blocks) == 2
    code = (seal.__doc__ or "").partition("\n\n")[2]
    return [*blocks, "\n".join(line.removeprefix("    ") for line in code.splitlines())]


@pytest.mark.parametrize("code", python_blocks(), ids=["readme", "first-video", "docstring"])
def test_the_python_that_is_shown_runs_as_a_script(code: str, tmp_path: Path) -> None:
    """On a video of several parts, which a script must survive without any guard."""
    for name in {*re.findall(r'"(\w+\.mp4)"', code)}:
        write_film(tmp_path / name, seed=1, duration_s=6.0)
    code = code.replace(", store)", ", store, Options.load('mini', ['video.part_s=2']))")
    script = tmp_path / "script.py"
    script.write_text("from seal import Options\n" + code)
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True, timeout=120)


def test_every_key_in_the_table_of_options_is_one() -> None:
    text = (PROJECT / "docs" / "first-video.md").read_text()
    keys = set(re.findall(r"`(?:--set )?(\w+\.\w+)(?:=[^`]*)?`", text))
    assert len(keys) >= 4
    assert keys <= set(Options().keys())
