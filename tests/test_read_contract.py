"""What every reader of text promises, checked on every reader of the table of back ends."""

import shutil
import socket
import subprocess
import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from seal import backends
from seal.config import RapidOcrRead, TesseractRead, TextOptions
from seal.errors import BackendError
from seal.types import Box, pairwise_iou
from seal.words import Line, TextReader
from seal.words import page as page_of_words
from seal.words.cue import load_reader

READERS = [name for name in backends.names("read") if name != "none"]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def need(name: str) -> None:
    if name == "rapidocr":
        pytest.importorskip("rapidocr", reason="needs the [read] extra")
    if name == "tesseract" and shutil.which("tesseract") is None:
        pytest.skip("needs the program tesseract")


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest) -> TextReader:
    need(request.param)
    loaded = load_reader(backends.default_options("read", request.param))
    assert loaded is not None
    return loaded


def page(
    lines: list[tuple[str, int, int, int]],
    size: tuple[int, int] = (1280, 720),
    ink: tuple[int, int, int] = BLACK,
    paper: tuple[int, int, int] = WHITE,
) -> tuple[np.ndarray, list[Box]]:
    """Text, x, y and size in px of each line to a picture, and where their ink is."""
    image = Image.new("RGB", size, paper)
    draw, boxes = ImageDraw.Draw(image), []
    for text, x, y, px in lines:
        font = ImageFont.load_default(px)
        draw.text((x, y), text, ink, font)
        x0, y0, x1, y1 = draw.textbbox((x, y), text, font)
        boxes.append(Box(x0 / size[0], y0 / size[1], x1 / size[0], y1 / size[1]))
    return np.asarray(image), boxes


def sure(lines: Any) -> list[Line]:
    return [line for line in lines if line.score >= TextOptions().min_score]


def plain(text: str) -> str:
    return "".join(text.lower().split())


THREE = [
    ("The quick brown fox", 100, 80, 48),
    ("jumps over 1234 dogs", 100, 320, 48),
    ("A caption below", 500, 600, 60),
]


def test_text_is_found_where_it_is(reader: TextReader) -> None:
    image, boxes = page(THREE)
    before = image.copy()
    lines = reader.read(image)
    np.testing.assert_array_equal(image, before)
    assert [plain(line.text) for line in lines] == [plain(text) for text, *_ in THREE]
    overlaps = pairwise_iou([line.box for line in lines], boxes).diagonal()
    assert overlaps.min() > 0.6
    assert all(0.7 < line.score <= 1 for line in lines)


def test_light_text_on_dark_is_read_as_well(reader: TextReader) -> None:
    image, _ = page(THREE, ink=(255, 255, 0), paper=(20, 30, 90))
    assert [plain(line.text) for line in reader.read(image)] == [plain(text) for text, *_ in THREE]


