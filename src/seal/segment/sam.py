"""The SAM family as class-agnostic segmenters: a grid of points, a mask or three for each.

Automatic mask generation as in section 5 and appendix B of Kirillov et al., *Segment Anything*
(2023), and its official script (`SamAutomaticMaskGenerator`, without crops). The picture is
encoded once, every grid point prompts three masks. Those that the model rates low or that change
with the threshold are dropped, and so are those whose boxes overlap a better one's.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seal.devices import Runtime
from seal.pixels import IMAGENET
from seal.segment import Masks, Segmenter, mask_boxes
from seal.segment.embedder import ImageEmbedder
from seal.types import Float32, Int64, UInt8, pairwise_iou
from seal.weights import locate, require

# The official generators of SAM and SAM 2 agree on these two and never change them. One is the
# shift of the threshold, in logits, that a stable mask survives. The other is the overlap above
# which two boxes are of one thing.
STABILITY_OFFSET = 1.0
BOX_NMS_IOU = 0.7

# Masks brought to the picture's size at a time: a full batch of them in floats would need
# gigabytes for a large picture. Any small number will do.
DECODED_AT_ONCE = 16

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class GridSegmenter(Segmenter):
    """What the SAM family has in common; the subclasses are the models.

    Raises BackendError if the extra is not installed or the weights are not there.
    """

    model_class: ClassVar[str]
    mean_std: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]] = IMAGENET
    """What pictures are normalised with if the weights come without a preprocessor file."""
    renamed: ClassVar[dict[str, str] | None] = None
    """See `load_model`."""

    def __init__(self, options: Any) -> None:
        weights = locate(options.weights, options.revision)
        self._options = options
        self._runtime = Runtime.of(options)
        self._model = self._runtime.load(self.model_class, weights, self.renamed)
        self.embedder: ImageEmbedder = ImageEmbedder(
            self._model, self._runtime, weights, self.mean_std, self._fit
        )
        self._side = self.embedder.side
        self.fingerprint = f"{options.backend}-grid-1:{weights.fingerprint}"

    def segment(self, image: UInt8) -> Masks:
        """The masks of one RGB picture [height, width, 3]."""
        torch = require("torch")
        size = image.shape[:2]
        fit = self._fit(*size)
        points = point_grid(self._options.points_per_side) * np.array(fit[::-1], np.float32)
        parts: list[tuple[NDArray[np.uint8], Float32, Float32, Float32]] = []
        embedding = self.embedder.embedding(image)
        with self._runtime.running():
            embedding = self._prepared(embedding)
            placed = torch.from_numpy(points).to(self._runtime.device)
            for batch in placed.split(self._options.points_per_batch):
                output = self._model(
                    image_embeddings=embedding,
                    input_points=batch[None, :, None],
                    multimask_output=True,
                )
                ious = output.iou_scores.flatten().float()
                rated = ious > self._options.min_predicted_iou
                for rows in rated.nonzero()[:, 0].split(DECODED_AT_ONCE):
                    if len(rows):
                        logits = output.pred_masks.flatten(0, 2)[rows].float()
                        logits = self._decode(logits, fit, size)
                        parts.append(self._stable(logits, ious[rows]))
        if not parts:
            return Masks.of(np.zeros((0, *size), bool), np.zeros(0))
        packed, boxes, scores, stability = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        kept = suppress(boxes, scores, BOX_NMS_IOU)
        masks = np.unpackbits(packed[kept], axis=1, count=size[0] * size[1])
        return Masks.of(masks.reshape(-1, *size).astype(bool), stability[kept])

    def _stable(
        self, logits: Any, ious: Any
    ) -> tuple[NDArray[np.uint8], Float32, Float32, Float32]:
        """Bit-packed masks, boxes, predicted IoU and stability of the stable ones of `logits`."""
        stability = stability_scores(logits)
        masks = logits > 0
        stable = (stability >= self._options.min_stability) & masks.flatten(1).any(1)
        array = masks[stable].cpu().numpy()
        packed = np.packbits(array.reshape(len(array), array.shape[1] * array.shape[2]), axis=1)
        scores, stability = ious[stable].cpu().numpy(), stability[stable].cpu().numpy()
        return packed, mask_boxes(array), scores, stability

    def _fit(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture takes up in the model's square."""
        return self._side, self._side

    def _prepared(self, embedding: list[Any]) -> Any:
        """An embedding as the model takes it for points."""
        *finer, last = embedding
        return [*finer, last + self._model.no_memory_embedding[0, :, :, None, None]]

    def _decode(self, logits: Any, fit: tuple[int, int], size: tuple[int, ...]) -> Any:
        """Mask logits [n, h, w] of the model's square at the picture's size."""
        return resize(logits, size)


class SamSegmenter(GridSegmenter):
    """SAM: keeps the picture's proportions and pads below and to the right."""

    model_class = "SamModel"

    def _fit(self, height: int, width: int) -> tuple[int, int]:
        scale = self._side / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def _prepared(self, embedding: list[Any]) -> Any:
        return embedding[0]

    def _decode(self, logits: Any, fit: tuple[int, int], size: tuple[int, ...]) -> Any:
        square = resize(logits, (self._side, self._side))
        return resize(square[:, : fit[0], : fit[1]], size)


class Sam2Segmenter(GridSegmenter):
    """SAM 2 and 2.1: the picture fills the square."""

    model_class = "Sam2Model"


class Sam3Segmenter(GridSegmenter):
    """The tracker of SAM 3, which takes points: the picture fills the square."""

    model_class = "Sam3TrackerModel"
    mean_std = HALF
    # The published checkpoint is that of the whole video model. The library transformers 5.23 takes
    # the tracker out of it but looks for its decoder under the wrong name, and would leave it at
    # random.
    renamed: ClassVar = {r"^tracker_model\.": ""}

    def _prepared(self, embedding: list[Any]) -> Any:
        # transformers 5.23 adds the embedding of no memory to a level that it then drops.
        return embedding


def resize(logits: Any, size: tuple[int, ...]) -> Any:
    """Mask logits [n, h, w] at another size, as the official decoders do it."""
    interpolate = require("torch").nn.functional.interpolate
    return interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]


def point_grid(per_side: int) -> Float32:
    """Points [per_side ** 2, 2] x y in (0, 1), row by row, at the centres of a regular grid."""
    centres = (np.arange(per_side, dtype=np.float32) + 0.5) / per_side
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], 1)


def stability_scores(logits: Any) -> Any:
    """Tensor [n] of how much of each mask [n, height, width] survives a shift of the threshold.

    IoU of the masks above `STABILITY_OFFSET` and above its negative (Kirillov et al. 2023, section
    5); not a number where the latter is empty.
    """
    inner = (logits > STABILITY_OFFSET).flatten(1).sum(1)
    return inner / (logits > -STABILITY_OFFSET).flatten(1).sum(1)


def suppress(boxes: Float32, scores: Float32, max_iou: float) -> Int64:
    """Greedy non-maximum suppression: the rows of `boxes` [n, 4] to keep, best score first."""
    order = np.argsort(-scores, kind="stable")
    overlaps = pairwise_iou(boxes[order], boxes[order]) > max_iou
    alive, kept = np.ones(len(order), bool), []
    for i, row in enumerate(order):
        if alive[i]:
            kept.append(row)
            alive &= ~overlaps[i]
    return np.array(kept, np.int64)
