"""`seal doctor`: what is installed, which models are here, and what is missing. No connection.

print(diagnose(["base"]))
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seal import __version__
from seal.config import PROFILES, Options
from seal.dependencies import Dependency, dependency, stated
from seal.devices import count_devices
from seal.errors import BackendError
from seal.preparation import Need, needs, size
from seal.weights import TORCH, check_whole, folder_of, require

_OPTIONAL = ("serve", "export", "speech", "read", "multilingual", "answer", "cloud")
"""Extras that any profile can do with and without."""


@dataclass(frozen=True)
class StageState:
    """What one stage of a profile needs, and what is wrong with it."""

    need: Need
    size_bytes: int | None
    """Of the model's files; None if there is no model or it is not here."""
    problems: tuple[str, ...]
    """What is missing, too old or damaged; empty if the stage is ready."""
    remedies: tuple[str, ...]
    """The commands that help, in their order."""

    def to_json(self) -> dict[str, Any]:
        """The stage as `seal doctor --json` prints it."""
        return {
            "stage": self.need.stage,
            "backend": self.need.backend,
            "extra": self.need.extra or None,
            "model": self.need.model,
            "revision": self.need.revision if self.need.model is not None else None,
            "size_bytes": self.size_bytes,
            "problems": list(self.problems),
            "remedies": list(self.remedies),
        }

    def __str__(self) -> str:
        model = "" if self.need.model is None else f", {self.need.model} ({self.need.revision})"
        here = "" if self.size_bytes is None else f", {size(self.size_bytes)}"
        state = "; ".join(self.problems) or "ready"
        return f"  {self.need.stage}: {self.need.backend}{model}{here}: {state}"


@dataclass(frozen=True)
class ProfileState:
    """A profile, stage by stage."""

    profile: str
    stages: tuple[StageState, ...]

    @property
    def is_ready(self) -> bool:
        """Whether no stage has a problem."""
        return not any(stage.problems for stage in self.stages)

    @property
    def remedies(self) -> list[str]:
        """The commands that make it ready, in their order."""
        lines = [line for stage in self.stages for line in stage.remedies]
        # Packages come first: without them nothing can be downloaded.
        return sorted(dict.fromkeys(lines), key=lambda line: not line.startswith("pip "))

    def to_json(self) -> dict[str, Any]:
        """The profile as `seal doctor --json` prints it."""
        return {
            "profile": self.profile,
            "ready": self.is_ready,
            "stages": [stage.to_json() for stage in self.stages],
            "remedies": self.remedies,
        }

    def __str__(self) -> str:
        lines = [f"{self.profile}: {'ready' if self.is_ready else 'not ready'}"]
        lines += map(str, self.stages)
        return "\n".join(lines + [f"  run: {line}" for line in self.remedies])


@dataclass(frozen=True)
class Diagnosis:
    """This machine's installation, and the profiles that were asked about."""

    seal: str
    python: str
    ffmpeg: str
    """FFmpeg's version as PyAV brings it, or why PyAV cannot be imported."""
    devices: tuple[str, ...]
    """As torch writes them, with the names of the chips; empty without torch."""
    packages: tuple[Dependency, ...]
    profiles: tuple[ProfileState, ...]

    def is_ready(self, names: Iterable[str]) -> bool:
        """Whether all these profiles are ready."""
        wanted = {*names}
        return all(each.is_ready for each in self.profiles if each.profile in wanted)

    def to_json(self) -> dict[str, Any]:
        """What `seal doctor --json` prints."""
        return {
            "seal": self.seal,
            "python": self.python,
            "ffmpeg": self.ffmpeg,
            "devices": list(self.devices),
            "packages": [
                {
                    "package": each.package,
                    "extra": each.extra or None,
                    "version": each.version,
                    "minimum": each.minimum,
                    "met": each.is_met,
                }
                for each in self.packages
            ],
            "profiles": [each.to_json() for each in self.profiles],
        }

    def __str__(self) -> str:
        devices = ", ".join(self.devices) or _no_torch()
        lines = [
            f"SEAL {self.seal}, Python {self.python}, FFmpeg {self.ffmpeg}",
            f"devices: {devices}",
            "packages:",
        ]
        for each in self.packages:
            missing = "not installed" + (" (optional)" if each.extra in _OPTIONAL else "")
            version = each.version or missing
            extra = f" [{each.extra}]" if each.extra else ""
            minimum = "" if each.minimum is None else f", needs {each.minimum} or newer"
            lines.append(f"  {each.package}{extra}: {version}{minimum}")
        return "\n".join([*lines, *map(str, self.profiles)])


def diagnose(profiles: Iterable[str] = ()) -> Diagnosis:
    """What these profiles need and what of it is here; all profiles by default.

    Raises OptionError for an unknown profile. Missing things are part of the result.
    """
    names = list(profiles) or list(PROFILES)
    devices, broken = _devices()
    states, extras = [], ["", *_OPTIONAL]
    for name in names:
        wanted = needs(Options.load(name))
        extras += [need.extra for need in wanted]
        states.append(ProfileState(name, tuple(_state(name, need, broken) for need in wanted)))
    packages = [each for extra in dict.fromkeys(extras) for each in stated(extra)]
    return Diagnosis(
        seal=__version__,
        python=platform.python_version(),
        ffmpeg=_ffmpeg(),
        devices=devices,
        packages=tuple(packages),
        profiles=tuple(states),
    )


def _no_torch() -> str:
    """What there is to compute on where torch cannot say so."""
    if dependency("torch", "models").version is None:
        return "cpu (torch, which finds GPUs, is not installed: mini does without)"
    return "unknown: torch is installed and broken"


def _state(profile: str, need: Need, broken: str | None) -> StageState:
    """`broken` says why torch, which most models run on, cannot be imported."""
    unmet = [package for package in need.packages if not package.is_met]
    problems = [f"{each} is needed, found {each.version or 'none'}" for each in unmet]
    remedies = [each.remedy for each in unmet]
    if need.model is not None and need.layout == TORCH and broken is not None:
        problems.append(broken)
    folder = None
    if need.model is not None:
        try:
            folder = folder_of(need.model, need.revision, need.layout, offline=True)
            check_whole(folder)
        except BackendError as error:
            problems.append("the model is not here" if folder is None else str(error))
            remedies.append(f"seal prepare {profile}")
    there = [] if folder is None else list(folder.iterdir())
    files = [path for path in there if need.layout.is_loaded(path.name)]
    return StageState(
        need,
        None if folder is None else sum(path.stat().st_size for path in files),
        tuple(problems),
        tuple(dict.fromkeys(remedies)),
    )


def _ffmpeg() -> str:
    try:
        import av
    # A library of the system that it needs may be missing as well.
    except (ImportError, OSError) as error:
        return f"unknown: PyAV cannot be imported ({error})"
    return f"{av.ffmpeg_version_info} (PyAV {av.__version__})"


def _devices() -> tuple[tuple[str, ...], str | None]:
    """What torch can compute on, and what is wrong with an installed torch."""
    if dependency("torch", "models").version is None:
        return (), None
    try:
        torch = require("torch")
    except BackendError as error:
        return (), str(error)
    found = [
        f"{kind}:{number} ({getattr(torch, kind).get_device_name(number)})"
        for kind in ("cuda", "xpu")
        for number in range(count_devices(kind))
    ]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return (*found, "cpu"), None
