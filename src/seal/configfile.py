"""`seal.toml`: the settings of a user or of a project, below what a command line says.

    store = "tokens"
    profile = "mini"
    answerer = "openai:MODEL"

    [options]                      # as with --set
    attention.budget = 8

    [serve]                        # as the flags of `seal serve`, and as --set serve.KEY
    port = 9000

The command line alone reads this file. A program that imports `seal` says what it wants in its
calls: a library must not behave differently in another working directory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from seal import backends
from seal.arguments import asking
from seal.config import PROFILES, STAGES, Options, as_settings
from seal.config.serving import ServeOptions, is_server
from seal.config.tasks import BACKEND_STAGES
from seal.errors import OptionError
from seal.files import read_text
from seal.settings import split

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "seal.toml"
_KEYS = ("store", "profile", "answerer")
"""What stands above the tables."""
_ANSWERERS = ("answer.backend", "answer.model")
"""What `answerer` sets."""
_HANDED_OUT = ("host", "names", "token_file", "media", "hosts", "allow_private", "trusts_proxy")
"""Settings of the server that decide who gets what."""


@dataclass(frozen=True)
class ConfigFile:
    """What a configuration file says. Without a file, nothing."""

    path: Path | None = None
    store: str | None = None
    """A folder, as it is found from the working directory, or the address of a server."""
    profile: str | None = None
    answerer: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    """Values by key, both as text, as in --set KEY=VALUE."""
    serve: Mapping[str, Any] = field(default_factory=dict)
    """Values by name of the fields of `ServeOptions`; the token is in the file `token_file`."""

    def defaults(self, profile: str | None = None) -> list[str]:
        """The options as settings.

        They lie above the file's profile, and below another `profile` that the command line names:
        what that one sets is left out.
        """
        is_own = profile in (None, self.profile or Options.profile)
        above = {} if is_own else PROFILES.get(str(profile), {})
        return as_settings({key: one for key, one in self.options.items() if key not in above})


def found() -> Path | None:
    """The `seal.toml` of the working directory, or of the nearest folder above that has one."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None  # Somebody has removed the working directory.
    # In the working directory itself, paths stay as short as they are written.
    places = (Path(NAME), *(each / NAME for each in here.parents))
    return next((place for place in places if os.path.isfile(place)), None)


def read(path: Path, *, is_named: bool) -> ConfigFile:
    """What the file at `path` says; `is_named` unless it was found by a search.

    A file that was found may have come with somebody else's folder. So it may not say where a key
    is sent, and to whom a server gives what: such a file has to be named.

    Raises DataError for a file that cannot be read. Raises OptionError for a file that is no TOML,
    for an unknown key and for a wrong value; it names the file, and the line or the key.
    """
    text = read_text(path)
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path} is no TOML: {error}") from error
    try:
        return _checked(path, values, is_named)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error


def _checked(path: Path, values: Mapping[str, Any], is_named: bool) -> ConfigFile:
    known = (*_KEYS, "options", "serve")
    if unknown := values.keys() - {*known}:
        raise OptionError(f"unknown key {min(unknown)!r}; valid: {', '.join(known)}")
    texts = {key: values[key] for key in _KEYS if key in values}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise OptionError(f"{key} must be a text in quotes, got {value!r}")
    for key in ("options", "serve"):
        if not isinstance(values.get(key, {}), Mapping):
            raise OptionError(f"{key} must be a table: [{key}]")
    store, profile = texts.pop("store", None), texts.get("profile", Options.profile)
    options = dict(_flat(values.get("options", {}), path.parent))
    _check_options(profile, options, texts.get("answerer"))
    serve = _serve(values.get("serve", {}), path.parent)
    if store is not None and not is_server(store):
        store = str(_placed(store, path.parent))
    outward = [] if store is None or not is_server(store) else ["store"]
    outward += [key for key in ("answer.base_url",) if key in options]
    outward += [f"serve.{key}" for key in _HANDED_OUT if key in serve]
    if outward and not is_named:
        raise OptionError(
            f"{outward[0]} decides who gets your data or your key, and this file was found by a"
            " search: name the file with --config or SEAL_CONFIG, or leave that key out"
        )
    return ConfigFile(path, store, options=options, serve=serve, **texts)


