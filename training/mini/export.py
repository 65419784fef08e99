"""Step 7: the trained tower as ONNX in 8 bits, what that costs, and how fast it runs.

The mean embedding of the training pictures is taken off (in the bias of the last layer): what all
pictures share says nothing about any, and left in it makes all of them look alike.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from fold import folded
from loop import averaged
from model import Block, Conv, Tower
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from data import CACHE, SEED, WEIGHTS, Pictures, arguments
from seal.dependencies import onnxruntime
from seal.encode.mini import SIZE_PX, resize

ort, quantization = onnxruntime(), onnxruntime("onnxruntime.quantization")

SAMPLE = 3000
"""Training pictures whose mean is taken off."""
CALIBRATION = 16
"""Batches of them that set the ranges of the 8-bit activations; of each range a ten-thousandth is
cut off, for one odd value would make all others coarse."""
PERCENTILE = 99.99


class Graph:
    """An ONNX graph written node by node: 1 x 1 to 3 x 3 convolutions, sums and ReLUs are all."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.layers: list[nn.Conv2d | nn.Linear] = []
        """The layers of the nodes that have weights, in their order."""

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, x: str, layer: Conv) -> str:
        conv, norm = layer[0], layer[1]
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = (conv.weight * gain[:, None, None, None]).detach().numpy()
        bias = (norm.bias - norm.running_mean * gain).detach().numpy()
        pads = [conv.padding[0]] * 4
        self.layers.append(conv)
        x = self.add(
            "Conv",
            x,
            self.constant(weight),
            self.constant(bias),
            pads=pads,
            strides=conv.stride,
        )
        return self.add("Relu", x) if len(layer) == 3 else x


