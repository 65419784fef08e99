"""`seal serve`: the page, REST, the OpenAI-style endpoint and MCP over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import click

from seal.cli.command import Command, config_file, defaults
from seal.cli.options import settings_option, store_option
from seal.cli.output import tell
from seal.config import PROFILES, Options
from seal.config.serving import ServeOptions
from seal.errors import OptionError
from seal.files import read_text
from seal.settings import replaced

_DEFAULTS = ServeOptions()


@click.command(cls=Command, is_server=True)
@store_option
@click.option("--host", default=_DEFAULTS.host, show_default=True, help="Where to listen.")
@click.option("--port", default=_DEFAULTS.port, show_default=True, help="0 takes a free port.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The token that clients have to send. A server for other machines must have one.",
)
@click.option(
    "--media",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    metavar="FOLDER",
    help="A folder whose videos may be indexed; can be repeated.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host whose addresses may be indexed, watched and called; can be repeated.",
)
@click.option(
    "--allow-private",
    is_flag=True,
    help="These hosts may lie in a private network, or on this machine.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="A further host name of the server, such as that of a proxy; can be repeated.",
)
@click.option(
    "--path-prefix", default="", metavar="PATH", help="The path under which a proxy offers it."
)
@click.option(
    "--trust-proxy",
    "trusts_proxy",
    is_flag=True,
    help="A client's address is what the proxy says.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The folder of what the server remembers; by default it lies beside a store in a folder.",
)
@click.option("--jobs", type=click.IntRange(1), help="Processes of indexing; one per core.")
@click.option(
    "--answerer", metavar="NAME[:MODEL]", help="The model that answers, such as openai:MODEL."
)
@click.option(
    "--profile", default=Options().profile, show_default=True, help=f"{', '.join(PROFILES)}."
)
@settings_option("transcribe.backend=whisper")
def serve(
    store_path: str,
    token_file: Path | None,
    answerer: str | None,
    profile: str,
    settings: tuple[str, ...],
    media: tuple[Path, ...],
    **options: object,
) -> None:
    """Serve a page, a REST API, an OpenAI-style endpoint and MCP from one process.

    Open the address that it prints. On this machine the server is open. On any other address it
    needs a token. --set takes options of indexing and of answers, and the limits of the server,
    such as serve.max_uploads=4.
    """
    # Queries run side by side, each on a core of its own. NumPy reads this as it is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from seal.serve import run

    for folder in media:
        if not folder.is_dir():  # The configuration file may name any.
            raise OptionError(f"{folder} is not a folder; expected one of videos as media")
    token = "" if token_file is None else read_text(token_file).strip()
    if token_file is not None and not token:
        raise OptionError(f"{token_file} is empty; expected a token")
    limits = [each for each in settings if each.startswith("serve.")]
    others = tuple(each for each in settings if each not in limits)
    # Most limits have no flag: the configuration file and --set name them.
    filed = {key: one for key, one in config_file().serve.items() if key != "token_file"}
    chosen = ServeOptions(token=token, **(filed | options | {"media": media}))
    chosen = replaced({"serve": chosen}, limits)["serve"]
    run(
        *(store_path, chosen, tell),
        profile=profile,
        settings=others,
        answerer=answerer,
        defaults=tuple(defaults()),
    )
