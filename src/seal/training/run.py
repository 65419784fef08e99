"""The folder of a training run: what it was made from, its curve, and what it goes on from."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from seal.errors import BackendError, DataError, OptionError
from seal.files import read_json, read_text, writing
from seal.training.state import State

STATE, CURVE, MANIFEST = "state.safetensors", "curve.jsonl", "manifest.json"
_LIBRARIES = ("seal-video", "torch", "accelerate", "numpy", "safetensors", "transformers", "peft")


_LISTED = 4
"""How many differences of two runs an error names."""
_SHORT = 60
"""Longer values are not printed."""


class TrainingTask(ABC):
    """What is trained, and for what: all in which one training differs from another."""

    network: Any
    """A module of torch; its parameters that need gradients are trained."""
    result: str
    """The name of the folder, in that of the run, for what comes out."""
    saves_frozen = False
    """Whether the result has the weights that are not trained, too."""

    @abstractmethod
    def losses(self, model: Any, batch: Any) -> dict[str, Tensor]:
        """Numbers by name, of which "loss" is to become small; `model` is called as the network."""

    @abstractmethod
    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        """Write the network as it is used after training into an empty folder.

        `weights` are those that the result has, by name and whole.
        """


class TrainingRun:
    """The folder of a run with these `settings`: a new one, or one to go on with.

    Of several processes that train together one `writes`; `loss` is that of the last step.

    Raises OptionError if it holds a run with other settings, DataError if it cannot be used.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], writes: bool = True) -> None:
        self._folder, self._settings, self._writes = folder, settings, writes
        self._began = time.monotonic()
        self.loss = float("nan")
        if folder.exists() and not folder.is_dir():
            raise OptionError(f"{folder} is a file; a run is a folder: choose another")
        path = folder / MANIFEST
        before = read_json(path) if path.is_file() else settings
        if not isinstance(before, dict):
            raise DataError(f"{path} is not that of a run: choose another folder")
        odd = [
            line for key, value in settings.items() for line in _odd(key, before.get(key), value)
        ]
        if odd:
            more = f" and {len(odd) - _LISTED} more" if len(odd) > _LISTED else ""
            raise OptionError(
                f"{folder} holds a run with {'; '.join(odd[:_LISTED])}{more}: go on with the same"
                " options and data, or choose another folder"
            )

    def resume(self, state: State) -> int:
        """How many steps are done, with `state` as it was then; the curve ends there too.

        Raises BackendError if what was saved is damaged, DataError if nothing can be written.
        """
        done = self._load(state) if (self._folder / STATE).is_file() else 0
        curve = self._folder / CURVE
        lines = read_text(curve).splitlines(keepends=True)[:done] if done else []
        if len(lines) < done:
            raise BackendError(f"{curve} lacks steps that {STATE} has: start in another folder")
        self.loss = json.loads(lines[-1])["loss"] if lines else self.loss
        if not self._writes:
            return done
        _write(curve, "".join(lines).encode())
        _write(self._folder / MANIFEST, _as_json(self._settings | {"made_with": made_with()}))
        self._curve = curve.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(self._folder), purge_step=done)
        return done

    def _load(self, state: State) -> int:
        path = self._folder / STATE
        try:
            with safe_open(path, "pt") as stored:
                state.load({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118
                return int(stored.metadata()["step"])
        except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BackendError(
                f"{path} is damaged ({error}): remove it to start this run again"
            ) from error

    def log(self, step: int, values: dict[str, float]) -> None:
        """The figures of one step, to the last digit."""
        self.loss = values["loss"]
        if not self._writes:
            return
        self._curve.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def save(self, step: int, state: State, task: TrainingTask) -> None:
        """After so many steps: the result of the task, and then what to go on from, so that no step
        is done of which the result does not know. All processes call this together."""
        if self._writes:
            self._curve.flush()
            os.fsync(self._curve.fileno())
        with state.averaged():
            weights = state.weights(task.saves_frozen, self._writes)
            if self._writes:
                _write_folder(self._folder / task.result, lambda new: task.save(new, weights))
        tensors = state.tensors(self._writes)
        if self._writes:
            _write(self._folder / STATE, save(tensors, {"step": str(step)}))

    def close(self) -> None:
        """Close the files."""
        if self._writes:
            self._curve.close()
            self._events.close()

    def finish(self, figures: dict[str, Any]) -> None:
        """Put the time it took and `figures` into the manifest."""
        took = {"seconds": time.monotonic() - self._began} | figures
        path = self._folder / MANIFEST
        _write(path, _as_json(json.loads(path.read_text("utf-8")) | {"finished": took}))


def _odd(key: str, before: Any, now: Any) -> list[str]:
    """What differs between two settings of a run, each difference with its key and both values."""
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*now, *(name for name in before if name not in now)]
        return [
            line for name in keys for line in _odd(f"{key}.{name}", before.get(name), now.get(name))
        ]
    was, here = (json.dumps(value, default=str) for value in (before, now))
    if max(len(was), len(here)) > _SHORT:
        return [f"other {key}"]
    return [f"{key}={was} (here {here})"]


def made_with() -> dict[str, Any]:
    """Versions, the machine, and the revision of the source where it is a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "versions": {name: _version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.platform(),
        "revision": found.stdout.strip() or None,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _as_json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, whatever happens in between."""
    new = path.with_name(path.name + ".new")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content)
        _sync(new)
        os.replace(new, path)


def _write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """The same of a folder; a run that is killed while the old one makes way goes on before it."""
    new, old = (path.with_name(path.name + suffix) for suffix in (".new", ".old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    with writing(path):
        new.mkdir(parents=True)
        fill(new)
        for file in filter(Path.is_file, new.rglob("*")):
            # safetensors makes files that nobody else may read.
            file.chmod(0o666 & ~_umask())
            _sync(file)
        if path.exists():
            path.rename(old)
        new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    """The bits that new files of this process lack. Asking for it sets it for a moment."""
    os.umask(mask := os.umask(0o077))
    return mask


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
