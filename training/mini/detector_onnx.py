"""The detector as ONNX."""

from __future__ import annotations

import numpy as np
import onnx
from detector import NAMES, Detector
from export import Graph
from model import Block, Conv
from onnx import TensorProto, helper
from torch import nn


def layers(graph: Graph, x: str, module: nn.Module) -> str:
    """The layers of a module one after another."""
    if isinstance(module, Block):
        inner = x
        for conv in module.body:
            inner = graph.conv(inner, conv)
        return graph.add("Relu", graph.add("Add", x, inner))
    if isinstance(module, Conv):
        return graph.conv(x, module)
    if isinstance(module, nn.Conv2d):
        weights = [graph.constant(part.detach().numpy()) for part in (module.weight, module.bias)]
        graph.layers.append(module)
        return graph.add("Conv", x, *weights)
    for part in module:
        x = layers(graph, x, part)
    return x


def written(net: Detector) -> Graph:
    """The nodes of the detector."""
    graph = Graph()
    scale = graph.constant(np.array([1, 1, 2, 2], np.float32))

    def up(x: str) -> str:
        return graph.add(
            "Resize",
            x,
            "",
            scale,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    x = graph.add("Cast", "picture", to=TensorProto.FLOAT)
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.add("Mul", x, graph.constant(np.array(1 / 127.5, np.float32)))
    x = graph.add("Sub", x, graph.constant(np.array(1, np.float32)))
    for module in (net.stem, net.stage2, net.stage3):
        x = layers(graph, x, module)
    dark3 = x
    dark4 = layers(graph, dark3, net.stage4)
    wider = [layers(graph, dark4, net.stage5)]
    for _ in range(3):
        wider.append(graph.add("MaxPool", wider[-1], kernel_shape=[5, 5], pads=[2] * 4))
    dark5 = layers(graph, graph.add("Concat", *wider, axis=1), net.pooled)
    side5 = layers(graph, dark5, net.side5)
    up4 = layers(graph, graph.add("Concat", up(side5), dark4, axis=1), net.up4)
    side4 = layers(graph, up4, net.side4)
    out3 = layers(graph, graph.add("Concat", up(side4), dark3, axis=1), net.up3)
    joined = graph.add("Concat", layers(graph, out3, net.down4), side4, axis=1)
    out4 = layers(graph, joined, net.out4)
    joined = graph.add("Concat", layers(graph, out4, net.down5), side5, axis=1)
    out5 = layers(graph, joined, net.out5)
    flat = graph.constant(np.array([1, 5 + NAMES, -1]))
    grids = []
    for x, head in zip((out3, out4, out5), net.heads, strict=True):
        x = layers(graph, x, head.stem)
        places = layers(graph, layers(graph, x, head.placed), head.places)
        names = layers(graph, layers(graph, x, head.named), head.names)
        grids.append(graph.add("Reshape", graph.add("Concat", places, names, axis=1), flat))
    x = graph.add("Transpose", graph.add("Concat", *grids, axis=2), perm=[0, 2, 1])
    split = graph.constant(np.array([4, 1 + NAMES]))
    graph.nodes.append(helper.make_node("Split", [x, split], ["boxes", "logits"], axis=2))
    graph.add("Concat", "boxes", graph.add("Sigmoid", "logits"), axis=2)
    graph.nodes[-1].output[0] = "cells"
    return graph


def build(net: Detector) -> onnx.ModelProto:
    """uint8 "picture" [1, height, width, 3] to "cells" [1, n, 5 + names]: boxes as they are,
    probabilities that a thing is there and of its names."""
    graph = written(net)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "mini detector",
            [
                helper.make_tensor_value_info(
                    "picture", TensorProto.UINT8, [1, "height", "width", 3]
                )
            ],
            [helper.make_tensor_value_info("cells", TensorProto.FLOAT, [1, "n", 5 + NAMES])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
