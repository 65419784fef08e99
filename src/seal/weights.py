"""Weights from the model hub or a local folder: no pickles, no code of a model.

Networks of torch come as safetensors alone. Those of CTranslate2 have a format of their own, which
holds arrays and no code.

    weights = locate("facebook/sam2.1-hiera-tiny", "main")
    model = load_model("Sam2Model", weights, "cpu")

torch and transformers are imported here only when something is loaded.
"""

from __future__ import annotations

import json
import logging
import shlex
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal.dependencies import dependency, target
from seal.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# The files that loading reads: configurations, vocabularies of tokenizers, templates of chats, and
# weights under the names that the library looks for. Nothing else is ever downloaded, so no pickle
# reaches the disk.
_log = logging.getLogger(__name__)
_TORCH_FILES = (
    "*.json",
    "*.txt",
    "*.model",
    "*.jinja",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "adapter_model.safetensors",
)
_CTRANSLATE_FILES = (
    *("config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.*", "model.bin"),
)
# Loading reads the top folder alone. Repositories keep copies for other libraries below it.
NESTED = "*/*"
INDEX = "model.safetensors.index.json"
# Versions of CTranslate2's format whose arrays are written alike.
_CONVERTED_VERSIONS = (4, 5, 6)
_remedy: ContextVar[str | None] = ContextVar("remedy", default=None)
"""The command that fetches what may not be fetched here; None where weights may be."""


@dataclass(frozen=True)
class Layout:
    """The files of one family of models."""

    extra: str
    """The extra of SEAL that loads them."""
    files: tuple[str, ...]
    """Patterns of the names that loading reads."""
    needed: str
    """What has to be there, as an error says it."""
    heads: tuple[tuple[str, bytes], ...] = ()
    """Files that have to be there, and the bytes with which they begin after the first four."""

    def is_loaded(self, name: str) -> bool:
        """Whether loading reads a file of this name, relative to the model's folder."""
        return not fnmatch(name, NESTED) and any(fnmatch(name, each) for each in self.files)

    def is_met(self, names: Iterable[str]) -> bool:
        """Whether these files are enough."""
        there = {*names}
        if self.heads:
            return {name for name, _ in self.heads} <= there
        configured = {"config.json", "adapter_config.json"} & there
        return bool(configured) and any(name.endswith(".safetensors") for name in there)


TORCH = Layout("models", _TORCH_FILES, "config.json and *.safetensors files")
# A converted model states a version, the length of a name with its end, and that name.
WHISPER = Layout(
    "speech",
    _CTRANSLATE_FILES,
    "model.bin, config.json and tokenizer.json of a Whisper that is converted for CTranslate2",
    (("model.bin", b"\x0c\0WhisperSpec\0"), ("config.json", b""), ("tokenizer.json", b"")),
)


def layout_of(extra: str) -> Layout:
    """The files of the models that an extra loads."""
    return WHISPER if extra == WHISPER.extra else TORCH


@dataclass(frozen=True)
class Weights:
    """Where a model's files are, and which ones they are."""

    folder: Path
    """Holds config.json, the files of weights and what else the model came with."""
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


# What each extra is for.
_PURPOSES = {
    "models": "running models",
    "train": "training",
    "answer": "asking an endpoint",
    "eval": "this evaluation",
    "quantize": "training on 4-bit weights",
    "speech": "hearing speech",
}


def require(module: str, extra: str = "models") -> Any:
    """Import a module of an extra; BackendError that says how to install it."""
    return dependency(module.partition(".")[0], extra).require(_PURPOSES[extra], module)


def library_class(name: str) -> Any:
    """A class of transformers; BackendError if the installed one cannot give it."""
    transformers = require("transformers")
    try:
        return getattr(transformers, name)
    # A torchvision that does not fit torch makes this import fail, with a RuntimeError.
    except (ImportError, AttributeError, RuntimeError) as error:
        raise BackendError(
            f"transformers {transformers.__version__} cannot give {name} ({error}):"
            f" pip install -U {target('models')}; a torchvision that does not fit the installed"
            " torch also does this, and SEAL needs none: pip uninstall torchvision"
        ) from error


