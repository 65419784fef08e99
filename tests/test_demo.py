"""`seal demo`: what whoever has installed the wheel alone runs first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from forked import python
from own_network import watched


def test_it_draws_finds_and_shows_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = watched([sys.executable, "-m", "seal.cli", "demo", "--json"], timeout_s=300)
    assert run.code == 0, run.output
    assert not run.packets
    result = json.loads(next(line for line in run.output.splitlines() if line.startswith("{")))
    board = tmp_path / "seal-demo" / "storyboard.html"
    assert Path(result["storyboard"]) == board.relative_to(tmp_path)
    assert board.stat().st_size > 10_000
    assert result["video"]["gaps"] == []
    # What it says of its own film is true.
    assert result["found"]["match"]["verdict"] == "likely"
    best = result["found"]["moments"][0]
    events = json.loads((tmp_path / "seal-demo" / "film.json").read_text())
    ball = next(event for event in events if event["label"] == "a red ball")
    assert best["start_s"] < ball["end_s"]
    assert best["end_s"] > ball["start_s"]


def test_a_folder_that_is_a_file_is_wrong_use(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    command = [*python(), "-m", "seal.cli", "demo", file]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
