"""Several devices from one command: each worker process sees one."""

import os
from pathlib import Path

import pytest

from seal.config import Options
from seal.ingest import default_jobs
from seal.ingest.places import places
from seal.ingest.pool import Pool

torch = pytest.importorskip("torch")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two CUDA devices, as far as torch says."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    # What is put on such a device is put nowhere.
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, device="cpu": empty(*size, device="meta"))


def visible(*names: str) -> list[dict[str, str]]:
    return [{"CUDA_VISIBLE_DEVICES": name} for name in names]


@pytest.mark.usefixtures("two")
def test_one_process_a_device() -> None:
    options = Options.load("base")
    assert places(options) == visible("0", "1")
    assert default_jobs(options) == 2


@pytest.mark.usefixtures("two")
def test_devices_that_this_process_sees_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8a1b")
    assert places(Options.load("base")) == visible("3", "GPU-8a1b")


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_device_that_is_named_is_for_one_process(device: str) -> None:
    stages = ("segment", "track", "encode")
    options = Options.load("base", [f"{stage}.device={device}" for stage in stages])
    assert places(options) == [{}]
    assert default_jobs(options) == 1


@pytest.mark.usefixtures("two")
def test_what_runs_on_the_cpu_takes_no_device() -> None:
    options = Options.load("mini")
    assert places(options) == [{}]
    cores = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    assert default_jobs(options) == len(cores)


def test_one_device_or_none_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for count in (0, 1):
        monkeypatch.setattr(torch.cuda, "is_available", lambda count=count: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert places(Options.load("base")) == [{}]
        assert default_jobs(Options.load("base")) == 1


@pytest.mark.usefixtures("two")
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_worker_processes_take_the_devices_in_turn() -> None:
    pool, options = Pool(3), Options.load("base")
    try:
        pool.start(2, options)
        pool.start(3, options)
        environments = [Path(f"/proc/{p.pid}/environ").read_bytes() for p in pool.processes]
    finally:
        pool.close()
    seen = [
        dict(entry.split(b"=", 1) for entry in environment.split(b"\0") if b"=" in entry)
        for environment in environments
    ]
    assert [each.get(b"CUDA_VISIBLE_DEVICES") for each in seen] == [b"0", b"1", b"0"]
