"""Detectors for tests: one that says what it is told, and tiny networks in the published forms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from seal.detect import Detections, Detector
from seal.detect.grid import STRIDES
from seal.types import UInt8

SIDE_PX = 64
Find = tuple[str, float, Sequence[float]]
"""A name, how sure it is, and the box."""


class Told(Detector):
    """Says about picture after picture what it was told to, and then nothing."""

    fingerprint = "told-1"
    names = ("dog", "cat", "horse", "person")
    min_score = 0.3

    def __init__(self, finds: Sequence[Sequence[Find]]) -> None:
        self._finds = iter(finds)

    def detect(self, image: UInt8) -> Detections:
        return found(next(self._finds, []), self.names)


class Watching(Told):
    """Says of the frame that is shown what it was told to, and knows which ones it looked at."""

    def __init__(self, finds: Sequence[Sequence[Find]]) -> None:
        self._told = finds
        self.frame = 0
        self.looks: list[int] = []

    def detect(self, image: UInt8) -> Detections:
        self.looks.append(self.frame)
        return found(self._told[self.frame] if self.frame < len(self._told) else [], self.names)


class Shapes(Detector):
    """Everything that is brighter than most of the picture, called by its size."""

    fingerprint = "shapes-1"
    names = ("speck", "thing", "wall")
    min_score = 0.3

    def detect(self, image: UInt8) -> Detections:
        grey = image.mean(2)
        bright = (grey > grey.mean() + grey.std() / 2).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        height, width = grey.shape
        finds: list[Find] = []
        for x, y, w, h, area in stats[1:].tolist():
            share = w * h / (height * width)
            box = [x / width, y / height, (x + w) / width, (y + h) / height]
            finds.append((self.names[(share > 0.01) + (share > 0.5)], area / (w * h), box))
        return found(finds, self.names)


def found(finds: Sequence[Find], names: Sequence[str]) -> Detections:
    """The finds, the surest first."""
    ranked = sorted(finds, key=lambda find: -find[1])
    boxes = np.array([box for _, _, box in ranked], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in ranked], np.float32)
    return Detections(boxes, scores, np.array([names.index(name) for name, _, _ in ranked], int))


def write_yolox(path: Path, names: int = 80, side_px: int = SIDE_PX) -> Path:
    """A network of random weights with the inputs and outputs of an official one."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, parts = [], [], []
    for stride in STRIDES:
        kernel = rng.normal(0, 0.0003, (5 + names, 3, stride, stride)).astype(np.float32)
        bias = rng.normal(0, 0.3, 5 + names).astype(np.float32)
        weights += [numpy_helper.from_array(kernel, f"w{stride}")]
        weights += [numpy_helper.from_array(bias, f"b{stride}")]
        inputs = ["images", f"w{stride}", f"b{stride}"]
        cells = (side_px // stride) ** 2
        weights += [numpy_helper.from_array(np.array([1, 5 + names, cells]), f"s{stride}")]
        nodes += [helper.make_node("Conv", inputs, [f"c{stride}"], strides=[stride, stride])]
        nodes += [helper.make_node("Reshape", [f"c{stride}", f"s{stride}"], [f"r{stride}"])]
        parts.append(f"r{stride}")
    split = numpy_helper.from_array(np.array([4, 1 + names]), "split")
    nodes += [
        helper.make_node("Concat", parts, ["all"], axis=2),
        helper.make_node("Transpose", ["all"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Split", ["rows", "split"], ["boxes", "logits"], axis=2),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output"], axis=2),
    ]
    shape = [1, sum((side_px // s) ** 2 for s in STRIDES), 5 + names]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side_px, side_px])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "tiny", [image], [output], [*weights, split])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def save_rf_detr(folder: Path) -> str:
    """A tiny RF-DETR of random weights, saved as checkpoints are published."""
    import json

    import torch
    from transformers import RfDetrConfig, RfDetrForObjectDetection

    torch.manual_seed(0)
    side_px, windows, patch = 64, 2, 8
    config = RfDetrConfig(
        backbone_config={
            "model_type": "rf_detr_dinov2", "hidden_size": 32, "num_hidden_layers": 4,
            "num_attention_heads": 2, "mlp_ratio": 2, "image_size": side_px, "patch_size": patch,
            "num_windows": windows, "out_features": ["stage2", "stage4"],
            "window_block_indexes": [0, 2], "num_register_tokens": 0,
        },
        d_model=32, decoder_layers=2, decoder_ffn_dim=32, decoder_self_attention_heads=2,
        decoder_cross_attention_heads=2, decoder_n_points=2, num_queries=12, group_detr=1,
        c2f_num_blocks=1,
        id2label={0: "N/A", 1: "person", 2: "dog", 3: "cat"},
    )  # fmt: skip
    network = RfDetrForObjectDetection(config)
    # Networks begin with the belief that nothing is there.
    torch.nn.init.zeros_(network.class_embed.bias)
    network.save_pretrained(folder)
    described = {"size": {"height": side_px, "width": side_px}}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return str(folder)