def written(tower: Tower, mean: Tensor) -> Graph:
    """The nodes of the tower, and of taking off `mean` [d]."""
    graph = Graph()
    x = graph.add("Cast", "pictures", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Mul", x, graph.constant(np.array(1 / 127.5, np.float32)))
    x = graph.add("Sub", x, graph.constant(np.array(1, np.float32)))
    for layer in tower.body:
        if isinstance(layer, Block):
            inner = x
            for conv in layer.body:
                inner = graph.conv(inner, conv)
            x = graph.add("Relu", graph.add("Add", x, inner))
        else:
            x = graph.conv(x, layer)
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    weight = graph.constant(tower.out.weight.detach().numpy())
    bias = graph.constant((tower.out.bias - mean).detach().numpy())
    graph.add("Gemm", x, weight, bias, transB=1)
    graph.layers.append(tower.out)
    graph.nodes[-1].output[0] = "embeddings"
    return graph


def build(tower: Tower, mean: Tensor) -> onnx.ModelProto:
    """uint8 "pictures" [n, 128, 128, 3] to "embeddings" [n, d], not normalised."""
    graph = written(tower, mean)
    shape = ["n", SIZE_PX, SIZE_PX, 3]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "mini",
            [helper.make_tensor_value_info("pictures", TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", len(mean)])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The constants of a graph by name, those in 8 bits as the floats that they stand for."""
    values = {part.name: numpy_helper.to_array(part) for part in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            whole, scale, zero = (values[name] for name in node.input)
            shape = (-1, *[1] * (whole.ndim - 1))
            steps = whole.astype(np.float32) - zero.astype(np.float32).reshape(shape)
            values[node.input[0].removesuffix("_quantized")] = steps * scale.reshape(shape)
    return values


@torch.no_grad()
def restore(net: nn.Module, graph: Graph, file: Path, pictures: Tensor) -> None:
    """Give a net, whose nodes are `graph`, the weights of an export.

    An export has no normalisations: they are set by what the convolutions say of some `pictures`,
    so that the net says what the export does, and learns as one that was never exported.
    """
    values = constants(onnx.load(file))
    nodes = [node for node in graph.nodes if node.op_type in ("Conv", "Gemm")]
    norms = {part[0]: part[1] for part in net.modules() if isinstance(part, Conv)}
    hooks = []
    for node, layer in zip(nodes, graph.layers, strict=True):
        weight, bias = (torch.tensor(values[name]) for name in node.input[1:])
        norm = norms.get(layer)
        layer.weight.copy_(weight)
        (layer if norm is None else norm).bias.copy_(bias)
        if norm is not None:
            hooks.append(norm.register_forward_pre_hook(_fit))
    net.eval()(pictures)
    for hook in hooks:
        hook.remove()


def _fit(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    """Set a normalisation to its input's mean and deviation, and undo both after it."""
    (x,) = inputs
    norm.running_mean.copy_(x.mean((0, 2, 3)))
    norm.running_var.copy_(x.var((0, 2, 3)))
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.add_(norm.running_mean)


def load(run: str) -> tuple[Tower, int]:
    """The averaged tower of a run and the step that it is from."""
    weights, step = averaged(CACHE / f"train_{run}.pt")
    tower = Tower(weights["out.bias"].shape[0])
    tower.load_state_dict(weights)
    return tower.eval(), step


class Batches(quantization.CalibrationDataReader):
    """Pictures for calibration, as ONNX Runtime wants them."""

    def __init__(self, batches: list[np.ndarray], name: str) -> None:
        self._batches, self._name = iter(batches), name

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch}


def quantise(model: onnx.ModelProto, batches: list[np.ndarray], file: Path, name: str) -> None:
    """Weights in int8 with a scale for each channel, activations in uint8; `name` is the input."""
    quantization.quantize_static(
        model,
        file,
        Batches(batches, name),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Gemm", "GlobalAveragePool"],
        calibrate_method=quantization.CalibrationMethod.Percentile,
        extra_options={"CalibPercentile": PERCENTILE},
    )
    onnx.save(folded(onnx.load(file)), file)


def main() -> None:
    options = arguments(__doc__, run="encoder", centre=1.0)
    torch.set_num_threads(1)
    tower, step = load(options.run)
    pictures = Pictures.load()
    rows = np.setdiff1d(np.arange(len(pictures)), pictures.held_out())
    rows = np.random.default_rng(SEED).choice(rows, SAMPLE, replace=False)
    with torch.inference_mode():
        batches = [np.stack([resize(pictures[i]) for i in part]) for part in np.split(rows, 30)]
        z = torch.cat([tower(torch.from_numpy(batch)) for batch in batches])
        mean = z.mean(0) * options.centre
        for name, rows_ in (("as trained", z), ("centred", z - mean)):
            unit = F.normalize(rows_, dim=1)
            cosines = (unit @ unit.T)[~torch.eye(len(unit), dtype=torch.bool)]
            print(f"cosines of pictures, {name}: {cosines.mean():.3f} +- {cosines.std():.3f}")
    file = WEIGHTS / "image.onnx"
    calibration = [batch[:32] for batch in batches[:CALIBRATION]]
    quantise(build(tower, mean), calibration, file, "pictures")

    session = ort.SessionOptions()
    session.intra_op_num_threads = 1
    net = ort.InferenceSession(file, session, providers=["CPUExecutionProvider"])
    # Pictures that the calibration has not seen.
    unseen = slice(CALIBRATION * len(batches[0]), None)
    out = np.concatenate([net.run(None, {"pictures": batch})[0] for batch in batches[CALIBRATION:]])
    cosine = F.cosine_similarity(torch.from_numpy(out), (z - mean)[unseen])
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        net.run(None, {"pictures": batches[0][:32]})
        seconds.append(time.perf_counter() - start)
    print(
        f"step {step}: {file.stat().st_size / 1e6:.2f} MB, {min(seconds) / 32 * 1e3:.2f} ms"
        f" a picture in batches of 32, cosine with the unquantised"
        f" {cosine.mean():.4f}, at least {cosine.min():.4f}"
    )


if __name__ == "__main__":
    main()