@contextmanager
def nothing_fetched(stage: str, options: Mapping[str, object]) -> Iterator[None]:
    """Inside, `locate` opens no connection: a file names the weights, and not the user.

    The error for weights that are not here names the command that downloads them, made of the
    `options` of a stage.
    """
    keys = [key for key in ("backend", "weights", "model", "revision") if key in options]
    settings = [part for key in keys for part in ("--set", f"{stage}.{key}={options[key]}")]
    token = _remedy.set(shlex.join(["seal", "prepare", "mini", *settings]))
    try:
        yield
    finally:
        _remedy.reset(token)


def locate(name: str, revision: str, layout: Layout = TORCH) -> Weights:
    """The files of a model: a local folder, or a name on the hub, which is cached.

    Without a network the copy in the hub's cache is used. Raises BackendError, saying what to put
    where, if there is neither, or if the files are not those of the layout.
    """
    folder = folder_of(name, revision, layout, offline=_remedy.get() is not None)
    if Path(name).expanduser().is_dir():
        return Weights(folder, f"{folder.name}@{_content_hash(folder, layout)}")
    return Weights(folder, f"{name}@{folder.name}")


def folder_of(name: str, revision: str, layout: Layout = TORCH, *, offline: bool = False) -> Path:
    """The folder that `locate` reads; `offline` opens no connection. Raises as `locate` does."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        cache = require("huggingface_hub.constants", layout.extra).HF_HUB_CACHE
        try:
            folder = download(name, revision, layout, offline=offline)
        except (OSError, ValueError) as error:  # every error of the hub's client is one of these
            if remedy := _remedy.get():
                raise BackendError(
                    f"no weights {name!r} (revision {revision!r}): not a folder, and not complete"
                    f" in the cache {cache}. A store or an adapter names them, and you did not, so"
                    f" that they are not downloaded. If you want them: {remedy}"
                ) from error
            raise BackendError(
                f"no weights {name!r} (revision {revision!r}): not a folder, not complete in the"
                f" cache {cache}, and the hub cannot give them"
                f" ({str(error).splitlines()[0]}). Connect to the network, or log in if the model"
                f" is gated, or download {layout.needed} elsewhere and set `weights`"
                " to their folder"
            ) from error
    _check(folder, name, layout)
    return folder


def download(name: str, revision: str, layout: Layout = TORCH, *, offline: bool = False) -> Path:
    """The folder in the hub's cache, into which the files are downloaded that are not there yet.

    Raises what the hub's client raises.
    """
    return Path(
        require("huggingface_hub", layout.extra).snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(layout.files),
            ignore_patterns=[NESTED],
            local_files_only=offline,
        )
    )


def load_part(kind: Any, weights: Weights, **more: Any) -> Any:
    """What a class of transformers, such as AutoTokenizer, makes of the files of a model.

    Nothing is fetched, and no code that came with the model is run. Raises errors of any kind;
    `reason` says what is wrong.
    """
    return kind.from_pretrained(
        weights.folder, local_files_only=True, trust_remote_code=False, **more
    )


def needs_code(error: Exception) -> bool:
    """Whether transformers would have to run code that came with the model."""
    return "trust_remote_code" in str(error)


def reason(error: Exception) -> str:
    """Why files of a model do not load, on one line."""
    if not needs_code(error):
        return " ".join(str(error).split())
    return (
        "it needs Python code that comes with the model, and SEAL never runs such code; choose a"
        " model that transformers itself knows"
    )


def load_model(
    class_name: str,
    weights: Weights,
    device: str,
    renamed: dict[str, str] | None = None,
    dtype: str = "float32",
    device_map: str | Mapping[str, int | str] | None = None,
    quantization: Any = None,
    attention: str | None = None,
) -> Any:
    """A transformers model on `device`, of this `dtype` of torch and in evaluation mode.

    With a `device_map` of accelerate, its layers are spread over all devices instead.
    `quantization`, a configuration of transformers, says in which form the weights are kept,
    `attention` names an implementation of attention in transformers.

    `renamed` gives patterns in the names of the weights and what to put in their place, where the
    library does not know that a checkpoint has them under other names.

    Raises BackendError if transformers has no such class, or if the files lack some of its
    weights. A network with a few layers left at random would run and give nonsense.
    """
    _log.info("loading %s from %s onto %s", class_name, weights.folder, device_map or device)
    torch, transformers = require("torch"), require("transformers")
    more = {} if quantization is None else {"quantization_config": quantization}
    if attention is not None:
        more["attn_implementation"] = attention
    model_class = library_class(class_name)
    try:
        with _quiet(transformers):
            model, report = load_part(
                model_class,
                weights,
                use_safetensors=True,
                dtype=getattr(torch, dtype),
                output_loading_info=True,
                key_mapping=renamed,
                ignore_mismatched_sizes=True,
                device_map=device_map,
                **more,
            )
    # Damaged files and another model's configuration fail anywhere inside, with errors of any kind.
    except Exception as error:
        raise BackendError(
            f"{weights.folder} does not load as {class_name}: {reason(error)}"
        ) from error
    # A mismatched key comes as (name, shape in the file, shape in the model).
    lacking = sorted([*report["missing_keys"], *(key[0] for key in report["mismatched_keys"])])
    if lacking:
        raise BackendError(
            f"{weights.folder} is no {class_name}: {len(lacking)} of its weights are not there or"
            f" of another shape, {lacking[0]} for one"
        )
    return (model if device_map else model.to(device)).eval()


def check_whole(folder: Path) -> None:
    """Raise BackendError if a file of weights is missing or cut off.

    The index of a model in several files names all of them.
    """
    named = set(Weights(folder, "").json(INDEX).get("weight_map", {}).values())
    paths = {*folder.glob("*.safetensors"), *(folder / name for name in named)}
    for path in sorted(paths | {*folder.glob("model.bin")}):
        try:
            _check_length(path) if path.suffix == ".safetensors" else _check_converted(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # noqa: PERF203
            raise BackendError(
                f"{path.resolve()} is missing or damaged ({error}): delete it and fetch it again"
            ) from error


def _check_length(path: Path) -> None:
    """Compare the length of a safetensors file with the length that its header gives.

    The file holds 8 bytes with the length of the header (little-endian), the header, which says
    where each tensor ends, and the tensors.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > size:
            raise ValueError(f"it ends after {size:,} bytes, within its header")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    ends = [tensor["data_offsets"][1] for tensor in header.values()]
    whole = 8 + length + max(ends, default=0)
    if size != whole:
        raise ValueError(f"it has {size:,} bytes of {whole:,}")


