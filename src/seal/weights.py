"""Weights from the model hub or a local folder: safetensors only, nothing unpickles.

    weights = locate("facebook/sam2.1-hiera-tiny", "main")
    model = load_model("Sam2Model", weights, resolve_device("auto"))

torch and transformers are imported here only when something is loaded.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Configurations, weights, vocabularies of tokenizers and templates of chats. Nothing else is ever
# downloaded, so nothing that has to be unpickled reaches the disk.
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class Weights:
    """Where a model's files are, and which ones they are."""

    folder: Path
    """Holds config.json, the safetensors files and what else the model came with."""
    fingerprint: str
    """The hub's name and commit, or for a local folder a hash of the files' contents."""

    def json(self, name: str) -> dict[str, Any]:
        """The contents of one JSON file; empty if the model came without it.

        Raises BackendError for a damaged one.
        """
        path = self.folder / name
        try:
            values: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        except ValueError as error:
            raise BackendError(f"{path} is damaged ({error}): fetch the weights again") from error
        return values


def require(module: str, extra: str = "models") -> Any:
    """Import a module of an extra; BackendError that says how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise BackendError(
            f"this needs {module}, which cannot be imported ({error}):"
            f' pip install "seal-video[{extra}]"'
        ) from error


def library_class(name: str) -> Any:
    """A class of transformers; BackendError if the installed one cannot give it."""
    transformers = require("transformers")
    try:
        return getattr(transformers, name)
    # A torchvision that does not fit torch makes this import fail, with a RuntimeError.
    except (ImportError, AttributeError, RuntimeError) as error:
        raise BackendError(
            f"transformers {transformers.__version__} cannot give {name} ({error}):"
            ' pip install -U "seal-video[models]"; a torchvision that does not fit the installed'
            " torch also does this, and SEAL needs none: pip uninstall torchvision"
        ) from error


def resolve_device(device: str) -> str:
    """`device` as torch writes it, where "auto" is the first CUDA device, else the CPU.

    Raises BackendError for a device that torch does not know or this machine does not have.
    """
    torch = require("torch")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises the latter if built without CUDA
        raise BackendError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]});"
            ' valid: "auto", "cpu", "cuda", "cuda:1", "mps", ...'
        ) from error
    return device


def locate(name: str, revision: str) -> Weights:
    """The files of a model: a local folder, or a name on the hub, which is cached.

    Without a network the copy in the hub's cache is used. Raises BackendError, saying what to put
    where, if there is neither, or if the files hold no safetensors.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check(folder, name)
        return Weights(folder, f"{folder.name}@{_content_hash(folder)}")
    hub = require("huggingface_hub")
    try:
        folder = Path(hub.snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except (OSError, ValueError) as error:  # every error of the hub's client is one of these
        raise BackendError(
            f"no weights {name!r} (revision {revision!r}): not a folder, not complete in the cache"
            f" {hub.constants.HF_HUB_CACHE}, and the hub cannot give them"
            f" ({str(error).splitlines()[0]}). Connect to the network, or log in if the model is"
            " gated, or download config.json and *.safetensors elsewhere and set `weights` to"
            " their folder"
        ) from error
    _check(folder, name)
    return Weights(folder, f"{name}@{folder.name}")


def load_model(
    class_name: str,
    weights: Weights,
    device: str,
    renamed: dict[str, str] | None = None,
    dtype: str = "float32",
) -> Any:
    """A transformers model on `device`, of this `dtype` of torch and in evaluation mode.

    `renamed` gives patterns in the names of the weights and what to put in their place, where the
    library does not know that a checkpoint has them under other names.

    Raises BackendError if transformers has no such class, or if the files lack some of its
    weights: a network with a few layers left at random would run and give nonsense.
    """
    torch, transformers = require("torch"), require("transformers")
    model_class = library_class(class_name)
    try:
        with _quiet(transformers):
            model, report = model_class.from_pretrained(
                weights.folder,
                use_safetensors=True,
                local_files_only=True,
                dtype=getattr(torch, dtype),
                output_loading_info=True,
                key_mapping=renamed,
                ignore_mismatched_sizes=True,
            )
    # Damaged files and another model's configuration fail anywhere inside, with errors of any kind.
    except Exception as error:
        raise BackendError(f"{weights.folder} does not load as {class_name}: {error}") from error
    # A mismatched key comes as (name, shape in the file, shape in the model).
    lacking = sorted([*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])])
    if lacking:
        raise BackendError(
            f"{weights.folder} is no {class_name}: {len(lacking)} of its weights are not there or"
            f" of another shape, {lacking[0]} for one"
        )
    return model.to(device).eval()


def _check(folder: Path, name: str) -> None:
    settings = any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
    if not settings or not any(folder.glob("*.safetensors")):
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise BackendError(
            f"the weights {name!r} need config.json and *.safetensors files in one folder;"
            f" {folder} has {there or 'no files'}."
            " SEAL reads no pickles (*.bin, *.pt): choose a revision or a model with safetensors"
        )


def _content_hash(folder: Path) -> str:
    """A hash of every file that decides what a model computes."""
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    content = blake2b(digest_size=8)
    for path in files:
        content.update(f"{path.name}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                content.update(block)
    return content.hexdigest()


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bar for reading files from the disk, and no table of the weights that one half of a model
    leaves aside (those that it lacks are an error): stderr belongs to the progress of the index."""
    logging = transformers.utils.logging
    had_bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()