def test_text_of_opencv_is_read(reader: TextReader) -> None:
    image = np.full((360, 640, 3), 60, np.uint8)
    cv2.putText(image, "HELLO WORLD", (120, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.6, WHITE, 3)
    (line,) = sure(reader.read(image))
    assert plain(line.text) == "helloworld"
    assert pairwise_iou([line.box], [Box(0.18, 0.44, 0.7, 0.58)])[0, 0] > 0.5


@pytest.mark.parametrize("level", [0, 90, 255])
def test_an_empty_picture_has_no_text(reader: TextReader, level: int) -> None:
    assert list(reader.read(np.full((360, 640, 3), level, np.uint8))) == []


@pytest.mark.parametrize("contrast", [10, 60])
def test_noise_has_no_text(reader: TextReader, contrast: int) -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(128, contrast, (200, 320, 1)).clip(0, 255).astype(np.uint8)
    assert sure(reader.read(noise.repeat(3, axis=2))) == []


SIZES = [(16, 16), (16, 640), (640, 16), (1, 1), (90, 160), (270, 480), (1080, 1920), (2160, 3840)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
def test_pictures_of_any_size_are_read(reader: TextReader, size: tuple[int, int]) -> None:
    height, width = size
    px = max(4, height // 8)
    image, boxes = page([("SEAL 2026", width // 10, height // 3, px)], (width, height))
    lines = sure(reader.read(image))
    for line in lines:
        assert 0 <= line.box.x0 < line.box.x1 <= 1
        assert 0 <= line.box.y0 < line.box.y1 <= 1
    # Below 10 px there is nothing to read.
    if px > 10 and width > height:
        assert [plain(line.text) for line in lines] == ["seal2026"]
        assert pairwise_iou([lines[0].box], boxes)[0, 0] > 0.4


def test_crops_are_read_where_they_are(reader: TextReader) -> None:
    image, _ = page(THREE)
    image.flags.writeable = False
    view = image[260:440, 60:900]
    assert list(reader.read(view)) == list(reader.read(np.ascontiguousarray(view)))
    assert [plain(line.text) for line in reader.read(view)] == ["jumpsover1234dogs"]


def test_reading_again_gives_the_same(reader: TextReader) -> None:
    image, _ = page(THREE)
    assert list(reader.read(image)) == list(reader.read(image))


def test_fingerprints_are_stable_and_differ() -> None:
    for name in READERS:
        need(name)
    loaded = [load_reader(backends.default_options("read", name)) for name in READERS * 2]
    prints = [each.fingerprint for each in loaded if each is not None]
    assert prints[: len(READERS)] == prints[len(READERS) :]
    assert len(set(prints)) == len(READERS)


def test_what_was_read_is_close_to_what_was_written(reader: TextReader) -> None:
    """Small print, 14 px high in a picture of 720 px."""
    text = "Small print tells most of what there is to know"
    image, _ = page([(text, 200, 400, 18)])
    found = "".join(plain(line.text) for line in sure(reader.read(image)))
    assert SequenceMatcher(None, found, plain(text)).ratio() > 0.9


def test_long_lines_are_not_turned_upside_down() -> None:
    """As the classifier of directions in RapidOCR's package turns this one."""
    need("rapidocr")
    loaded: Any = load_reader(RapidOcrRead())
    text = (
        "River orange office doctor: Pencil guitar desert needle: Orange energy sailor winter:"
        " Window desert balance number"
    )
    lines = [(text, -468, 640, 36)]
    image, _ = page(lines, ink=(240, 240, 240), paper=BLACK)
    wanted = "guitar desert needle: Orange energy sailor winter"
    assert plain(wanted) in "".join(plain(line.text) for line in loaded.read(image))
    loaded._engine.use_cls = True
    assert plain(wanted) not in "".join(plain(line.text) for line in loaded.read(image))


# ---- what is missing ----


def run(program: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=env,
    ).stdout


LOAD = """
import sys
from seal import config, errors
from seal.words.cue import load_reader
try: load_reader(getattr(config, sys.argv[1])())
except errors.BackendError as error: print(error)
"""


def test_a_missing_extra_says_what_to_install() -> None:
    said = run("import sys; sys.modules['rapidocr'] = None\n" + LOAD, "RapidOcrRead")
    assert said.count("\n") == 1
    assert 'pip install "seal-video[read]"' in said


def test_a_missing_model_is_an_error_and_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rapidocr = pytest.importorskip("rapidocr", reason="needs the [read] extra")
    models = Path(rapidocr.__file__).parent / "models"
    (tmp_path / "models").mkdir()
    names = sorted(path.name for path in models.glob("*.onnx"))
    assert len([name for name in names if "_rec_" in name]) >= 1
    for name in names:
        if "_rec_" not in name:
            (tmp_path / "models" / name).symlink_to(models / name)
    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(BackendError, match=r"lacks its model .*_rec_.*\.onnx: reinstall"):
        load_reader(RapidOcrRead())


def test_reading_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidocr", reason="needs the [read] extra")

    def refuse(*given: Any) -> None:
        raise AssertionError(f"a connection to {given[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loaded = load_reader(RapidOcrRead())
    assert loaded is not None
    assert len(loaded.read(page(THREE)[0])) == 3


def test_a_missing_program_says_what_to_install(tmp_path: Path) -> None:
    import os

    said = run(LOAD, "TesseractRead", env=os.environ | {"PATH": str(tmp_path)})
    assert said.count("\n") == 1
    assert "apt-get install tesseract-ocr" in said


def test_tesseract_reads_letters_into_noise_unless_they_must_be_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need("tesseract")
    loaded = load_reader(TesseractRead())
    assert loaded is not None
    noise = np.random.default_rng(7).normal(128, 60, (200, 320, 1)).clip(0, 255).astype(np.uint8)
    assert sure(loaded.read(noise.repeat(3, axis=2))) == []
    monkeypatch.setattr("seal.words.tesseract._MIN_SCORE_SHORT", 0.0)
    monkeypatch.setattr("seal.words.tesseract._MIN_SCORE", 0.0)
    assert sure(loaded.read(noise.repeat(3, axis=2)))


def test_tiny_pictures_are_not_enlarged_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    assert page_of_words.fitted(image, 736, 1472, 2000)[0].shape == (64, 64, 3)
    monkeypatch.setattr(page_of_words, "_MOST_ENLARGED", 1e9)
    assert page_of_words.fitted(image, 736, 1472, 2000)[0].shape == (736, 736, 3)
    strip = page_of_words.fitted(np.zeros((16, 3840, 3), np.uint8), 736, 1472, 2000)
    assert strip[0].shape == (64, 2000, 3)
    assert strip[1] == pytest.approx(2000 / 3840)


def test_a_missing_language_names_those_that_are_there() -> None:
    need("tesseract")
    with pytest.raises(BackendError, match=r"no language 'xyz'; installed: .*eng"):
        load_reader(TesseractRead(languages="eng+xyz"))


def test_a_program_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("tesseract")
    loaded = load_reader(TesseractRead())
    assert loaded is not None
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(loaded, "_program", str(program))
    with pytest.raises(BackendError, match="tesseract failed: it is broken"):
        loaded.read(page(THREE)[0])
