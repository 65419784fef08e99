"""What every detector promises, checked on every detector of the table of back ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal import backends
from seal.config import MiniDetect, RfDetrDetect, YoloxDetect
from seal.detect import LEAST_SCORE, Detections, Detector, Remembering, load
from seal.detect.mini import MiniDetector
from seal.errors import BackendError, OptionError
from seal.types import UInt8

SIZES = [(120, 160), (160, 120), (16, 16), (2, 2), (3, 90), (90, 3), (16, 640)]


def noise(height: int, width: int) -> UInt8:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(
    scope="module", params=[name for name in backends.names("detect") if name != "none"]
)
def options(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param not in ("yolox", "rf-detr"):
        return backends.default_options("detect", request.param)
    tiny = pytest.importorskip("tiny_detectors")
    folder = tmp_path_factory.mktemp("weights")
    if request.param == "yolox":
        pytest.importorskip("onnx", reason="needs the [train] extra")
        return YoloxDetect(weights=str(tiny.write_yolox(folder / "tiny.onnx")))
    pytest.importorskip("transformers", reason="needs the [models] extra")
    return RfDetrDetect(weights=tiny.save_rf_detr(folder), device="cpu")


@pytest.fixture(scope="module")
def detector(options: Any) -> Detector:
    found = load(options)
    assert found is not None
    return found


@pytest.fixture(scope="module", params=SIZES, ids=str)
def found(request: pytest.FixtureRequest, detector: Detector) -> tuple[UInt8, Detections]:
    picture = noise(*request.param)
    return picture, detector.detect(picture)


def test_finds_are_boxes_inside_the_picture_the_surest_first(
    found: tuple[UInt8, Detections], detector: Detector
) -> None:
    _, finds = found
    n = len(finds)
    # What was trained sees nothing in noise, and should not.
    assert n > 0 or isinstance(detector, MiniDetector)
    for column, shape, kind in (
        (finds.boxes, (n, 4), "f"), (finds.scores, (n,), "f"), (finds.names, (n,), "i"),
    ):  # fmt: skip
        assert column.shape == shape
        assert column.dtype.kind == kind
    assert ((finds.boxes >= 0) & (finds.boxes <= 1)).all()
    assert (finds.boxes[:, :2] < finds.boxes[:, 2:]).all()
    assert ((finds.scores >= LEAST_SCORE) & (finds.scores <= 1)).all()
    assert (np.diff(finds.scores) <= 0).all()
    assert ((finds.names >= 0) & (finds.names < len(detector.names))).all()


def test_the_same_picture_gives_the_same_finds(
    found: tuple[UInt8, Detections], detector: Detector
) -> None:
    picture, finds = found
    before = picture.copy()
    again = detector.detect(picture)
    np.testing.assert_array_equal(again.boxes, finds.boxes)
    np.testing.assert_array_equal(picture, before)


def test_a_view_is_as_good_as_a_copy(detector: Detector) -> None:
    picture = noise(120, 160)
    view = np.repeat(picture, 2, axis=1)[:, ::2]
    view.flags.writeable = False
    np.testing.assert_array_equal(detector.detect(view).boxes, detector.detect(picture).boxes)


def test_a_fresh_one_has_the_same_fingerprint(options: Any, detector: Detector) -> None:
    again = load(options)
    assert again is not None
    assert again.fingerprint == detector.fingerprint
    assert again.min_score == detector.min_score == options.min_score


def test_a_box_has_the_name_of_the_find_that_it_overlaps_most(detector: Detector) -> None:
    picture = noise(120, 160)
    finds = detector.detect(picture)
    names, scores = detector.name(picture, finds.boxes)
    for name, score, sure in zip(names, scores, finds.scores, strict=True):
        assert (name in detector.names) == (score > 0)
        assert name or sure < detector.min_score
    nowhere = np.array([[0.0, 0.0, 1e-6, 1e-6]], np.float32)
    assert detector.name(picture, nowhere)[0].tolist() == [""]


def test_a_picture_is_looked_at_once(detector: Detector) -> None:
    picture, looks = noise(30, 40), []

    class Counting(type(detector)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.fingerprint, self.min_score = detector.fingerprint, detector.min_score
            self.names = detector.names

        def detect(self, image: UInt8) -> Detections:
            looks.append(image)
            return detector.detect(image)

        glance = detect

    remembering = Remembering(Counting())
    first = remembering.detect(picture)
    assert remembering.detect(picture) is first
    remembering.detect(picture.copy())
    assert len(looks) == 2
    # Which looks there were depends on the kinds of tokens that are made, and tracks must not.
    remembering.glance(picture)
    assert len(looks) == 3


def test_a_glance_of_mini_is_at_a_smaller_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = MiniDetector(MiniDetect())
    sizes = []

    class Net:
        def run(self, outputs: None, inputs: dict[str, UInt8]) -> list[np.ndarray]:
            sizes.append(inputs["picture"].shape)
            return [np.zeros((1, 0, 85), np.float32)]

    monkeypatch.setattr(detector, "_net", Net())
    picture = noise(90, 160)
    assert len(detector.detect(picture)) == len(detector.glance(picture)) == 0
    assert sizes == [(1, 256, 416, 3), (1, 224, 384, 3)]


def test_without_a_detector_there_is_none() -> None:
    assert load(backends.default_options("detect", "none")) is None


def test_a_file_that_is_no_network_is_told(tmp_path: Path) -> None:
    tiny = pytest.importorskip("tiny_detectors")
    pytest.importorskip("onnx", reason="needs the [train] extra")
    with pytest.raises(BackendError, match="is no file"):
        load(YoloxDetect())
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(BackendError, match="is no YOLOX network"):
        load(YoloxDetect(weights=str(tmp_path / "broken.onnx")))
    with pytest.raises(BackendError, match="of 80 names"):
        load(YoloxDetect(weights=str(tiny.write_yolox(tmp_path / "few.onnx", names=3))))


@pytest.mark.parametrize("score", [0, 1.5])
def test_a_score_out_of_range_is_an_error(score: float) -> None:
    with pytest.raises(OptionError, match="min_score"):
        YoloxDetect(min_score=score)
