"""The encoder that ships inside the wheel: a small convolutional net and a table of word vectors.

Pictures: a residual net on 128 x 128 px, run by ONNX Runtime. Texts: the mean of static token
embeddings (the Model2Vec recipe), NumPy alone. Both were trained into one space by the recipe in
`training/mini`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
from tokenizers import Tokenizer

from seal.config import MiniEncode
from seal.dependencies import onnx_session
from seal.encode import Encoder, check_images
from seal.encode.calibration import Calibration
from seal.encode.limits import foreign, limits
from seal.errors import BackendError, OptionError
from seal.types import Float32, UInt8

WEIGHTS = Path(__file__).parent / "weights"
TOWERS = ("image.onnx", "text.npz", "tokenizer.json")
"""What tokens are made with; queries also need what tells a match from none."""
FILES = (*TOWERS, "calibration.npz")

SIZE_PX = 128
"""The side that the image tower was trained for."""
BATCH = 32
"""Pictures per run: beyond this the maps leave the cache and a picture costs more, not less."""


def resize(picture: UInt8, side: int = SIZE_PX) -> UInt8:
    """RGB [height, width, 3] squashed to [side, side, 3], as in training.

    Area averaging where both sides shrink, which leaves no aliasing; bilinear otherwise.
    """
    method = cv2.INTER_AREA if min(picture.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.uint8)


def normalise(rows: Float32) -> Float32:
    """Every row of [n, d] divided by its length."""
    unit: Float32 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


class TextTower:
    """Texts to the mean of their tokens' static embeddings, from the files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        with np.load(folder / "text.npz", allow_pickle=False) as stored:
            self._table, self._scale = stored["table"], stored["scale"].astype(np.float32)
        self.dimension = self._table.shape[1]

    def __call__(self, texts: Sequence[str]) -> Float32:
        """[n, d], rows L2-normalised; OptionError for a text without a single word or sign."""
        rows = np.empty((len(texts), self.dimension), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for row, encoding in enumerate(encodings):
            if not encoding.ids:
                raise OptionError(f"a text to encode needs at least one word, got {texts[row]!r}")
            ids = np.array(encoding.ids)
            # The lengths of the table's rows are the weights of their words.
            rows[row] = self._scale[ids] @ self._table[ids].astype(np.float32)
        return normalise(rows)


class MiniEncoder(Encoder):
    """Both towers, from the files beside this module, on one thread.

    Raises BackendError if a file of the weights is missing.
    """

    facets = 1

    def __init__(self, options: MiniEncode) -> None:
        missing = [name for name in FILES if not (WEIGHTS / name).is_file()]
        if missing:
            raise BackendError(
                f"the mini encoder lacks {', '.join(missing)} in {WEIGHTS}: reinstall seal-video,"
                " or run the recipe in training/mini"
            )
        digest = blake2b(digest_size=8)
        for name in TOWERS:
            digest.update((WEIGHTS / name).read_bytes())
        self.fingerprint = f"mini-{digest.hexdigest()}"

        self._net = onnx_session(str(WEIGHTS / "image.onnx"))
        self._texts = TextTower(WEIGHTS)
        self.dimension = self._texts.dimension
        self.calibration = Calibration.load(WEIGHTS / "calibration.npz")

    def encode_images(self, images: Sequence[UInt8]) -> Float32:
        """[n, 1, d] of n RGB pictures uint8 [height, width, 3] of any sizes; rows L2-normalised.

        Raises OptionError for anything else than such pictures.
        """
        check_images(images)
        rows = np.empty((len(images), 1, self.dimension), np.float32)
        for start in range(0, len(images), BATCH):
            batch = np.stack([resize(image) for image in images[start : start + BATCH]])
            (out,) = self._net.run(None, {"pictures": batch})
            rows[start : start + BATCH, 0] = normalise(out)
        return rows

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """[n, d] of n texts; rows L2-normalised.

        Raises OptionError for a text without a single word or sign.
        """
        return self._texts(texts)

    def limits(self, text: str) -> list[str]:
        """See `Encoder.limits`."""
        return limits(text)

    def reads(self, language: str) -> bool:
        """See `Encoder.reads`."""
        return language[:2].lower() == "en"

    def cannot_read(self, text: str) -> str:
        """See `Encoder.cannot_read`."""
        return foreign(text)
