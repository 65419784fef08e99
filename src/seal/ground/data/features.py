"""Features of videos, extracted by others: a row for each of many stretches of equal length.

A folder has a file for each video: .npy, .npz, .safetensors, or .pt with a tensor and nothing that
would have to be unpickled. Or all are in one .hdf5 file, under the names of the videos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from seal.datacheck import Problem
from seal.errors import DataError
from seal.ground.data.samples import Sample
from seal.types import Float32
from seal.weights import require

_SUFFIXES = (".npy", ".npz", ".safetensors", ".pt")
_H5_ENDINGS = ("", ".avi", "/c3d_features")
"""What follows a video's name in the files published for Charades-STA, TACoS and ActivityNet."""


class Features:
    """The features of videos, in a folder or an .hdf5 file.

    `dimension` is d, where it has to be a certain one. `rate_hz` is how many rows a second has.
    Where it is given, a clip without features of its own gets its part of the rows of the video
    that it was taken from. Those published with Ego4D are of whole videos, at 30 / 16 Hz.

    Raises DataError if there is nothing at `path`.
    """

    def __init__(
        self, path: str | Path, dimension: int | None = None, rate_hz: float | None = None
    ) -> None:
        self.path = Path(path)
        self.dimension = dimension
        self.rate_hz = rate_hz
        if not self.path.exists():
            raise DataError(f"there are no features at {path}")

    def of(self, sample: Sample) -> Float32:
        """[n, d], finite, n >= 1: the sample's video in equal stretches from its start to its end.

        Raises DataError, naming the file, if it is missing or damaged, has NaN, or another d.
        """
        features = self._find(sample.video)
        whole = sample.part_of
        if features is None and whole is not None and self.rate_hz is not None:
            features = self._find(whole.video)
            if features is not None:
                first = round(whole.span.start_s * self.rate_hz)
                last = round(whole.span.end_s * self.rate_hz)
                features = features[first:last]
        if features is None:
            kinds = ", ".join(_SUFFIXES)
            raise DataError(f"{self.path} has no features of {sample.video} ({kinds}, .hdf5)")
        if not len(features):
            raise DataError(f"the features in {self.path} end before {sample.video} begins")
        return features

    def words_of(self, query: str) -> Float32:
        """[t, d], finite, t >= 1: the words of a query, by its id (`Sample.id`).

        Raises DataError as `of` does.
        """
        words = self._find(query)
        if words is None:
            raise DataError(f"{self.path} has no features of the words of query {query}")
        return words

    def has(self, sample: Sample) -> bool:
        """Whether there are features of the sample's video, whatever state they are in."""
        whole = sample.part_of
        names = [sample.video]
        if whole is not None and self.rate_hz is not None:
            names.append(whole.video)
        return any(self._is_there(name) for name in names)

    def _is_there(self, name: str) -> bool:
        if self.path.is_file():
            return self._key(name) is not None
        return any((self.path / f"{name}{suffix}").is_file() for suffix in _SUFFIXES)

    def _find(self, video: str) -> Float32 | None:
        """All rows of a video by its name, or None."""
        if self.path.is_file():
            return self._find_h5(video)
        for suffix in _SUFFIXES:
            path = self.path / f"{video}{suffix}"
            if path.is_file():
                return self._checked(str(path), _load(path))
        return None

    def _find_h5(self, video: str) -> Float32 | None:
        key = self._key(video)
        if key is None:
            return None
        with self._opened() as file:
            return self._checked(f"{self.path}, {key}", file[key][()])

    def _key(self, video: str) -> str | None:
        """The name under which an .hdf5 file has the features of a video."""
        h5py = require("h5py", "train")
        with self._opened() as file:
            keys = (video + ending for ending in _H5_ENDINGS)
            return next((key for key in keys if isinstance(file.get(key), h5py.Dataset)), None)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with require("h5py", "train").File(self.path, "r") as file:
                yield file
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from error

    def _checked(self, name: str, features: Any) -> Float32:
        if features.ndim != 2 or features.dtype.kind not in "fiu" or not features.size:
            came = f"{features.dtype} {list(features.shape)}"
            raise DataError(f"{name}: expected features as numbers [n, d], got {came}")
        if self.dimension not in (None, features.shape[1]):
            came = f"{features.shape[1]} dimensions, not {self.dimension}"
            raise DataError(f"{name}: the features have {came}")
        wrong = ~np.isfinite(features).all(1)
        if wrong.any():
            raise DataError(f"{name}: row {wrong.argmax()} of the features is not finite")
        return np.asarray(features, np.float32)


def feature_stores(folder: Path) -> list[Path]:
    """Where there are features in a folder, if there is one: in folders and .hdf5 files in it, each
    with features of another kind, or else in itself."""
    inner = [path for path in folder.glob("*") if path.is_dir() or path.suffix in (".hdf5", ".h5")]
    return sorted(inner) or [path for path in (folder,) if path.is_dir()]


def check_features(features: Features, samples: Iterable[Sample]) -> tuple[int, list[Problem]]:
    """Of how many samples' videos there are features, and what is wrong with all of them.

    Rows must have as many dimensions as most have.
    """
    problems = []
    dimensions: dict[str, int] = {}
    for sample in samples:
        try:
            found = features.of(sample)
        except DataError as error:
            problems.append(Problem("features", sample.video, str(error)))
            continue
        dimensions[sample.video] = found.shape[1]
    if dimensions:
        usual = Counter(dimensions.values()).most_common(1)[0][0]
        problems += [
            Problem("features", video, f"{came} dimensions, where most have {usual}")
            for video, came in dimensions.items()
            if came != usual
        ]
    return len(dimensions), problems


def _load(path: Path) -> Any:
    """The array of a file, or DataError: what damaged files raise is each library's own."""
    torch = require("torch") if path.suffix == ".pt" else None
    safetensors = require("safetensors.numpy") if path.suffix == ".safetensors" else None
    try:
        if torch is not None:
            tensor = torch.load(path, map_location="cpu", weights_only=True)
            return tensor.float().numpy()
        if safetensors is not None:
            return _only(safetensors.load_file(path))
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else _only(loaded)
    except Exception as error:
        raise DataError(f"{path} cannot be read as features: {error}") from error


def _only(arrays: Mapping[str, Any]) -> Any:
    """The array called features, or token_features where it is of words, or the only one."""
    for name in ("features", "token_features"):
        if name in arrays:
            return arrays[name]
    (array,) = arrays.values()
    return array
