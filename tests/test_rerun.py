"""`make benchmarks`: every command of the page, resumable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import rerun


def test_every_command_of_the_page_is_run_or_needs_a_hand() -> None:
    page = rerun.on_the_page()
    assert len(page) > 40
    by_itself = [c for c in page if not any(part in c for part in rerun.BY_HAND)]
    # A command that says less, such as that of one metric, is part of one that says more.
    missing = [c for c in by_itself if not any(run.startswith(c) for run in rerun.MINUTES)]
    assert missing == []
    scripts = {word for command in rerun.MINUTES for word in command.split() if "/" in word}
    assert all((rerun.PROJECT / script).exists() for script in scripts)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    commands = {"python -c 'print(6 * 7)'": 1, "python -c 'raise SystemExit(3)'": 2}
    monkeypatch.setattr(rerun, "MINUTES", commands)
    monkeypatch.setattr(rerun, "PROJECT", tmp_path)
    monkeypatch.setattr(rerun, "commit", lambda: "abc1234")
    monkeypatch.setattr(sys, "argv", ["rerun.py"])
    return tmp_path / "build" / "benchmarks" / "abc1234"


def test_what_has_run_is_not_run_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rerun.main() == 1
    assert "2 of 2 commands to run" in capsys.readouterr().out
    (done,) = folder.glob("*.txt")
    text = done.read_text()
    assert text.startswith("$ python -c 'print(6 * 7)'")
    assert "commit abc1234" in text
    assert "\n42\n" in text
    assert "exit code 0" in text
    (failed,) = folder.glob("*.part")
    assert "exit code 3" in failed.read_text()
    assert rerun.main() == 1
    printed = capsys.readouterr().out
    assert "1 of 2 commands to run" in printed
    assert "print(6 * 7)" not in printed


def test_a_word_chooses_and_a_list_runs_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rerun.py", "print", "--list"])
    assert rerun.main() == 0
    assert "1 of 1 commands to run" in capsys.readouterr().out
    assert list(folder.iterdir()) == []
