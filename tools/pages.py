"""What the documentation site needs beside docs/: pages from elsewhere, links, and commands.

MkDocs loads this file as a hook (mkdocs.yml). Each page of the site is one file of the repository,
where a reader of the repository finds it too. A link to a file that is no page, such as the systemd
unit, leads to a copy of that file in the site.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from seal.cli import main

ROOT = Path(__file__).parents[1]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/LOG.md": "experiments.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "training/mini/README.md": "training-mini.md",
}
"""The name in the site of each page that is not in docs/."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])")
_COMMANDS = "<!-- commands -->"
"""Stands where a page has the help of all commands."""
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside docs/, and the files that pages link to."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for page in [file for file in files if file.is_documentation_page()]:
        for link in _LINK.findall(_without_code(page.content_string)):
            path = _in_repository(page.src_uri, link)
            name = _in_site(path)
            if name.startswith("files/") and path.is_file() and not files.get_file_from_path(name):
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the repository has them become links of the site."""

    if _COMMANDS in markdown:
        markdown = markdown.replace(
            _COMMANDS,
            "\n".join(_help(main, click.Context(main, info_name="seal", **main.context_settings))),
        )

    def moved(link: re.Match[str]) -> str:
        name = _in_site(_in_repository(page.file.src_uri, link.group(1)))
        return os.path.relpath(name, Path(page.file.src_uri).parent)

    return "".join(
        part if part.startswith("```") else _LINK.sub(moved, part)
        for part in _FENCE.split(markdown)
    )


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    """A heading and the help of a command, and of those below it by name."""
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    for name, below in sorted(getattr(command, "commands", {}).items()):
        yield from _help(below, click.Context(below, parent=context, info_name=name))


def _without_code(text: str) -> str:
    return _FENCE.sub("", text)


def _in_repository(page: str, link: str) -> Path:
    """The file that a link of a page leads to."""
    sources = {name: source for source, name in PAGES.items()}
    source = ROOT / sources.get(page, f"docs/{page}")
    path = (source.parent / link).resolve()
    return path / "README.md" if path.is_dir() else path


def _in_site(path: Path) -> str:
    """The name that a file of the repository has in the site."""
    if not path.is_relative_to(ROOT):
        return str(path)
    name = path.relative_to(ROOT).as_posix()
    if name == "README.md":
        return "index.md"
    return PAGES.get(name) or (
        name.removeprefix("docs/") if name.startswith("docs/") else f"files/{name}"
    )
