"""Ablations on composites: which kinds of token, and which alpha, bring a clip into the evidence.

    python benchmarks/ablations.py [--store DIR] [--film FILE] [--kinds "scene|scene,object|all"]
        [--alpha 0:1:0.1] [--budget 16] [--places 2]

Each real clip is spliced into a real film, as in `seal eval haystack`, and asked for by its
descriptions. The evidence of a variant shows the clip if one of its tokens is of the clip. The
variants are those of `seal eval lvbench --kinds --alpha`, by the same code; published ways to
choose frames stand beside them. How well questions of LVBench's types are answered needs a model:
see docs/lab.md.
"""

import argparse

import numpy as np

from answering import question
from data import ROOT
from seal import Options
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.haystack import FILM, material, read_needles, splice
from seal.evaluate.ways import variants, ways
from seal.scope import Scope
from seal.store import Store

BASELINES = ("uniform", "topk", "aks", "bolt", "moviechat")


def main(store: str, film: str, kinds: str, alpha: str, budget: int, places: int) -> None:
    tokens = Store(store, create=True)
    hay, needles, clips = material(
        ROOT, tokens, Options.load(), ROOT / film, jobs=1, needles=read_needles(ROOT)
    )
    compared = variants(kinds, None) | variants(None, alpha) | ways(BASELINES)
    rng, length_s = np.random.default_rng(1), float(hay.tokens.end_s.max())
    shown: dict[str, list[float]] = {name: [] for name in compared}
    for i, needle in enumerate(needles):
        hits: dict[str, list[bool]] = {name: [] for name in compared}
        for place_s in rng.uniform(0, length_s, places):
            stack = splice(hay.tokens, [clips[i]], [place_s])
            video = Scope.of(tokens, hay.record.id, "ask")
            vars(video.content)["tokens"] = stack.tokens
            vars(video.content)["encoder"] = hay.content.encoder
            for text in needle.texts:
                for name, way in compared.items():
                    rows = way(video, question(text), budget).rows
                    hits[name].append(bool((stack.owner[rows] == 0).any()))
        for name, each in hits.items():
            shown[name].append(float(np.mean(each)))
    first = next(iter(compared))
    print(f"{len(needles)} clips in {film}; budget {budget}")
    print("share of questions whose evidence shows the clip, 95 % intervals over clips")
    print(f"{'evidence':28s}{'shown':>30s}{'ahead of ' + first:>34s}")
    for name, values in shown.items():
        ahead = bootstrap(np.array(values) - np.array(shown[first]))
        print(f"{name:28s}{bootstrap(values)!s:>30s}{ahead!s:>34s}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", default=".seal-haystack")
    parser.add_argument("--film", default=FILM, help="the hay, in the folder of the data")
    parser.add_argument("--kinds", default="scene|object|action|scene,object|all")
    parser.add_argument("--alpha", default="0:1:0.1")
    parser.add_argument("--budget", type=int, default=16)
    parser.add_argument("--places", type=int, default=2)
    main(**vars(parser.parse_args()))
