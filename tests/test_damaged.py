"""The short form of `benchmarks/damaged.py`: damaged files end as an index or an error, and what
FFmpeg decodes of them is indexed or lies in gaps."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from filmed import write_film

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COUNT = 12


@pytest.fixture
def damaged(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("damaged")


STEP_S = 0.04
RATE_S = 0.2


@pytest.mark.parametrize(
    ("shown", "gaps", "lost_s"),
    [
        # Every fifth of 100 pictures is analysed: nothing is lost.
        (range(0, 100, 5), [], 0.0),
        # The second half is neither shown nor told; but for the fifth that frame 45 stands for.
        (range(0, 50, 5), [], 2.0 - STEP_S),
        (range(0, 50, 5), [(2.0, 4.0, "damaged")], 0.0),
        (range(0, 50, 5), [(2.0, 3.0, "damaged"), (2.5, 3.5, "damaged")], 0.5 - STEP_S),
        # A gap at another place makes up for nothing.
        (range(0, 50, 5), [(0.0, 1.7, "damaged")], 2.0 - STEP_S),
        # Nothing stands for what comes before the first frame.
        (range(50, 100, 5), [], 2.0),
        (range(50, 100, 5), [(0.0, 2.0, "damaged")], 0.0),
        # A smeared picture, whose number is wrong, stands for as much as any.
        ([200, *range(5, 100, 5)], [], 0.0),
        ([], [], 4.0),
    ],
)
def test_loss_is_what_neither_a_frame_nor_a_gap_stands_for(
    damaged: ModuleType, shown: list[int], gaps: list[tuple[float, float, str]], lost_s: float
) -> None:
    frames = [(STEP_S * (number % 200), number) for number in shown]
    assert damaged.lost_s(range(100), frames, gaps, STEP_S, RATE_S) == pytest.approx(lost_s)


def test_loss_of_recordings_that_are_joined_needs_no_clock(damaged: ModuleType) -> None:
    pictures = [*range(100), *range(100)]
    first = [(STEP_S * number, number) for number in range(0, 100, 5)]
    second = [(4 + time_s, number) for time_s, number in first]
    assert damaged.lost_s(pictures, first + second, [], STEP_S, RATE_S) == 0
    assert damaged.lost_s(pictures, first, [(4.0, 8.0, "")], STEP_S, RATE_S) == pytest.approx(0)
    assert damaged.lost_s(pictures, first, [], STEP_S, RATE_S) == pytest.approx(4 - STEP_S)


@pytest.mark.skipif(sys.platform != "linux", reason="the campaign limits memory as Linux does")
def test_damaged_files_end_well_and_nothing_is_lost_in_silence(tmp_path: Path) -> None:
    film, log = tmp_path / "film.mp4", tmp_path / "log"
    write_film(film, seed=5, duration_s=2.4)
    command = [sys.executable, str(BENCHMARKS / "damaged.py"), "--films", str(film)]
    command += ["--count", str(COUNT), "--log", str(log)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr + run.stdout
    results = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(result["number"] for result in results) == list(range(COUNT))
    assert {result["outcome"] for result in results} == {"ok", "error"}
    assert sum(result["decoded_s"] for result in results) > 15
