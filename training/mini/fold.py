"""An exported network of 8 bits without the work that changes nothing.

    python training/mini/fold.py FILE...

ONNX Runtime quantises what a convolution says, and what a ReLU makes of it once more, and joins
and enlarges maps in floats. Here the first of the two goes: the second, whose zero stands for 0,
cuts off what lies below, and rounds less. What joins, enlarges or pools maps works on their 8 bits.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import helper

MOVES = ("Concat", "Resize", "MaxPool")
"""Operators that take values as they are."""


class Folding:
    """The nodes of a graph while they are changed."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.outputs = {one.name for one in graph.output}

    def maker(self, value: str) -> onnx.NodeProto | None:
        return next((node for node in self.nodes if value in node.output), None)

    def users(self, value: str, kind: str = "") -> list[onnx.NodeProto]:
        return [n for n in self.nodes if value in n.input and n.op_type in (kind or n.op_type,)]

    def replace(self, old: str, new: str, kinds: tuple[str, ...] = ()) -> None:
        """Let the nodes that take `old`, or those of them of some kinds, take `new`."""
        for node in self.users(old):
            if not kinds or node.op_type in kinds:
                node.input[:] = [new if value == old else value for value in node.input]

    def quantise(self, value: str, like: onnx.NodeProto) -> None:
        """Give a value in floats the 8 bits that another one has."""
        names = [f"{value}_{kind}Linear_Output" for kind in ("Quantize", "Dequantize")]
        there = [
            helper.make_node("QuantizeLinear", [value, *like.input[1:]], names[:1]),
            helper.make_node("DequantizeLinear", [names[0], *like.input[1:]], names[1:]),
        ]
        self.replace(value, names[1])
        at = next(i for i, node in enumerate(self.nodes) if value in node.output)
        self.nodes[at + 1 : at + 1] = there

    def settle(self) -> None:
        """What operators of `MOVES` take is quantised, as what they make is."""
        # A pooled map goes the way of the map, and what is joined decides last.
        for node in reversed([node for node in self.nodes if node.op_type in MOVES]):
            made = self.users(node.output[0], "QuantizeLinear")
            if not made:
                continue
            count = len(node.input) if node.op_type == "Concat" else 1
            for value in list(node.input)[:count]:
                maker = self.maker(value)
                in_floats = maker is not None and maker.op_type != "DequantizeLinear"
                if in_floats and not self.users(value, "QuantizeLinear"):
                    self.quantise(value, made[0])

    def fold(self) -> None:
        """Let each ReLU go: what it is made of is quantised as its own output is."""
        for relu in [node for node in self.nodes if node.op_type == "Relu"]:
            back = self.maker(relu.input[0])
            own = self.users(relu.output[0], "QuantizeLinear")
            if back is None or back.op_type != "DequantizeLinear" or len(own) != 1:
                continue
            first = self.maker(back.input[0])
            if first is None or self.users(back.output[0]) != [relu]:
                continue
            own[0].input[0] = first.input[0]
            (after,) = self.users(own[0].output[0], "DequantizeLinear")
            self.replace(relu.output[0], after.output[0])
            gone = (relu, back, first)
            self.nodes = [node for node in self.nodes if not any(node is one for one in gone)]


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with fewer steps; it says the same but for rounding."""
    graph = model.graph
    folding = Folding(graph)
    folding.settle()
    folding.fold()
    del graph.node[:]
    graph.node.extend(folding.nodes)
    used = {value for node in graph.node for value in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    for name in sys.argv[1:]:
        onnx.save(folded(onnx.load(name)), Path(name))
