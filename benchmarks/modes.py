"""The paper's two modes on composites of real clips: streaming against global, for both heads.

    python benchmarks/localisation.py train --out DIR --kinds tokens --fold 0,1,2
    python benchmarks/modes.py --out DIR --fold 0,1,2 [--window 60] [--sheets 12]
    python benchmarks/modes.py --fold 0,1,2 --only chosen,evidence     # needs no training

Heads: a trained head looks at tokens chosen from all at once, or window by window, with the same
budget; R@1 and R@5 at an IoU of 0.5. Chosen: of the tokens of the clip asked for the share that is
among the positions that a head looks at, by the rule of its default options. Evidence: what `seal
ask` shows a model, as a share of the questions for which it holds a token of the clip asked for;
window by window as `seal watch --answerer` chooses. Intervals are 95 % bootstrap intervals over
clips; those of ratio and difference are paired.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from answering import question
from localisation import BUDGETS, DATA, LEAST, listed, thirds, unseen
from seal.answer.evidence import gather
from seal.attention import relevance
from seal.config import DecodeOptions, HeadOptions, SelectOptions, WatchOptions
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
from seal.ground.composites import Sheet, sheets
from seal.ground.examples import Timeline, chosen
from seal.scope import Scope
from seal.store import Store
from seal.types import Mask, Span

MEASURED = ("heads", "chosen", "evidence")
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


def chosen_positions(material: Material, window_s: float, count: int) -> Shares:
    modes = {
        f"share of the clip among {budget} positions{mode}": HeadOptions(
            budget=budget, stream_s=stream_s
        )
        for budget in BUDGETS
        for mode, stream_s in (("", None), (STREAMING, window_s))
    }
    shares: dict[str, list[list[float]]] = {
        mode: [[] for _ in material.test_clips] for mode in modes
    }
    for sheet in sheets(material.test_films, material.test_clips, count):
        video = Timeline.of(sheet.tokens)
        for i, (clip, span) in enumerate(zip(material.test_clips, sheet.spans, strict=True)):
            of_clip = within(sheet, span)
            for query in clip.queries:
                scores = relevance(sheet.tokens, query, material.encoder.calibration)
                for mode, options in modes.items():
                    rows = chosen(video, scores[None], options)
                    shares[mode][i].append(of_clip[rows].sum() / max(1, of_clip.sum()))
    return {mode: [float(np.mean(each)) for each in of_clips] for mode, of_clips in shares.items()}


def within(sheet: Sheet, span: Span) -> Mask:
    """[n] the tokens whose middle lies in a span."""
    middle_s = sheet.tokens.middle_s
    return (middle_s >= span.start_s) & (middle_s < span.end_s)


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
            of_clip = within(sheet, span)
            for way, choose in ways.items():
                shown[way][i] += [
                    bool(of_clip[choose(video, question(text), EVIDENCE).rows].any())
                    for text in texts[clip.id]
                ]
    return {way: [float(np.mean(each)) for each in of_clips] for way, of_clips in shown.items()}


def main(
    out: Path,
    store: str,
    folds: Sequence[int],
    window_s: float,
    count: int,
    only: Sequence[str],
) -> None:
    shares: Shares = defaultdict(list)
    for fold in folds:
        material = unseen(store, fold)
        measured: Shares = {}
        if "heads" in only:
            head = str(out / f"tokens-{fold}" / "head")
            measured |= localised(material, head, window_s, count)
        if "chosen" in only:
            measured |= chosen_positions(material, window_s, count)
        if "evidence" in only:
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
    parser.add_argument("--only", type=listed, default=MEASURED, metavar=",".join(MEASURED))
    main(**vars(parser.parse_args()))
