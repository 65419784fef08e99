"""Step 3: what the teacher says about every crop: class logits and a 4x4 map of features.

Needs `ai-edge-litert` (the TFLite runtime) and `flatbuffers`; run it from an environment of their
own. Resumable: rows are written in place, and a counter says how many are done.
"""

from __future__ import annotations

import time

import cv2
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from data import CACHE, CROPS, DATA, SEED, Pictures, arguments

MODEL = DATA / "teacher" / "mobilenet_v2_1.0_224_ptq.tflite"
SIZE = 224
GRID = 4
"""The 7x7 feature map is averaged to the student's last map."""
CHANNELS = 192
"""Principal components kept of its 1,280 channels."""
SAMPLE = 1500
"""Pictures from which they are computed."""


class Teacher:
    """The classifier with its last feature map as a second output."""

    def __init__(self) -> None:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(MODEL.read_bytes()))
        graph = model.subgraphs[0]
        maker = {int(op.outputs[0]): op for op in graph.operators}
        tensor = int(graph.outputs[0])
        chain = [tensor]
        while tensor in maker:
            tensor = int(maker[tensor].inputs[0])
            chain.append(tensor)
        # Backwards from the end: 1x1001 logits before the softmax, 7x7x1280 before the mean.
        shapes = [tuple(graph.tensors[t].shape) for t in chain]
        graph.outputs = [chain[shapes.index((1, 1, 1, 1001))], chain[shapes.index((1, 7, 7, 1280))]]
        model.signatureDefs = []
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        self._net = Interpreter(model_content=bytes(builder.Output()), num_threads=1)
        self._net.allocate_tensors()
        self._in = self._net.get_input_details()[0]["index"]
        outs = self._net.get_output_details()
        self._outs = [(o["index"], *o["quantization"]) for o in outs]

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits [1001] and the feature map [7, 7, 1280] of an RGB picture."""
        self._net.set_tensor(self._in, cv2.resize(picture, (SIZE, SIZE))[None])
        self._net.invoke()
        logits, features = (
            (self._net.get_tensor(i)[0].astype(np.float32) - zero) * scale
            for i, scale, zero in self._outs
        )
        return logits.reshape(-1), features


def cells(features: np.ndarray) -> np.ndarray:
    """[7, 7, C] averaged to [GRID * GRID, C], as torch's adaptive average pooling does."""
    edges = [(i * 7 // GRID, -(-(i + 1) * 7 // GRID)) for i in range(GRID)]
    means = [features[a:b, c:d].mean((0, 1)) for a, b in edges for c, d in edges]
    return np.stack(means)


def main() -> None:
    todo = arguments(__doc__, crops=CROPS).crops
    pictures, teacher = Pictures.load(), Teacher()
    n = len(pictures)

    basis_file = CACHE / "teacher_basis.npz"
    if not basis_file.exists():
        sample = np.random.default_rng(SEED).choice(n, SAMPLE, replace=False)
        x = np.concatenate([cells(teacher(pictures[i])[1]) for i in sample])
        mean = x.mean(0)
        _, vectors = np.linalg.eigh(np.cov((x - mean).T))
        basis = vectors[:, ::-1][:, :CHANNELS]
        kept = ((x - mean) @ basis).var(0).sum() / x.var(0).sum()
        print(f"{CHANNELS} components keep {kept:.3f} of the variance")
        np.savez(basis_file, mean=mean, basis=basis.astype(np.float32))
    stored = np.load(basis_file)
    mean, basis = stored["mean"], stored["basis"]

    done_file = CACHE / "teacher_done.txt"
    done = int(done_file.read_text()) if done_file.exists() else 0
    columns = {"logits": (1001,), "pooled": (1280,), "cells": (GRID * GRID, CHANNELS)}
    files = {}
    for name, shape in columns.items():
        path = CACHE / f"teacher_{name}.npy"
        mode, full = ("r+", None) if path.exists() else ("w+", (CROPS, n, *shape))
        files[name] = np.lib.format.open_memmap(path, mode, np.float16, full)
    start, first = time.time(), done
    for row in range(done, todo * n):
        k, i = divmod(row, n)
        logits, features = teacher(pictures.crop(i, k))
        files["logits"][k, i] = logits
        files["pooled"][k, i] = features.mean((0, 1))
        files["cells"][k, i] = (cells(features) - mean) @ basis
        if row % 2000 == 1999 or row + 1 == todo * n:
            done_file.write_text(str(row + 1))
            rate = (row + 1 - first) / (time.time() - start)
            print(f"{row + 1} of {todo * n}, {rate:.0f} crops/s", flush=True)


if __name__ == "__main__":
    main()
