"""Data sets of queries about videos, and features of the videos.

data = read("charades-sta", "data/charades", "train")
print(len(data.samples), data.reasons())
features = Features("data/charades/i3d", dimension=1024)
features.of(data.samples[0])
"""

from __future__ import annotations

from pathlib import Path

from seal import backends
from seal.datacheck import Skipped
from seal.errors import OptionError
from seal.ground.data.features import Features
from seal.ground.data.samples import Dataset, Sample, SampleError, SplitPart
from seal.ground.data.sources import Source

__all__ = [
    "Dataset",
    "Features",
    "Sample",
    "SampleError",
    "Skipped",
    "Source",
    "SplitPart",
    "read",
    "source",
]


def source(name: str) -> Source:
    """The data set of localisation of this name. Raises OptionError, listing all, for another."""
    found = backends.resolve("data set", name)
    if not isinstance(found, Source):
        raise OptionError(f"{name} is no data set of temporal localisation")
    return found


def read(name: str, folder: str | Path, split: str) -> Dataset:
    """The queries of a split of a data set, which is laid out in `folder` as published.

    Raises OptionError for an unknown name or split, DataError, naming the file, if one is missing
    or not as published. Queries that cannot be used are left out and told of, and so is what was
    cut off or left out of the spans of the others.
    """
    return source(name).read(folder, split)
