"""The campaigns of kills of `benchmarks/kills.py` and `engine_kills.py`, in short."""

import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "benchmarks" / "kills.py"


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to find orphans")
@pytest.mark.parametrize(
    ("name", "kills"), [("store", 10), ("s3", 3), ("upgrades", 2), ("commands", 4)]
)
def test_kills_at_random_instants_lose_nothing_and_leave_nothing(
    name: str, kills: int, request: pytest.FixtureRequest
) -> None:
    if name == "s3":
        request.getfixturevalue("s3")  # Skips where there is no server.
    wanted = {"store": 0, "s3": 0, "upgrades": 0, "commands": 0, name: kills}
    counts = [f"--{each}={count}" for each, count in wanted.items()]
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), *counts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"| {name} |" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to find workers")
def test_kills_of_workers_drivers_and_shards_lose_nothing_and_do_nothing_twice() -> None:
    campaign = CAMPAIGN.with_name("engine_kills.py")
    done = subprocess.run(
        [sys.executable, str(campaign), "--kills", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| driver |" in done.stdout
