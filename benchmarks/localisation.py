"""The localisation head on composites of real clips: what training brings, and what it costs.

    python benchmarks/localisation.py train --out DIR     # tokens, frames, and the baseline SnAG
    python benchmarks/localisation.py clips --out DIR     # unseen clips, against `seal find`
    python benchmarks/localisation.py speed               # what a further query costs

`train` and `clips` take --fold 1 or 2 for the other thirds of the clips, and `train` settings such
as --set train.steps=500. Clips and films are indexed once, into --store. Intervals are 95 %
bootstrap intervals over clips; all queries for a clip count as one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seal.config import DecodeOptions, FindOptions, HeadOptions, SnagOptions
from seal.evaluate.bootstrap import bootstrap
from seal.evaluate.composites import gather, measure, recall, trained, untrained
from seal.ground.checkpoint import load
from seal.ground.model import Head, Positions, Queries
from seal.store import Store

DATA = os.environ.get("SEAL_TEST_DATA", str(Path(__file__).parents[2] / "shared" / "data"))
KINDS = {
    "tokens": ["--set", "head.positions=tokens"],
    "frames": ["--set", "head.positions=frames"],
    "snag": ["--design", "snag"],
}
"""The runs, and what they add to the command."""
FILMS = ("videos/big_buck_bunny_360p.mp4", "videos/popeye_*.mkv")
UNDESCRIBED = ("videos/asl/*.mkv",)
BUDGETS = (450, 200, 100)
LEAST = 0.5
POSITIONS, QUERIES, REPEATS = 2304, 32, 5


def train(out: Path, store: str, fold: int, settings: list[str]) -> None:
    """One run for each kind of position, by the command that users have."""
    for kind, design in KINDS.items():
        command = [sys.executable, "-m", "seal.cli", "train", "ground", "--data", DATA]
        command += ["--output", str(out / f"{kind}-{fold}"), "--store", store, "--fold", str(fold)]
        command += [part for film in FILMS for part in ("--film", film)]
        command += [part for clip in UNDESCRIBED for part in ("--clip", clip)]
        command += [*design, *(part for setting in settings for part in ("--set", setting))]
        cpu = os.times()
        subprocess.run(command, check=True)
        spent = os.times()
        seconds = spent.elapsed - cpu.elapsed
        used = spent.children_user + spent.children_system - cpu.children_user - cpu.children_system
        manifest = json.loads((out / f"{kind}-{fold}" / "manifest.json").read_text())
        waited = manifest["finished"]["waited"]
        print(f"| {kind} | {seconds / 60:.1f} min | {used / 60:.1f} min | {waited:.1%} |")


def clips(out: Path, store: str, fold: int) -> None:
    """Recall on the clips that the runs in `out` have not seen."""
    material = gather(
        *(DATA, Store(store, create=True)),
        fold=fold,
        films=FILMS,
        others=UNDESCRIBED,
        photos=0,
        head=SnagOptions(),
    )
    encoder = material.encoder
    find = {"seal find": untrained(encoder, FindOptions())}
    for kind in KINDS:
        head = load(str(out / f"{kind}-{fold}" / "head"), encoder=encoder.fingerprint)
        for budget in BUDGETS:
            find[f"{kind}, {budget}"] = trained(encoder, head, DecodeOptions(), budget)
    found = measure(material, find)
    print(f"{sum(map(len, found['seal find']))} queries, {len(material.test_clips)} clips\n")
    print("| | R@1 IoU >= 0.3 | 0.5 | 0.7 | mean IoU |\n|---|---|---|---|---|")
    for name, of_clips in found.items():
        cells = [str(recall(of_clips, least)) for least in (0.3, LEAST, 0.7)]
        mean = bootstrap([float(np.mean(each)) for each in of_clips])
        print(f"| {name} | {' | '.join(cells)} | {mean} |")
    best = {name: recall(of_clips, LEAST).mean for name, of_clips in found.items()}
    print(f"\ntokens, 450 against seal find: {best['tokens, 450'] / best['seal find']:.2f} times")
    for budget in BUDGETS:
        hits = {
            kind: [np.mean(np.array(each) >= LEAST) for each in found[f"{kind}, {budget}"]]
            for kind in KINDS
        }
        for kind in ("frames", "snag"):
            ahead = bootstrap(np.subtract(hits["tokens"], hits[kind]))
            print(f"tokens ahead of {kind} at {budget}: {ahead}")
    control = {"asked for another clip": find["tokens, 450"]}
    ((_, of_clips),) = measure(material, control, mismatched=True).items()
    print(f"tokens, 450, asked for another clip: {recall(of_clips, LEAST)}")


def speed() -> None:
    """CPU time of the video alone, with one query, and of each further one; one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = Head.of(HeadOptions()).eval()
    start = torch.rand(1, POSITIONS).mul(600).sort(1)[0]
    spans = torch.stack([start, start + torch.rand(1, POSITIONS)], -1)
    video = Positions(
        torch.randn(1, POSITIONS, head.sizes.dimension),
        torch.randint(0, 3, (1, POSITIONS)),
        spans,
        torch.rand(1, POSITIONS, 2, 2).sort(2)[0].flatten(2),
        torch.ones(1, POSITIONS).bool(),
    )
    queries = Queries(
        torch.randn(1, QUERIES, 1, head.sizes.dimension),
        torch.ones(1, QUERIES, 1).bool(),
        torch.randn(1, QUERIES, POSITIONS) * 0.1,
    )
    one = Queries(*(column[:, :1] for column in queries))
    with torch.inference_mode():
        levels = head.encode(video)
        encode = best(lambda: head.encode(video))
        first = encode + best(lambda: head.answer(levels, one))
        every = encode + best(lambda: head.answer(levels, queries))
    further = (every - first) / (QUERIES - 1)
    print(f"{POSITIONS:,} positions, {QUERIES} queries; {1000 * encode:.0f} ms for the video,")
    print(f"{1000 * first:.0f} ms with one query, {1000 * further:.1f} ms for each further one:")
    print(f"1/{first / further:.0f} of the first")


def best(work: Callable[[], object]) -> float:
    """The least CPU time of several runs, in seconds."""
    spent = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description="The localisation head on composites.")
    parser.add_argument("what", choices=("train", "clips", "speed"))
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the runs are")
    parser.add_argument("--store", default=".seal-ground")
    parser.add_argument("--fold", type=int, choices=(0, 1, 2), default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    if given.what == "train":
        train(given.out, given.store, given.fold, given.settings)
    elif given.what == "clips":
        clips(given.out, given.store, given.fold)
    else:
        speed()


if __name__ == "__main__":
    main()