def _flat(table: Mapping[str, Any], folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The keys and values of [options] as --set has them."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, folder, f"{key}.")
        elif isinstance(value, bool):
            yield key, str(value).lower()
        elif isinstance(value, str) and value.startswith(("./", "../")):
            yield key, str(_placed(value, folder))
        elif isinstance(value, (str, int, float)):
            yield key, str(value)
        else:
            raise OptionError(f"{key} must be a text, a number, true or false; got {value!r}")


def _check_options(profile: str, options: Mapping[str, str], answerer: str | None) -> None:
    """Raise OptionError unless each of the options is one, and its value is valid.

    The command line may choose another back end. So a key of any back end of its stage is one.
    """
    for key in _ANSWERERS:
        if key in options:
            raise OptionError(f'{key} is set by answerer = "NAME:MODEL", above the tables')
    chosen = [f"{key}={value}" for key, value in options.items() if key.endswith(".backend")]
    chosen += [f"{key}={one}" for key, one in asking(None, answerer).items() if one is not None]
    own = Options.load(profile, chosen).keys()
    for key, value in options.items():
        Options.load(profile, [*_backend_with(key, profile, chosen), f"{key}={value}"])
    # Two values may be valid by themselves and not together.
    Options.load(profile, chosen + [f"{key}={options[key]}" for key in own if key in options])


def _backend_with(key: str, profile: str, chosen: list[str]) -> list[str]:
    """The settings that choose a back end whose options have this key, if any has: the chosen one
    first."""
    stage = key.partition(".")[0]
    if stage not in BACKEND_STAGES or stage not in STAGES:
        return chosen
    others = [each for each in chosen if split(each)[0] != f"{stage}.backend"]
    for way in (chosen, *([*others, f"{stage}.backend={one}"] for one in backends.names(stage))):
        if stage == "answer":
            way = [each for each in way if not each.startswith("answer.model=")]
        if key in Options.load(profile, way).keys():  # noqa: SIM118 - a list of names
            return way
    return chosen


def _serve(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """[serve] as values of `ServeOptions`, with the file of the token in place of the token."""
    hints = get_type_hints(ServeOptions)
    names = [each.name for each in fields(ServeOptions) if each.name != "token"] + ["token_file"]
    hints["token_file"] = Path | None
    found = {}
    for name, value in table.items():
        if name not in names:
            raise OptionError(f"unknown key 'serve.{name}'; valid: {', '.join(names)}")
        found[name] = _typed(f"serve.{name}", value, hints[name], folder)
    # Ranges are checked here; who may listen where is checked with the token, when it is served.
    checked = {key: value for key, value in found.items() if key not in _HANDED_OUT}
    ServeOptions(**checked)
    return found


def _typed(key: str, value: Any, hint: Any, folder: Path) -> Any:
    """A value as TOML has it, as one of the type of its option. Raises OptionError."""
    if hint in (tuple[str, ...], tuple[Path, ...]):
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise OptionError(f"{key} must be a list of texts, got {value!r}")
        return tuple(value if hint == tuple[str, ...] else (_placed(one, folder) for one in value))
    if hint == Path | None:
        if not isinstance(value, str):
            raise OptionError(f"{key} must be a path in quotes, got {value!r}")
        return _placed(value, folder)
    wanted: Any = {int | None: int, float: (int, float)}.get(hint, hint)
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        name = hint.__name__ if isinstance(hint, type) else str(hint)
        raise OptionError(f"{key} must be {name}, got {value!r}")
    return value


def _placed(path: str, folder: Path) -> Path:
    """A path of a configuration file: from the folder in which the file lies."""
    return folder / Path(path).expanduser()
