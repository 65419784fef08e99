"""On-screen text by RapidOCR (PP-OCR networks), with the models that its package holds."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seal.config import RapidOcrRead
from seal.dependencies import dependency, onnxruntime
from seal.errors import BackendError
from seal.types import Box, UInt8
from seal.words.cue import Line, TextReader
from seal.words.layout import reading_order
from seal.words.page import fitted

# The sizes at which its networks read best: those of its own configuration, but for pictures far
# from square, which it would enlarge without a limit.
_SHORT_SIDE_PX = 736
_ENLARGED_SIDE_PX = 1472
_LONG_SIDE_PX = 2000


class RapidOcrReader(TextReader):
    """Detection and recognition by ONNX Runtime, on one thread.

    RapidOCR's third model, for text upside down, stays out: frames are upright, and it turns long
    lines that are.

    Raises BackendError if the extra is not installed, or one of the models is not in its package:
    nothing is downloaded.
    """

    def __init__(self, options: RapidOcrRead) -> None:
        # Before RapidOCR imports it: it would report to its maker.
        onnxruntime()
        package = dependency("rapidocr", "read").require("reading on-screen text")
        models = _models(package)
        hashed = blake2b(digest_size=8)
        for path in models.values():
            hashed.update(path.read_bytes())
        version = dependency("rapidocr", "read").version
        self.fingerprint = f"rapidocr-{version}-{hashed.hexdigest()}"
        engine = "EngineConfig.onnxruntime"
        self._engine = package.RapidOCR(
            params={
                # With a path nothing is looked up, and nothing fetched.
                **{f"{task}.model_path": str(path) for task, path in models.items()},
                f"{engine}.intra_op_num_threads": 1,
                f"{engine}.inter_op_num_threads": 1,
                "Global.use_cls": False,
                "Global.log_level": "critical",
                "Global.text_score": 0.0,
                # Sizes are dealt with here.
                "Global.use_preprocess_img": False,
                "Global.use_vertical_padding": False,
                "Det.limit_side_len": 32,
            }
        )

    def read(self, image: UInt8) -> Sequence[Line]:
        page, scale = fitted(
            image,
            short_side_px=_SHORT_SIDE_PX,
            enlarged_side_px=_ENLARGED_SIDE_PX,
            long_side_px=_LONG_SIDE_PX,
        )
        found = self._engine(cv2.cvtColor(page, cv2.COLOR_RGB2BGR))
        if found.boxes is None or found.txts is None:
            return []
        height, width = image.shape[:2]
        lines = []
        for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            (x0, y0), (x1, y1) = corners.min(0) / scale, corners.max(0) / scale
            sides = np.clip([x0 / width, y0 / height, x1 / width, y1 / height], 0, 1)
            if words := " ".join(text.split()):
                lines.append(Line(words, Box(*sides.tolist()), float(score)))
        return reading_order(lines)


def _models(package: Any) -> dict[str, Path]:
    """Task -> file of the model that the package takes by default."""
    base = dependency("rapidocr", "read").require(
        "reading on-screen text", "rapidocr.inference_engine.base"
    )
    main = dependency("rapidocr", "read").require("reading on-screen text", "rapidocr.main")
    configured = main.ParseParams.load(main.DEFAULT_CFG_PATH)
    folder = Path(package.__file__).parent / "models"
    models = {}
    for task in ("Det", "Rec"):
        of_task = configured[task]
        wanted = base.FileInfo(
            engine_type=of_task.engine_type,
            ocr_version=of_task.ocr_version,
            task_type=of_task.task_type,
            lang_type=of_task.lang_type,
            model_type=of_task.model_type,
        )
        path = folder / Path(base.InferSession.get_model_url(wanted)["model_dir"]).name
        if not path.is_file():
            raise BackendError(
                f"the package rapidocr lacks its model {path.name}: reinstall it with"
                " `pip install --force-reinstall --no-deps rapidocr`"
            )
        models[task] = path
    return models
