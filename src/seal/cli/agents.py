"""`seal mcp`: the library as tools for an agent on this machine, over stdin and stdout."""

from __future__ import annotations

import click

from seal.cli.command import Command, defaults
from seal.cli.options import settings_option, store_option
from seal.dependencies import dependency


@click.command(cls=Command, speaks=True)
@store_option
@click.option(
    "--answerer", metavar="NAME[:MODEL]", help="The model that answers, such as openai:MODEL."
)
@settings_option("answer.max_tokens=256")
def mcp(store_path: str, answerer: str | None, settings: tuple[str, ...]) -> None:
    """Speak MCP on stdin and stdout: find, select, ask, list and tokens, for an agent.

    A program such as a desktop client starts this command. `seal serve` offers the same under /mcp.
    """
    dependency("mcp", "serve").require("seal mcp")
    dependency("fastapi", "serve").require("seal mcp")
    from seal.serve.agents import over_stdio
    from seal.serve.service import Chosen

    over_stdio(store_path, Chosen(settings=settings, answerer=answerer, defaults=tuple(defaults())))
