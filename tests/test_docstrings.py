"""Every public name says what it is: modules, classes, functions, methods and properties."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import FunctionType, ModuleType

import pytest

import seal

OTHERS = {"seal.evaluate.lmms_model"}
"""It is imported by lmms-eval alone, which cannot be installed beside SEAL: see docs/lab.md."""
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(seal.__path__, "seal.")
    if found.name not in OTHERS and not any(part.startswith("_") for part in found.name.split("."))
)


def is_documented(value: object, name: str) -> bool:
    """Whether a name has a docstring, or overrides a documented one."""
    text = inspect.getdoc(value)
    # A dataclass without one gets its signature.
    return bool(text) and not str(text).startswith(f"{name}(")


def undocumented(module: ModuleType) -> Iterator[str]:
    if not module.__doc__:
        yield module.__name__
    for name, value in vars(module).items():
        here = getattr(value, "__module__", None) == module.__name__
        if name.startswith("_") or not here or not isinstance(value, (type, FunctionType)):
            continue
        if not is_documented(value, name):
            yield f"{module.__name__}.{name}"
        if isinstance(value, type):
            yield from (f"{module.__name__}.{name}.{each}" for each in members(value))


def members(cls: type) -> Iterator[str]:
    """The methods and properties of a class that say nothing, and override nothing that does."""
    for name, value in vars(cls).items():
        is_one = isinstance(value, (FunctionType, property, classmethod, staticmethod))
        if name.startswith("_") or not is_one or getattr(value, "__name__", "") == "<lambda>":
            continue
        inherited = (getattr(base, name, None) for base in cls.__mro__)
        if not any(is_documented(each, name) for each in inherited if each is not None):
            yield name


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name: str) -> None:
    assert list(undocumented(importlib.import_module(name))) == []


def test_what_is_not_documented_is_found() -> None:
    module = ModuleType("made_up")
    source = "class Thing:\n    def one(self): 'It is one.'\n    def two(self): pass\n"
    source += "class Other(Thing):\n    'Another.'\n    def one(self): pass\n"
    exec(source + "def free(): pass\n", vars(module))
    module.__name__ = "made_up"
    for value in list(vars(module).values()):
        if isinstance(value, (type, FunctionType)):
            value.__module__ = "made_up"
    assert list(undocumented(module)) == [
        "made_up",
        "made_up.Thing",
        "made_up.Thing.two",
        "made_up.free",
    ]
