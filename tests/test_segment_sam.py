"""The SAM family: prepared and decoded as the library does it, filtered as the paper says."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from seal import segment
from seal.config import Sam2Segment, Sam3Segment, SamSegment
from seal.errors import BackendError, OptionError
from seal.pixels import IMAGENET
from seal.segment import mask_boxes, sam
from seal.types import UInt8, pairwise_iou

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil  # noqa: E402
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil  # noqa: E402

import tiny_sam  # noqa: E402  needs both

OPTIONS = {"sam": SamSegment, "sam2": Sam2Segment, "sam3": Sam3Segment}
LOOSE = {"points_per_side": 4, "points_per_batch": 5, "min_predicted_iou": -99.0}


@pytest.fixture(scope="module", params=list(OPTIONS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_sam.save(kind, tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def picture() -> UInt8:
    noise = np.random.default_rng(0).random((90, 160, 3), np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.uint8(255 * (smooth - smooth.min()) / np.ptp(smooth))


def load(kind: str, folder: str, **options: Any) -> sam.GridSegmenter:
    loaded = segment.load(OPTIONS[kind](weights=folder, **LOOSE | options))
    assert isinstance(loaded, sam.GridSegmenter)
    return loaded


def library_pixels(kind: str, picture: UInt8) -> Any:
    """What the library's own processors make of a picture."""
    if kind == "sam":
        processor = SamImageProcessorPil(
            size={"longest_edge": 128}, pad_size={"height": 128, "width": 128}
        )
    else:
        side = {"sam2": 128, "sam3": 112}[kind]
        mean, std = IMAGENET if kind == "sam2" else sam.HALF
        # Sam2ImageProcessor needs torchvision; this one resizes and normalises in the same way.
        processor = ViTImageProcessorPil(
            size={"height": side, "width": side}, image_mean=mean, image_std=std
        )
    return processor(picture, return_tensors="pt")["pixel_values"]


@pytest.fixture(scope="module")
def reference(kind: str, folder: str, picture: UInt8) -> tuple[Any, Any]:
    """Mask logits [points, 3, height, width] and predicted IoU [points, 3] by the library alone:
    the whole model on the picture and one point at a time."""
    model = {"sam": "SamModel", "sam2": "Sam2Model", "sam3": "Sam3TrackerModel"}[kind]
    model = getattr(transformers, model).from_pretrained(folder).eval()
    height, width = picture.shape[:2]
    logits, ious = [], []
    for i in range(16):
        x, y = (i % 4 + 0.5) / 4 * width, (i // 4 + 0.5) / 4 * height
        pixels = library_pixels(kind, picture)
        side = pixels.shape[-1]
        if kind == "sam":
            scale = side / max(height, width)
            reshaped = (round(height * scale), round(width * scale))
            point = [x * reshaped[1] / width, y * reshaped[0] / height]
        else:
            point = [x * side / width, y * side / height]
        with torch.no_grad():
            output = model(pixel_values=pixels, input_points=torch.tensor([[[point]]]))
        if kind == "sam":
            (masks,) = SamImageProcessorPil(
                pad_size={"height": side, "width": side}
            ).post_process_masks(output.pred_masks, [(height, width)], [reshaped], binarize=False)
        else:
            masks = torch.nn.functional.interpolate(
                output.pred_masks[0], (height, width), mode="bilinear", align_corners=False
            )
        logits.append(masks[0])
        ious.append(output.iou_scores[0, 0])
    return torch.stack(logits), torch.stack(ious)


def slow_nms(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    """Keep the best box, drop what overlaps it, repeat."""
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if pairwise_iou(boxes[[best]], boxes[[i]])[0, 0] <= max_iou]
    return kept


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (128, 128), (300, 7), (5, 6)])
def test_pictures_are_prepared_as_the_library_does(
    kind: str, folder: str, size: tuple[int, int]
) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    segmenter = load(kind, folder)
    got = segmenter.embedder.pixels(picture)
    np.testing.assert_allclose(got.numpy(), library_pixels(kind, picture).numpy(), atol=2e-6)


def test_masks_are_those_of_the_library(
    kind: str,
    folder: str,
    picture: UInt8,
    reference: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, ious = reference
    # The library takes 0 and less for "no filter".
    min_iou = float(ious[ious > 0].quantile(0.2))
    inner, outer = (logits > 1).sum((2, 3)), (logits > -1).sum((2, 3))
    min_stability = float((inner / outer)[ious > min_iou].nanquantile(0.3))
    # The rows that the library's own filter lets through.
    _, scores, _ = SamImageProcessorPil().filter_masks(
        logits, ious, picture.shape[:2], [0, 0, 160, 90], min_iou, min_stability - 1e-6
    )
    assert 3 <= len(scores) <= 0.6 * ious.numel()
    monkeypatch.setattr(sam, "BOX_NMS_IOU", 1.0)
    segmenter = load(kind, folder, min_predicted_iou=min_iou, min_stability=min_stability - 1e-6)
    found = segmenter.segment(picture)
    rows = [int((ious.flatten() - score).abs().argmin()) for score in scores]
    stability = (inner / outer).flatten()[rows]
    order = np.argsort(-stability.numpy(), kind="stable")
    expected = (logits.flatten(0, 1)[rows] > 0).numpy()[order]
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.stability, stability.numpy()[order], atol=2e-3)
    # Equal stabilities can swap places: the best match of each counts. Logits of nearly zero may
    # fall on either side when the points come in batches.
    iou = mask_iou(found.masks, expected)
    assert (iou.max(0) > 0.995).all()
    assert (iou.max(1) > 0.995).all()


