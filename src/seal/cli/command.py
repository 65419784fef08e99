"""What all commands have: -v, -q and, where a command has settings, the configuration file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from seal import logs
from seal.cli.output import results_apart
from seal.config import DEFAULT_STORE
from seal.config.serving import is_server
from seal.configfile import NAME, ConfigFile, found, read
from seal.errors import SealError

_log = logging.getLogger(__name__)
_VERBOSITY = "seal.verbosity"
_FILE = "seal.config"


def _more(context: click.Context, parameter: click.Parameter, count: int) -> None:
    context.meta[_VERBOSITY] = context.meta.get(_VERBOSITY, logs.NORMAL) + count


def _less(context: click.Context, parameter: click.Parameter, is_quiet: bool) -> None:
    if is_quiet:
        context.meta[_VERBOSITY] = logs.QUIET


def _named(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    context.meta[_FILE] = path


def _config_option() -> click.Option:
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        envvar="SEAL_CONFIG",
        metavar="FILE",
        expose_value=False,
        callback=_named,
        help=f"Defaults of options; else the nearest {NAME}, from this folder upwards.",
    )


def _verbosity_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_more,
            help="Say more on stderr; twice, for debugging.",
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_less,
            help="Say nothing but errors on stderr.",
        ),
    ]


class Command(click.Command):
    """A command that shows log records, keeps what is printed out of its results, and takes
    defaults from the configuration file."""

    def __init__(
        self,
        *arguments: Any,
        reads_config: bool = False,
        is_server: bool = False,
        speaks: bool = False,
        **more: Any,
    ) -> None:
        """`reads_config` is for a command without the option --store. `is_server` takes the
        defaults of [serve] as well. `speaks` leaves stdout to the command."""
        super().__init__(*arguments, **more)
        self._is_server = is_server
        self._speaks = speaks
        # Tokens of a benchmark or of training lie in a store of their own.
        stores = [each for each in self.params if each.name == "store_path"]
        if reads_config or any(each.default == DEFAULT_STORE for each in stores):
            self.params.append(_config_option())
        self.params += _verbosity_options()

    def invoke(self, context: click.Context) -> Any:
        verbosity = context.meta.get(_VERBOSITY, logs.NORMAL)
        with logs.shown(verbosity), results_apart(leave=self._speaks):
            if _FILE in context.meta:
                context.meta[_FILE] = file = read_named(context.meta[_FILE])
                self._fill(context, file)
            try:
                return super().invoke(context)
            except SealError as error:
                _log.debug("where the error comes from", exc_info=error)
                raise

    def _fill(self, context: click.Context, file: ConfigFile) -> None:
        """Set what neither the command line nor the environment has set."""
        if file.path is not None:
            _log.info("defaults are those of %s", file.path)
        _fill(context, "store_path", file.store)
        if is_server(context.params.get("store_path", "")):
            return  # A server has its own settings.
        _fill(context, "profile", file.profile)
        # Without a question, a watch has nothing to answer.
        if context.params.get("queries", True):
            _fill(context, "answerer", file.answerer)
        for name, value in file.serve.items() if self._is_server else ():
            _fill(context, name, value)


def _fill(context: click.Context, name: str, value: Any) -> None:
    if (
        value is not None
        and name in context.params
        and context.get_parameter_source(name) is ParameterSource.DEFAULT
    ):
        context.params[name] = value


def read_named(path: Path | None) -> ConfigFile:
    """The configuration file of this name, or else the nearest one."""
    if path is not None:
        return read(path, is_named=True)
    nearest = found()
    return ConfigFile() if nearest is None else read(nearest, is_named=False)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command


def config_file() -> ConfigFile:
    """The configuration file of the command that runs."""
    file = click.get_current_context().meta.get(_FILE)
    return file if isinstance(file, ConfigFile) else ConfigFile()


def defaults() -> list[str]:
    """The settings of the configuration file that lie below those of the command line."""
    return config_file().defaults(click.get_current_context().params.get("profile"))
