"""Where networks run, and how: the device, the precision, the kind of attention, compilation.

runtime = Runtime.of(options)
model = runtime.load("Sam2Model", weights)
with runtime.running():
    output = model(...)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from seal.config.indexing import NetworkRun
from seal.errors import BackendError
from seal.weights import Weights, load_model, require

_ACCELERATORS = ("cuda", "xpu", "mps")
"""What "auto" looks for, in this order."""
# The sixteen bits of a number of which products are summed in 32. Apple's devices have no advantage
# from them here, and CPUs only from bfloat16, if at all.
_HALVES = {"cuda", "xpu"}


def resolve_device(device: str) -> str:
    """`device` as torch writes it, where "auto" is the first CUDA, XPU or MPS device that is there,
    else the CPU.

    Raises BackendError for a device that torch does not know or this machine does not have.
    """
    torch = require("torch")
    if device == "auto":
        return next((kind for kind in _ACCELERATORS if _is_there(torch, kind)), "cpu")
    kind, _, number = device.partition(":")
    if kind in _ACCELERATORS and not _is_there(torch, kind):
        raise _refused(device, f"torch {torch.__version__} finds no {kind} device on this machine")
    if number.isdigit() and kind in _ACCELERATORS and int(number) >= count_devices(kind):
        raise _refused(device, f"torch finds {count_devices(kind)} of its kind")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises the latter if built without CUDA
        raise _refused(device, str(error).splitlines()[0]) from error
    return device


def count_devices(kind: str) -> int:
    """How many devices of a kind ("cuda", "xpu", "mps", "cpu") torch finds here."""
    torch = require("torch")
    if kind == "cpu":
        return 1
    return int(getattr(torch, kind).device_count()) if _is_there(torch, kind) else 0


def _is_there(torch: Any, kind: str) -> bool:
    backend = getattr(torch.backends, kind) if kind == "mps" else getattr(torch, kind, None)
    return backend is not None and bool(backend.is_available())


def _refused(device: str, why: str) -> BackendError:
    return BackendError(
        f"device {device!r} cannot be used here ({why});"
        ' valid: "auto", "cpu", "cuda", "cuda:1", "xpu", "mps"'
    )


@dataclass(frozen=True)
class Runtime:
    """How a network runs."""

    device: str
    """As torch writes it."""
    dtype: str
    """In which numbers products are computed, as torch writes it: "float32", "bfloat16", ...
    Weights and sums are float32."""
    attention: str
    """The implementation in transformers, "auto" for the fastest one that a network has."""
    compile: bool
    """Whether the network that looks at pictures is compiled."""

    @staticmethod
    def of(options: NetworkRun, half: str = "bfloat16") -> Runtime:
        """What the options of a back end ask for; `half` is the dtype that "auto" means on devices
        that are fast at it.

        Raises BackendError for a device that is not here.
        """
        device = resolve_device(options.device)
        dtype: str = options.dtype
        if dtype == "auto":
            dtype = half if device.partition(":")[0] in _HALVES else "float32"
        return Runtime(device, dtype, options.attention, options.compile)

    def load(self, class_name: str, weights: Weights, renamed: dict[str, str] | None = None) -> Any:
        """A model of transformers on the device; see `seal.weights.load_model`."""
        attention = None if self.attention == "auto" else self.attention
        return load_model(class_name, weights, self.device, renamed, attention=attention)

    def compiled(self, network: Any) -> None:
        """Compile a network in place if that is asked for; it happens when it first runs."""
        if self.compile:
            network.compile()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside, networks give outputs without gradients, with products in `dtype`."""
        torch = require("torch")
        narrow: AbstractContextManager[Any] = nullcontext()
        if self.dtype != "float32":
            kind = self.device.partition(":")[0]
            narrow = torch.autocast(kind, dtype=getattr(torch, self.dtype))
        with torch.inference_mode(), narrow:
            yield
