"""The paper's two modes on composites of real clips: streaming against global, for both heads.

    python benchmarks/localisation.py train --out DIR --kinds tokens --fold 0,1,2
    python benchmarks/modes.py --out DIR --fold 0,1,2 [--window 60] [--sheets 12]

Localisation: a trained head looks at tokens chosen from all at once, or window by window, with the
same budget; R@1 and R@5 at an IoU of 0.5. Evidence: what `seal ask` shows a model, as a share of
the questions for which it holds a token of the clip asked for; window by window as `seal watch
--answerer` chooses. Intervals are 95 % bootstrap intervals over clips; those of ratio and
difference are paired.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from answering import question
from localisation import BUDGETS, DATA, LEAST, thirds, unseen
from seal.answer.evidence import gather
from seal.config import DecodeOptions, SelectOptions, WatchOptions
from seal.evaluate.bootstrap import bootstrap, ratio
from seal.evaluate.composites import (
    SHEETS,
    Material,
    described_clips,
    hits,
    measure,
    trained,
)
from seal.evaluate.methods import STREAMING
from seal.evaluate.ways import Streamed
from seal.ground.checkpoint import load
from seal.ground.composites import sheets
from seal.scope import Scope
from seal.store import Store

EVIDENCE = 16
"""Tokens that a model is shown."""

Shares = dict[str, list[float]]
"""By what is measured, the share of each clip's queries that are answered."""


def localised(material: Material, head: str, window_s: float, count: int) -> Shares:
    network = load(head, encoder=material.encoder.fingerprint)
    modes = {"": SelectOptions(), STREAMING: SelectOptions(stream_s=window_s)}
    finders = {
        f"{budget} positions{mode}": trained(
            material.encoder, network, DecodeOptions(), budget, select
        )
        for budget in BUDGETS
        for mode, select in modes.items()
    }
    found = measure(material, finders, count)
    return {
        f"R@{top}, {name}": hits(of_clips, LEAST, top)
        for top in (1, 5)
        for name, of_clips in found.items()
    }


def evidence(material: Material, store: Store, window_s: float, count: int) -> Shares:
    texts = {needle.id: needle.texts for needle in described_clips(Path(DATA))}
    name = f"evidence, {EVIDENCE} tokens"
    ways = {name: gather, name + STREAMING: Streamed(window_s)}
    shown: dict[str, list[list[bool]]] = {way: [[] for _ in material.test_clips] for way in ways}
    for sheet in sheets(material.test_films, material.test_clips, count):
        video = Scope.of(store, store.videos()[0].id, "ask")
        vars(video.content)["tokens"] = sheet.tokens
        vars(video.content)["encoder"] = material.encoder
        for i, (clip, span) in enumerate(zip(material.test_clips, sheet.spans, strict=True)):
            middle_s = sheet.tokens.middle_s
            of_clip = (middle_s >= span.start_s) & (middle_s < span.end_s)
            for way, choose in ways.items():
                shown[way][i] += [
                    bool(of_clip[choose(video, question(text), EVIDENCE).rows].any())
                    for text in texts[clip.id]
                ]
    return {way: [float(np.mean(each)) for each in of_clips] for way, of_clips in shown.items()}


def main(out: Path, store: str, folds: Sequence[int], window_s: float, count: int) -> None:
    shares: Shares = defaultdict(list)
    for fold in folds:
        material = unseen(store, fold)
        head = str(out / f"tokens-{fold}" / "head")
        measured = localised(material, head, window_s, count)
        measured |= evidence(material, Store(store), window_s, count)
        for name, of_clips in measured.items():
            shares[name] += of_clips
    clips = len(next(iter(shares.values())))
    print(f"{clips} clips, {count} composites of each fold, windows of {window_s:g} s\n")
    print("| | global | streaming | ratio | difference |\n|---|---|---|---|---|")
    for name, at_once in shares.items():
        if not name.endswith(STREAMING):
            streamed = shares[name + STREAMING]
            cells = [bootstrap(at_once), bootstrap(streamed), ratio(streamed, at_once)]
            cells.append(bootstrap(np.subtract(streamed, at_once)))
            print(f"| {name} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the runs are")
    parser.add_argument("--store", default=".seal-ground")
    parser.add_argument("--fold", dest="folds", type=thirds, default=[0], metavar="0,1,2")
    parser.add_argument("--window", dest="window_s", type=float, default=WatchOptions.window_s)
    parser.add_argument("--sheets", dest="count", type=int, default=SHEETS)
    main(**vars(parser.parse_args()))