def mask_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.array([[(p & q).sum() / (p | q).sum() for q in b] for p in a])


def test_overlapping_boxes_are_suppressed_best_first() -> None:
    rng = np.random.default_rng(2)
    corners = rng.random((80, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    scores = rng.random(80).astype(np.float32)
    for max_iou in (0.1, 0.3, 0.7):
        kept = sam.suppress(boxes, scores, max_iou)
        assert kept.tolist() == slow_nms(boxes, scores, max_iou)
        assert 0 < len(kept) < 80
    assert len(sam.suppress(boxes[:0], scores[:0], 0.5)) == 0


def test_suppression_uses_what_the_model_predicts(
    kind: str, folder: str, picture: UInt8, reference: tuple[Any, Any]
) -> None:
    logits, ious = reference
    masks = (logits.flatten(0, 1) > 0).numpy()
    seen = np.flatnonzero(masks.any((1, 2)))
    kept = slow_nms(mask_boxes(masks[seen]), ious.flatten().numpy()[seen], 0.7)
    found = load(kind, folder, min_stability=0.0).segment(picture)
    assert len(found) == len(kept)
    assert (mask_iou(found.masks, masks[seen][kept]).max(0) > 0.995).all()


def test_batches_of_points_change_nothing(kind: str, folder: str, picture: UInt8) -> None:
    results = [
        load(kind, folder, points_per_batch=size, min_stability=0.0).segment(picture)
        for size in (3, 64)
    ]
    assert len(results[0]) == len(results[1]) > 0
    np.testing.assert_allclose(results[0].boxes, results[1].boxes, atol=0.02)
    np.testing.assert_allclose(results[0].areas, results[1].areas, atol=0.005)


def test_nothing_passes_a_filter_that_is_too_strict(kind: str, folder: str, picture: UInt8) -> None:
    for strict in ({"min_predicted_iou": 1e9}, {"min_stability": 1.1}):
        found = load(kind, folder, **strict).segment(picture)
        assert (len(found), found.masks.shape) == (0, (0, 90, 160))


def test_the_preprocessor_file_is_followed(kind: str, folder: str, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    values = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    for name, content in [
        ("processor_config.json", {"image_processor": values}),
        ("preprocessor_config.json", values),
    ]:
        (copy / name).write_text(json.dumps(content))
        mean, std = load(kind, str(copy)).embedder.mean_std
        assert mean.tolist() == pytest.approx(values["image_mean"])
        assert std.tolist() == pytest.approx(values["image_std"])
        (copy / name).unlink()


def test_sam3_is_taken_out_of_the_published_checkpoint(tmp_path: Path) -> None:
    folder = tiny_sam.save("sam3_video", tmp_path)
    whole = transformers.Sam3VideoModel.from_pretrained(folder).state_dict()
    segmenter = load("sam3", folder)
    for name, weight in segmenter._model.state_dict().items():
        if name.startswith("vision_encoder.backbone"):
            name = f"detector_model.{name}"
        elif name.startswith("vision_encoder.neck"):
            name = name.replace("vision_encoder.neck", "tracker_neck")
        else:
            name = f"tracker_model.{name}"
        np.testing.assert_array_equal(weight.numpy(), whole[name].numpy(), name)


def test_sam2_is_taken_out_of_the_published_checkpoint(tmp_path: Path) -> None:
    """Which is that of the video model; the tracker takes the whole of it."""
    folder = tiny_sam.save("sam2_video", tmp_path)
    whole = transformers.Sam2VideoModel.from_pretrained(folder).state_dict()
    for name, weight in load("sam2", folder)._model.state_dict().items():
        np.testing.assert_array_equal(weight.numpy(), whole[name].numpy(), name)


def test_points_lie_at_the_centres_of_a_grid() -> None:
    np.testing.assert_allclose(sam.point_grid(1), [[0.5, 0.5]])
    np.testing.assert_allclose(
        sam.point_grid(2), [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    )


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = tiny_sam.save("sam", tmp_path)
    with pytest.raises(BackendError):
        load("sam2", folder)


@pytest.mark.parametrize("wrong", [{"points_per_side": 0}, {"points_per_batch": 0}])
def test_impossible_grids_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Sam2Segment(**wrong)
