"""The commands that the documentation shows exist, with the options shown."""

import re
import shlex
from pathlib import Path

import click
import pytest

from seal.cli import main

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "docs" / "first-video.md", PROJECT / "Makefile"]


def shown(page: Path) -> list[str]:
    lines = re.findall(r"(?:^|[\s/])(seal [a-z][^`\n]*)", page.read_text().replace("\\\n", " "))
    return [line.split("#")[0].strip() for line in lines if line.split()[1] in main.commands]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_parse(page: Path) -> None:
    commands = shown(page)
    assert commands, "no commands found: the pattern is wrong"
    for line in commands:
        name, *arguments = shlex.split(line)[1:]
        command = main.commands[name]
        if arguments:
            command.make_context(name, arguments, parent=click.Context(main))
