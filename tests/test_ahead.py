"""Decoding ahead of the networks: in order, in bounds, errors where they belong."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seal import Options, VideoError
from seal.decompose import Instances
from seal.encode import Encoder
from seal.ingest import index
from seal.ingest.ahead import read_ahead
from seal.ingest.places import uses_devices
from seal.store import Store
from synthetic import write_video


def test_items_come_in_their_order() -> None:
    assert list(read_ahead(iter(range(100)), 7)) == list(range(100))
    assert list(read_ahead(iter(()), 7)) == []


def test_a_thread_is_so_far_ahead_and_no_further() -> None:
    reached = threading.Semaphore(0)
    read = []

    def items() -> Iterator[int]:
        for i in range(50):
            read.append(i)
            reached.release()
            yield i

    ahead = read_ahead(items(), 5)
    assert next(ahead) == 0
    # The one that was given, and five that wait.
    for _ in range(6):
        assert reached.acquire(timeout=30)
    assert not reached.acquire(timeout=0.2)
    assert read == list(range(6))
    assert list(ahead) == list(range(1, 50))


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise VideoError("broken")

    ahead, got = read_ahead(items(), 8), []
    with pytest.raises(VideoError, match="broken"):
        got.extend(item for item in ahead)
    assert got == [0, 1, 2]


def test_an_early_end_leaves_no_thread() -> None:
    before = threading.active_count()
    ahead = read_ahead(iter(range(1000)), 4)
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


class Threads(Encoder):
    """Notes which threads are alive while pictures are embedded."""

    fingerprint, dimension, facets = "threads", 4, 1

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def encode_images(self, images: object) -> np.ndarray:
        self.seen |= {thread.name.partition("_")[0] for thread in threading.enumerate()}
        return np.full((len(images), 1, 4), 0.5, np.float32)  # type: ignore[arg-type]

    def encode_texts(self, texts: object) -> np.ndarray:
        raise AssertionError("nothing is asked")


@pytest.mark.parametrize("device", [None, "cpu"])
def test_only_what_has_a_device_is_read_ahead(
    tmp_path: Path, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "film.mp4", range(0, 40_000, 200))
    settings = ["segment.backend=classical", "track.backend=motion", "detect.backend=none"]
    options = Options.load("mini", settings)
    if device:
        monkeypatch.setattr("seal.ingest.work.uses_devices", lambda options: True)
    assert not uses_devices(options)
    encoder, store = Threads(), Store(tmp_path / "store", create=True)
    record = index(path, store, options, instances=Instances(encoder=encoder))
    assert record.duration_s == pytest.approx(40, abs=1)
    assert ("decoding" in encoder.seen) == (device is not None)
