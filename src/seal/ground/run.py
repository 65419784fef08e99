"""The folder of a training run: what it was made from, its curve, and what it goes on from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE as WEIGHTS
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from seal.errors import BackendError, OptionError
from seal.ground.model import Head

HEAD, STATE, CURVE, MANIFEST = "head", "state.safetensors", "curve.jsonl", "manifest.json"
_LIBRARIES = ("seal-video", "torch", "accelerate", "numpy", "safetensors")


class State:
    """All that a step changes: the weights, their running mean, and the optimiser's moments."""

    def __init__(self, head: Head, optimizer: torch.optim.Optimizer) -> None:
        self.weights = dict(head.named_parameters())
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self._optimizer = optimizer

    def follow(self, decay: float) -> None:
        """Move the running mean towards the weights."""
        with torch.no_grad():
            for name, weight in self.average.items():
                weight.lerp_(self.weights[name].detach(), 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name."""
        found = {f"weights.{name}": weight.detach() for name, weight in self.weights.items()}
        found |= {f"average.{name}": weight for name, weight in self.average.items()}
        for name, weight in self.weights.items():
            moments = self._optimizer.state[weight]
            found |= {f"optimizer.{key}.{name}": value for key, value in moments.items()}
        return {name: value.cpu().contiguous() for name, value in found.items()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Raises KeyError or RuntimeError for those of another head."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(tensors[f"weights.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
                self._optimizer.state[weight] = {
                    key: tensors[f"optimizer.{key}.{name}"].to(weight.device, copy=True)
                    for key in ("exp_avg", "exp_avg_sq")
                } | {"step": tensors[f"optimizer.step.{name}"].clone()}


class Run:
    """The folder of a run with these `settings`: a new one, or one to go on with.

    Of several processes that train together one `writes`; `loss` is that of the last step.

    Raises OptionError if it holds a run with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], writes: bool = True) -> None:
        self._folder, self._settings, self._writes = folder, settings, writes
        self._began = time.monotonic()
        self.loss = float("nan")
        path = folder / MANIFEST
        before = json.loads(path.read_text("utf-8")) if path.is_file() else settings
        odd = [key for key, value in settings.items() if before.get(key) != value]
        if odd:
            raise OptionError(
                f"{folder} holds a run of which {', '.join(odd)} differ: go on with the same"
                " options and data, or choose another folder"
            )

    def resume(self, state: State) -> int:
        """How many steps are done, with `state` as it was then; the curve ends there too.

        Raises BackendError if what was saved is damaged.
        """
        done = self._load(state) if (self._folder / STATE).is_file() else 0
        curve = self._folder / CURVE
        lines = curve.read_text("utf-8").splitlines(keepends=True)[:done] if done else []
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

    def save(self, step: int, state: State, head: Head) -> None:
        """What to go on from, and the head as it is, after so many steps."""
        self._curve.flush()
        os.fsync(self._curve.fileno())
        _write(self._folder / STATE, save(state.tensors(), {"step": str(step)}))
        trained = {name: weight.cpu() for name, weight in state.average.items()}
        _write(self._folder / HEAD / WEIGHTS, save(trained))
        _write(self._folder / HEAD / "config.json", _as_json(asdict(head.sizes)))

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


def made_with() -> dict[str, Any]:
    """Versions, the machine, and the revision of the source where it is a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.platform(),
        "revision": found.stdout.strip() or None,
    }


def _as_json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
