"""A training of `mini` can begin where a shipped network ended."""

import sys
from pathlib import Path

import numpy as np
import pytest

from seal.dependencies import onnx_session

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

SIDE_PX = 64


@pytest.fixture
def recipe(monkeypatch):
    """The modules of the recipe, which import each other by their names."""
    folder = Path(__file__).parents[1] / "training" / "mini"
    monkeypatch.syspath_prepend(str(folder))
    # The benchmarks have a module `data` as well.
    for file in folder.glob("*.py"):
        monkeypatch.setitem(sys.modules, file.stem, None)
        del sys.modules[file.stem]
    import detector
    import detector_onnx
    import export
    import scenes

    return detector, detector_onnx, export, scenes


def unlike_the_first(net):
    """Weights and normalisations as after a training, so that nothing is 0 or 1."""
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean):
                torch.nn.init.normal_(values, 0.5, 0.2)
            torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
    return net.eval()


@pytest.fixture
def scenes():
    drawn = np.random.default_rng(0).integers(0, 256, (4, SIDE_PX, SIDE_PX, 3), np.uint8)
    return torch.from_numpy(drawn)


@pytest.mark.parametrize("in_8_bits", [False, True])
def test_a_detector_says_what_its_export_said(recipe, scenes, tmp_path, in_8_bits):
    detector, detector_onnx, export, _ = recipe
    torch.manual_seed(0)
    net = unlike_the_first(detector.Detector())
    file = tmp_path / "detector.onnx"
    model = detector_onnx.build(net)
    if in_8_bits:
        export.quantise(model, [scene[None].numpy() for scene in scenes], file, "picture")
    else:
        onnx.save(model, file)

    other = detector.Detector()
    export.restore(other, detector_onnx.written(other), file, scenes)

    with torch.inference_mode():
        wanted, said = net(scenes)[0], other(scenes)[0]
    spread = wanted.std((0, 1))
    assert (wanted - said).abs().mean() < (0.05 if in_8_bits else 1e-4) * spread.mean()


def test_folding_takes_steps_and_says_the_same(recipe, scenes, tmp_path, monkeypatch):
    detector, detector_onnx, export, _ = recipe
    torch.manual_seed(0)
    model = detector_onnx.build(unlike_the_first(detector.Detector()))
    floats = onnx_session(model.SerializeToString())
    pictures = [scene[None].numpy() for scene in scenes]
    file = tmp_path / "detector.onnx"
    said, steps = {}, {}
    for name, fold in (("as quantised", lambda model: model), ("folded", export.folded)):
        monkeypatch.setattr(export, "folded", fold)
        export.quantise(
            onnx.ModelProto.FromString(model.SerializeToString()), pictures, file, "picture"
        )
        run = onnx_session(file.read_bytes()).run
        said[name] = np.concatenate([run(None, {"picture": one})[0] for one in pictures])
        steps[name] = [node.op_type for node in onnx.load(file).graph.node]
    assert "Relu" in steps["as quantised"]
    assert "Relu" not in steps["folded"]
    wanted = np.concatenate([floats.run(None, {"picture": one})[0] for one in pictures])
    errors = {name: np.abs(one - wanted).mean() for name, one in said.items()}
    assert errors["folded"] < 1.1 * errors["as quantised"]


def test_a_restored_detector_learns_from_what_it_says(recipe, scenes, tmp_path):
    """Its normalisations are those of its own maps: in training it says nearly the same."""
    detector, detector_onnx, export, _ = recipe
    torch.manual_seed(0)
    net = unlike_the_first(detector.Detector())
    onnx.save(detector_onnx.build(net), tmp_path / "detector.onnx")
    other = detector.Detector()
    graph = detector_onnx.written(other)
    export.restore(other, graph, tmp_path / "detector.onnx", scenes)

    with torch.inference_mode():
        wanted, said = other.eval()(scenes)[0], other.train()(scenes)[0]
    assert (wanted - said).abs().mean() < 0.02 * wanted.std((0, 1)).mean()


def test_the_teacher_says_of_a_wide_scene_what_it_says_of_the_square_around_it(recipe, shared_data):
    assert (shared_data / "teacher" / "yolox_nano.onnx").is_file()
    detector, _, _, scenes = recipe
    wide = np.random.default_rng(0).integers(0, 256, (256, 416, 3), np.uint8)
    square = np.full((416, 416, 3), scenes.REST, np.uint8)
    square[:256] = wide
    teacher = scenes.Teacher()
    parts = {side: teacher(scene)["raw"] for side, scene in ((256, wide), (416, square))}
    boxes = {
        side: detector.corners(torch.from_numpy(raw), side, 416) for side, raw in parts.items()
    }
    assert len(boxes[256]) == 32 * 52 + 16 * 26 + 8 * 13
    surest = parts[256][:, 4].argsort()[-50:].copy()
    apart = (boxes[256][surest, None] - boxes[416][None]).abs().amax(-1)
    assert apart.amin(1).max() < 1e-3


def test_a_scene_fills_its_longer_side_and_may_end_in_grey(recipe):
    *_, scenes = recipe
    pictures = [np.full((90, 120, 3), value, np.uint8) for value in (0, 255)]
    made = scenes.Scenes(pictures, np.arange(2), None)
    left = []
    for number in range(40):
        scene = made(number, (256, 416))
        assert scene.shape == (256, 416, 3)
        np.testing.assert_array_equal(scene, made(number, (256, 416)))
        rest = (scene == scenes.REST).all((1, 2))
        left.append(int(rest.sum()))
        assert rest[len(rest) - left[-1] :].all()
        assert not (scene == scenes.REST).all((0, 2)).any()
    assert min(left) == 0 < max(left) < 32
