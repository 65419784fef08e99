"""Settings as text: "key=value", the value as the type of its option, and whether it is valid."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from seal.errors import OptionError


def split(setting: str) -> tuple[str, str]:
    """ "key=value" in two. Raises OptionError."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise OptionError(f"a setting is KEY=VALUE, got {setting!r}")
    return key.strip(), value.strip()


def parse(key: str, value: str, hint: Any) -> Any:
    """`value` as the type `hint` that the option `key` is annotated with. Raises OptionError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value.lower() == "none":
            return None
        hint = next(a for a in arguments if a is not type(None))
    if origin is Literal:
        if value not in arguments:
            raise OptionError(f"{key} must be one of {', '.join(arguments)}; got {value!r}")
        return value
    if hint is bool:
        if value.lower() not in ("true", "false"):
            raise OptionError(f"{key} must be true or false, got {value!r}")
        return value.lower() == "true"
    try:
        parsed = hint(value)
    except ValueError:
        raise OptionError(f"{key} must be {hint.__name__}, got {value!r}") from None
    if hint is float and not math.isfinite(parsed):
        raise OptionError(f"{key} must be a finite number, got {value!r}")
    return parsed


def replaced(groups: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Groups of options by name, with settings such as "train.steps=9" on top.

    Raises OptionError, listing the valid keys, for an unknown one, and for a wrong value.
    """
    changed: dict[str, dict[str, Any]] = {name: {} for name in groups}
    hints = {
        f"{group}.{field.name}": typing.get_type_hints(type(options))[field.name]
        for group, options in groups.items()
        for field in dataclasses.fields(options)
    }
    for setting in settings:
        key, value = split(setting)
        if key not in hints:
            raise OptionError(f"unknown option {key!r}; valid: {', '.join(hints)}")
        group, _, name = key.partition(".")
        changed[group][name] = parse(key, value, hints[key])
    return {name: with_values(name, groups[name], changed[name]) for name in groups}


class _RuleError(OptionError):
    """A value breaks a rule; the message begins with the name of an option within its group."""


def with_values(name: str, group: Any, values: Mapping[str, Any]) -> Any:
    """A group of options with other values. Raises OptionError, which names the option as
    `NAME.OPTION`, for a value out of range."""
    try:
        return dataclasses.replace(group, **values)
    except _RuleError as error:
        raise OptionError(f"{name}.{error}") from None


def check(group: object, condition: bool, rule: str) -> None:
    """Raise OptionError unless `condition`; `rule` begins with the name of an option."""
    if not condition:
        value = getattr(group, rule.split()[0])
        raise _RuleError(f"{rule}; got {value}")
