"""The rules of English in tools/prose.py find what they are for, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[1] / "tools" / "prose.py"


@pytest.fixture(scope="module")
def prose() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prose", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rules(prose: ModuleType, text: str) -> list[str]:
    return [rule.split()[0] for rule, _ in prose.findings(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A store is a folder. The folder holds tokens.", []),
        ("word " * 30 + "end.", ["long"]),
        ("word " * 29 + "`code of many words` .", []),
        ("We leverage tokens.", ["banned"]),
        ("A token — a thing in a video — has a time.", ["banned"]),
        ("Used to find a moment.", ["passive"]),
        ("It finds a moment.", ["opener"]),
        ("A head finds a moment. It reads tokens.", []),
    ],
)
def test_a_rule_finds_its_fault(prose: ModuleType, text: str, found: list[str]) -> None:
    assert rules(prose, text) == found


def test_code_and_tables_are_not_sentences(prose: ModuleType) -> None:
    long = "word " * 40
    page = f"# A page\n\n```sh\n{long}\n```\n\n    {long}\n\n| a | {'b ' * 4}|\n\nA line.\n"
    assert [text for _, text in prose.of_markdown(page)] == ["A line."]


def test_docstrings_comments_and_help_are_read(prose: ModuleType) -> None:
    source = (
        '"""A module.\n\nfirst, second   what they do\nthird           what it does\n"""\n'
        "# A comment of\n# two lines.\n"
        'option("--x", help="What it is.")\n'
        'NAME = 1\n"""A constant."""\n'
    )
    found = [(line, text) for line, text in prose.of_python(source)]
    assert (1, "A module.") in found
    assert (6, "A comment of two lines.") in found
    assert (8, "What it is.") in found
    assert (10, "A constant.") in found
