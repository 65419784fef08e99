"""The localisation head on composites of real clips: what training brings, and what it costs.

    python benchmarks/localisation.py train --out DIR     # tokens, frames, and the baseline SnAG
    python benchmarks/localisation.py clips --out DIR     # unseen clips, against `seal find`
    python benchmarks/localisation.py speed               # what a further query costs
    python benchmarks/localisation.py queries             # a hundred queries against one

`train` and `clips` take --kinds tokens,snag for some of the heads, --fold 0,1,2 for the thirds of
the clips that are held out one after the other, and `train` settings such as --set train.steps=500.
Clips and films are indexed once, into --store. Intervals are 95 % bootstrap intervals over clips,
those of all folds together; all queries for a clip count as one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from queries import made_up_record, random_tokens
from seal import Options, Tokens, encode
from seal.config import DecodeOptions, FindOptions, HeadOptions, SnagOptions
from seal.evaluate.bootstrap import bootstrap, ratio
from seal.evaluate.composites import (
    FOLDS,
    Material,
    Ranked,
    gather,
    hits,
    mean_iou,
    measure,
    trained,
    untrained,
)
from seal.ground.checkpoint import load
from seal.ground.model import Head, Positions, Queries
from seal.ground.train import Localisation
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
FILM_S, FILM_TOKENS, ASKED = 636.0, 3089, 100


def train(
    out: Path, store: str, folds: Sequence[int], kinds: Sequence[str], settings: list[str]
) -> None:
    """One run for each fold and each kind of position, by the command that users have."""
    print("| head | fold | time | of CPU | waited for examples |\n|---|---|---|---|---|")
    for fold, kind in product(folds, kinds):
        run = out / f"{kind}-{fold}"
        command = [sys.executable, "-m", "seal.cli", "train", "ground", "--data", DATA]
        command += ["--output", str(run), "--store", store, "--fold", str(fold)]
        command += [part for film in FILMS for part in ("--film", film)]
        command += [part for clip in UNDESCRIBED for part in ("--clip", clip)]
        command += [*KINDS[kind], *(part for setting in settings for part in ("--set", setting))]
        cpu = os.times()
        subprocess.run(command, check=True, stdout=sys.stderr)
        spent = os.times()
        seconds = spent.elapsed - cpu.elapsed
        used = spent.children_user + spent.children_system - cpu.children_user - cpu.children_system
        waited = json.loads((run / "manifest.json").read_text())["finished"]["waited"]
        times = f"{seconds / 60:.1f} min | {used / 60:.1f} min"
        print(f"| {kind} | {fold} | {times} | {waited:.1%} |", flush=True)


def unseen(store: str, fold: int) -> Material:
    """The clips that the runs of a fold have not seen, and halves of films to splice them into."""
    return gather(
        *(DATA, Store(store, create=True)),
        fold=fold,
        films=FILMS,
        others=UNDESCRIBED,
        photos=0,
        head=SnagOptions(),
    )


def clips(out: Path, store: str, folds: Sequence[int], kinds: Sequence[str]) -> None:
    """Recall on the clips that the runs in `out` have not seen."""
    found: dict[str, list[Ranked]] = defaultdict(list)
    for fold in folds:
        material = unseen(store, fold)
        encoder = material.encoder
        find = {"seal find": untrained(encoder, FindOptions())}
        for kind in kinds:
            head = load(str(out / f"{kind}-{fold}" / "head"), encoder=encoder.fingerprint)
            for budget in BUDGETS:
                find[f"{kind}, {budget}"] = trained(encoder, head, DecodeOptions(), budget)
        measured = measure(material, find)
        first = f"{kinds[0]}, {BUDGETS[0]}"
        measured |= {
            f"{first}, {name}": of_clips
            for name, of_clips in measure(
                material, {"asked for another clip": find[first]}, mismatched=True
            ).items()
        }
        for name, of_clips in measured.items():
            found[name] += of_clips
    queries = sum(map(len, found["seal find"]))
    print(f"{queries} queries, {len(found['seal find'])} clips\n")
    print("| | R@1 IoU >= 0.3 | 0.5 | 0.7 | R@5 IoU >= 0.5 | mean IoU |\n|---|---|---|---|---|---|")
    for name, of_clips in found.items():
        cells = [bootstrap(hits(of_clips, least)) for least in (0.3, LEAST, 0.7)]
        cells += [bootstrap(hits(of_clips, LEAST, top=5)), bootstrap(mean_iou(of_clips))]
        print(f"| {name} | {' | '.join(map(str, cells))} |")
    print()
    plain = hits(found["seal find"], LEAST)
    for budget in BUDGETS:
        at = {kind: hits(found[f"{kind}, {budget}"], LEAST) for kind in kinds}
        print(f"{kinds[0]} against seal find at {budget}: {ratio(at[kinds[0]], plain)} times")
        for kind in kinds[1:]:
            ahead = bootstrap(np.subtract(at[kinds[0]], at[kind]))
            print(f"{kinds[0]} ahead of {kind} at {budget}: {ahead}")


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


def many() -> None:
    """CPU time of `Video.find` with a head for a hundred queries, against one: of a whole process,
    as a command or a script is; of the calls from opening the store on; and of the same calls once
    more, when every library and the head are loaded.

    The video is made up, of the length and with as many tokens as Big Buck Bunny has; the weights
    are random.
    """
    options = Options.load()
    encoder = encode.load(options.encode)
    with TemporaryDirectory() as folder:
        made_up_film(Store(f"{folder}/store", create=True), options)
        print("| positions | | one query | 100 | ratio |\n|---|---|---|---|---|")
        for positions in ("tokens", "frames"):
            sizes = HeadOptions(
                positions=positions, dimension=encoder.dimension, encoder=encoder.fingerprint
            )
            (Path(folder) / positions).mkdir()
            Localisation(Head.of(sizes)).save(Path(folder) / positions)
            # In turn, so that other work on the machine is in both.
            runs = [[asked(folder, positions, count) for count in (1, ASKED)] for _ in range(3)]
            for name, (one, all_) in zip(MEASURED, np.median(runs, axis=0).T, strict=True):
                print(f"| {positions} | {name} | {one:.2f} s | {all_:.2f} s | {all_ / one:.1f} |")


def made_up_film(store: Store, options: Options) -> None:
    rng, keys = np.random.default_rng(0), dict.fromkeys(("scene", "object", "action"), "k")
    start = np.sort(rng.uniform(0, FILM_S, FILM_TOKENS))
    kinds = rng.choice(list(keys), FILM_TOKENS, p=(0.2, 0.6, 0.2))
    end = start + np.where(kinds == "action", rng.uniform(0.8, 5, FILM_TOKENS), 0.04)
    vectors = random_tokens(FILM_TOKENS, 0, encode.load(options.encode).dimension, rng).facets
    tokens = Tokens.of(
        *(kinds, np.rint(np.stack([start, end], 1) * 1e6), Fraction(1, 10**6), vectors),
        ids=[f"{kind}-{i}" for i, kind in enumerate(kinds)],
        video_id="film",
        boxes=np.tile(np.array([0, 0, 1, 1], np.float32), (FILM_TOKENS, 1)),
    )
    record = made_up_record("film", FILM_S, options)
    store.begin(record, keys)
    store.add("film", 0, keys, tokens, dict.fromkeys(tokens.pts[:, 0].tolist(), b"not looked at"))
    store.finish(record, keys)


def asked(folder: str, positions: str, count: int) -> list[float]:
    """Seconds of CPU time of a process that asks so many queries, as in `MEASURED`."""
    run = subprocess.run(
        [sys.executable, "-c", _ASK, f"{folder}/store", f"{folder}/{positions}", str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(each) for each in run.stdout.split()]


MEASURED = ("process", "calls", "calls, all loaded")
_ASK = """
import sys, time
import torch, seal, seal.ground.localise
torch.set_num_threads(1)
store, head, count = sys.argv[1:]
at = [time.process_time()]
for _ in range(2):
    video = seal.open(store).video("film")
    for i in range(int(count)):
        video.find(f"a red ball number {i} on the grass", head=head)
    at.append(time.process_time())
print(at[1], at[1] - at[0], at[2] - at[1])
"""


def best(work: Callable[[], object]) -> float:
    """The least CPU time of several runs, in seconds."""
    spent = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def listed(text: str) -> list[str]:
    return text.split(",")


def thirds(text: str) -> list[int]:
    return [range(FOLDS)[int(fold)] for fold in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description="The localisation head on composites.")
    parser.add_argument("what", choices=("train", "clips", "speed", "queries"))
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the runs are")
    parser.add_argument("--store", default=".seal-ground")
    parser.add_argument("--fold", dest="folds", type=thirds, default=[0], metavar="0,1,2")
    parser.add_argument("--kinds", type=listed, default=list(KINDS), metavar=",".join(KINDS))
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    if unknown := set(given.kinds) - set(KINDS):
        parser.error(f"unknown kinds {', '.join(unknown)}; valid: {', '.join(KINDS)}")
    if given.what == "train":
        train(given.out, given.store, given.folds, given.kinds, given.settings)
    elif given.what == "clips":
        clips(given.out, given.store, given.folds, given.kinds)
    elif given.what == "speed":
        speed()
    else:
        many()


if __name__ == "__main__":
    main()
