"""On-screen text by the program `tesseract`, where it is installed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np

from seal.config import TesseractRead
from seal.errors import BackendError
from seal.types import Box, UInt8
from seal.words.cue import Line, TextReader
from seal.words.layout import reading_order
from seal.words.page import fitted

_SPARSE = "11"
"""Its page segmentation for text anywhere in a picture. The default, for pages of a book, misses
captions and reads textures."""
_SHORT_SIDE_PX = 1080
_ENLARGED_SIDE_PX = 1920
_LONG_SIDE_PX = 4096
_TIMEOUT_S = 120
# In noise it reads some letters, and is less sure of them; of two or three letters it is too sure.
_MIN_SCORE = 0.6
_SHORT = 3
_MIN_SCORE_SHORT = 0.9
_WORD_LEVEL = "5"


class TesseractReader(TextReader):
    """One run of the program a picture, on one thread.

    Raises BackendError if the program or one of its languages is not installed.
    """

    def __init__(self, options: TesseractRead) -> None:
        program = shutil.which("tesseract")
        if program is None:
            raise BackendError(
                "reading on-screen text needs the program tesseract, which is not installed:"
                " `apt-get install tesseract-ocr` or `brew install tesseract`"
            )
        self._program, self._languages = program, options.languages
        listed = self._run("--list-langs").decode().splitlines()
        installed = [line.strip() for line in listed[1:]]
        for language in options.languages.split("+"):
            if language not in installed:
                raise BackendError(
                    f"tesseract has no language {language!r}; installed:"
                    f" {', '.join(installed)}. Install it (`apt-get install"
                    f" tesseract-ocr-{language.replace('_', '-')}`) or set read.languages"
                )
        hashed = blake2b(digest_size=8)
        for language in options.languages.split("+"):
            # The same language comes in several sizes.
            for path in _trained(listed[0], language):
                hashed.update(path.read_bytes())
        version = self._run("--version").decode().split("\n", 1)[0].split()[-1]
        self.fingerprint = f"tesseract-{version}-{options.languages}-{hashed.hexdigest()}"

    def read(self, image: UInt8) -> Sequence[Line]:
        page, scale = fitted(
            image,
            short_side_px=_SHORT_SIDE_PX,
            enlarged_side_px=_ENLARGED_SIDE_PX,
            long_side_px=_LONG_SIDE_PX,
        )
        _, encoded = cv2.imencode(".ppm", cv2.cvtColor(page, cv2.COLOR_RGB2BGR))
        arguments = ["stdin", "stdout", "-l", self._languages, "--psm", _SPARSE, "--dpi", "96"]
        table = self._run(*arguments, "tsv", given=encoded.tobytes()).decode("utf-8", "replace")
        return _lines(table, scale * image.shape[1], scale * image.shape[0])

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        """What the program prints. Raises BackendError if it fails."""
        try:
            done = subprocess.run(
                [self._program, *arguments],
                input=given,
                capture_output=True,
                # Indexing runs one process for each core.
                env=os.environ | {"OMP_THREAD_LIMIT": "1"},
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackendError(f"tesseract cannot be run: {error}") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[-1] if said else f"exit status {done.returncode}"
            raise BackendError(f"tesseract failed: {why}")
        return done.stdout


def _trained(listed: str, language: str) -> list[Path]:
    """The file of a language, in the folder that `tesseract --list-langs` names in quotes."""
    folder = listed.partition('"')[2].partition('"')[0]
    path = Path(folder) / f"{language}.traineddata"
    return [path] if folder and path.is_file() else []


def _lines(table: str, width: float, height: float) -> list[Line]:
    """The lines of its table of words, which has pixels of a picture of this size."""
    words: dict[tuple[str, ...], list[dict[str, str]]] = {}
    # A quote is a character that was read.
    for row in csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == _WORD_LEVEL and row["text"].strip():
            line = row["page_num"], row["block_num"], row["par_num"], row["line_num"]
            words.setdefault(line, []).append(row)
    lines = []
    for of_line in words.values():
        text = " ".join(row["text"].strip() for row in of_line)
        # A word counts by its length.
        lengths = [len(row["text"].strip()) for row in of_line]
        score = float(np.average([float(row["conf"]) for row in of_line], weights=lengths)) / 100
        x0, y0 = (min(int(row[side]) for row in of_line) for side in ("left", "top"))
        x1 = max(int(row["left"]) + int(row["width"]) for row in of_line)
        y1 = max(int(row["top"]) + int(row["height"]) for row in of_line)
        sides = np.clip([x0 / width, y0 / height, x1 / width, y1 / height], 0, 1)
        if score < (_MIN_SCORE if sum(lengths) > _SHORT else _MIN_SCORE_SHORT):
            continue
        lines.append(Line(text, Box(*sides.tolist()), min(1.0, score)))
    return reading_order(lines)
