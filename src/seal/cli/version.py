"""`seal --version`: what a report of a defect has to say."""

from __future__ import annotations

import platform

import click

from seal import __version__
from seal.cli.output import echo
from seal.dependencies import Dependency

_BASE = ("av", "lancedb", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow")
_EXTRA = ("torch", "transformers", "faster-whisper", "fastapi", "mcp", "openai", "rapidocr")
"""Packages that are listed where they are installed."""


def print_versions(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    """Print the version of SEAL in the first line, then those of Python and of packages.

    Versions are those of the installed distributions: nothing is imported.
    """
    if not asked or context.resilient_parsing:
        return
    echo(f"seal, version {__version__}")
    echo(f"Python {platform.python_version()}, {platform.platform()}")
    for name in (*_BASE, *_EXTRA):
        version = Dependency(name).version
        if version is not None or name in _BASE:
            echo(f"{name} {version or 'is missing'}")
    context.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_versions,
    help="Print the versions of SEAL and of what it is built on, and exit.",
)