def _check_converted(path: Path) -> None:
    """Walk through a model that is converted for CTranslate2, from array to array.

    The file holds its version (little-endian, as all numbers), the name of the family, a revision
    and a count of arrays. Each array has a name, its shape, a type, its size in bytes and its
    content. Second names of arrays follow. Names have their length before them.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def number(length: int) -> int:
            return int.from_bytes(file.read(length), "little")

        version = number(4)
        file.seek(number(2), 1)
        if version not in _CONVERTED_VERSIONS:
            return
        number(4)

        def skip(length: int) -> None:
            file.seek(length, 1)
            if file.tell() > size:
                raise ValueError(f"it has {size:,} bytes of {file.tell():,} at least")

        for _ in range(number(4)):
            skip(number(2))
            skip(4 * number(1) + 1)
            skip(number(4))
        # Two names for one array.
        for _ in range(number(4)):
            skip(number(2))
            skip(number(2))


def _check(folder: Path, name: str, layout: Layout) -> None:
    if not layout.is_met(path.name for path in folder.iterdir() if path.is_file()):
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise BackendError(
            f"the weights {name!r} need {layout.needed} in one folder; {folder} has"
            f" {there or 'no files'}. SEAL reads no pickles (*.bin, *.pt of torch): choose another"
            " revision or another model"
        )
    for file, head in layout.heads:
        with (folder / file).open("rb") as opened:
            opened.seek(4)
            if opened.read(len(head)) != head:
                raise BackendError(
                    f"{folder / file} is something else than {layout.needed}: choose another folder"
                    " or another model"
                )


def _content_hash(folder: Path, layout: Layout) -> str:
    """A hash of every file that decides what a model computes."""
    files = sorted({path for pattern in layout.files for path in folder.glob(pattern)})
    content = blake2b(digest_size=8)
    for path in files:
        content.update(f"{path.name}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                content.update(block)
    return content.hexdigest()


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bar is shown for reading files from the disk. Nor is a table shown of the weights that one
    half of a model leaves aside (those that it lacks are an error). Standard error belongs to the
    progress of the index."""
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
