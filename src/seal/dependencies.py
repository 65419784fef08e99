"""The packages that SEAL needs, and the one way in which a missing package is asked for.

    torch = dependency("torch", "models").require("running models")

ONNX Runtime is imported by `onnxruntime` alone, which keeps it from reporting to its maker, and
LanceDB by `lancedb`, which loads half as much.

Names, minimum versions and extras come from the metadata of the installed distribution, so that
pyproject.toml is the only place that states them. Nothing else here imports a package.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from seal.errors import BackendError

DISTRIBUTION = "seal-video"
_NO_REPORT = "ORT_DISABLE_TELEMETRY"
_CATALOGUES = "lance_namespace_urllib3_client"


@dataclass(frozen=True)
class Dependency:
    """A distribution on the package index, and the extra of SEAL that installs it."""

    package: str
    minimum: str | None = None
    """The lowest version that SEAL accepts; None accepts every version."""
    extra: str = ""
    """Empty for the base install."""

    def __str__(self) -> str:
        return self.package if self.minimum is None else f"{self.package}>={self.minimum}"

    @property
    def version(self) -> str | None:
        """The installed version; None if the package is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    @property
    def is_met(self) -> bool:
        """Whether the package is installed in a version that SEAL accepts."""
        return self.version is not None and not self._is_too_old

    @property
    def _is_too_old(self) -> bool:
        if self.version is None or self.minimum is None:
            return False
        return Version(self.version) < Version(self.minimum)

    @property
    def remedy(self) -> str:
        """The command that installs the package, or a newer version of it."""
        option = "-U " if self._is_too_old else ""
        return f"pip install {option}{target(self.extra)}"

    def require(self, purpose: str, module: str | None = None) -> Any:
        """Import the package, or one `module` of it.

        Raises BackendError, with the command that helps, if the package is not installed, too old
        or broken; `purpose` is the subject of that sentence, such as "training".
        """
        try:
            imported = import_module(module or self.package)
        # An OSError comes from a package whose shared libraries are missing.
        except (ImportError, OSError) as error:
            raise BackendError(
                f"{purpose} needs {self}, which cannot be imported ({error}): {self.remedy}"
            ) from error
        _check_version(self, purpose)
        return imported


def onnxruntime(module: str = "onnxruntime") -> Any:
    """Import ONNX Runtime, or one `module` of it, so that it opens no connection.

    ONNX Runtime reads this variable while it is imported. Without the variable it writes a file
    with a number of this machine, and some ten seconds later it sends what it counts to its maker.
    Afterwards the variable is as it was. Nothing helps if it was imported before.
    """
    before = os.environ.get(_NO_REPORT)
    os.environ[_NO_REPORT] = "1"
    try:
        return import_module(module)
    finally:
        if before is None:
            del os.environ[_NO_REPORT]
        else:
            os.environ[_NO_REPORT] = before


def lancedb() -> Any:
    """Import LanceDB without the client for catalogues on servers, which takes longer than all else
    of it: its classes are loaded when one of them is asked for."""
    if _CATALOGUES not in sys.modules and (spec := find_spec(_CATALOGUES)):
        sys.modules[_CATALOGUES] = _Later(spec)
    return import_module("lancedb")


class _Later(ModuleType):
    """A package of which what it does on import is put off; its modules can be imported."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__file__ = spec, spec.origin
        self.__path__ = spec.submodule_search_locations or []
        self._loader: Any = spec.loader
        self._is_loaded = False

    def __getattr__(self, name: str) -> Any:
        if self._is_loaded or name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self._is_loaded = True
        self._loader.exec_module(self)
        return getattr(self, name)


def onnx_session(network: str | bytes) -> Any:
    """A network of ONNX Runtime, from a file's name or its content, on one thread of the CPU.

    Indexing runs one process for each core. Raises what ONNX Runtime does for a wrong network.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def target(extra: str) -> str:
    """What pip is told to install: SEAL with one of its extras."""
    return f'"{DISTRIBUTION}[{extra}]"' if extra else DISTRIBUTION


@cache
def _check_version(dependency: Dependency, purpose: str) -> None:
    # Cached, because `require` stands in functions that run once a frame.
    if dependency._is_too_old:
        raise BackendError(
            f"{purpose} needs {dependency}, and version {dependency.version} is installed:"
            f" {dependency.remedy}"
        )


@cache
def stated(extra: str = "") -> tuple[Dependency, ...]:
    """The packages of an extra, without those of the base install; "" gives the base install.

    Raises BackendError if SEAL runs from a folder without having been installed.
    """
    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise BackendError(
            f"{DISTRIBUTION} is not installed, so that the packages that it needs are unknown:"
            " run `pip install --editable .` in its folder"
        ) from error
    requirements = [Requirement(line) for line in lines]
    return tuple(
        Dependency(each.name, _minimum(each), extra)
        for each in requirements
        if _is_of(each, extra) and not (extra and _is_of(each, ""))
    )


def dependency(package: str, extra: str = "") -> Dependency:
    """A package as the extra states it.

    A package that the extra only brings along, such as huggingface_hub, has no minimum.
    """
    name = canonicalize_name(package)
    found = (each for each in stated(extra) if canonicalize_name(each.package) == name)
    return next(found, Dependency(package, None, extra))


def _is_of(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _minimum(requirement: Requirement) -> str | None:
    lowest = [each.version for each in requirement.specifier if each.operator == ">="]
    return lowest[0] if lowest else None
