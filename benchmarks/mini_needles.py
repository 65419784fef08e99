"""The embedded encoder `mini`: finds real clips by descriptions, and what it costs.

    python benchmarks/mini_needles.py

Needles: every description of `videos/needles.json` (19 clips) and of `footage/clips/needles.json`
(47) ranks the clips beside it by the cosine with the mean of five frames, and by the relevance that
`seal` makes of it. Photos: the first caption of each of 200
photos that no training step saw ranks them. Text: rank correlation of the table's cosines with the
sentence encoder's, on caption pairs. The intervals are 95 % bootstrap intervals over the queries.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np

from seal.config import MiniEncode
from seal.encode.mini import MiniEncoder
from seal.types import Float32, UInt8

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "training" / "mini"))
import data  # noqa: E402 (the split is defined once, by the recipe)

NEEDLES = ("videos/needles.json", "footage/clips/needles.json")
FRAMES = 5
RESAMPLES = 10_000
CALIBRATED = ", calibrated relevance"


def frames_of(path: Path, count: int = FRAMES) -> list[UInt8]:
    """`count` RGB frames in the middle of equal parts of the clip."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = float((stream.start_time or 0) * stream.time_base)
        duration = container.duration / av.time_base
        wanted = [start + duration * (i + 0.5) / count for i in range(count)]
        found: list[UInt8] = []
        # In order: some clips have a single keyframe, so that each seek would start over.
        for frame in container.decode(stream):
            if frame.time >= wanted[len(found)]:
                found.append(frame.to_ndarray(format="rgb24"))
                if len(found) == count:
                    break
    return found


def clip_embedding(encoder: MiniEncoder, path: Path) -> Float32:
    """[d] the mean of the frames' embeddings, L2-normalised."""
    mean = encoder.encode_images(frames_of(path))[:, 0].mean(0)
    unit: Float32 = mean / np.linalg.norm(mean)
    return unit


def needles(folder: Path, name: str = NEEDLES[0]) -> list[dict]:
    """Every needle's {"id", "file", "queries"}, files relative to `folder`."""
    entries: list[dict] = json.loads((folder / name).read_text())["needles"]
    # The files of footage are relative to that folder.
    base = "footage/" if name.startswith("footage") else ""
    return [entry | {"file": base + entry["file"]} for entry in entries]


def relevance(
    encoder: MiniEncoder, texts: list[str], pictures: Float32, calibrated: bool = True
) -> Float32:
    """[texts, pictures] of embeddings [pictures, d]: as `seal find` sees it, or cosines."""
    queries = encoder.encode_texts(texts)
    if not calibrated:
        return queries @ pictures.T
    lines = [encoder.calibration.line(query) for query in queries]
    return np.stack([pictures @ direction + offset for direction, offset in lines])


def needle_ranks(
    encoder: MiniEncoder, folder: Path, calibrated: bool = False, name: str = NEEDLES[0]
) -> UInt8:
    """[2, n] for both descriptions of every needle how many clips rank before its own."""
    all_ = needles(folder, name)
    clips = np.stack([clip_embedding(encoder, folder / n["file"]) for n in all_])
    texts = [[n["queries"][i] for n in all_] for i in (0, 1)]
    return np.stack([ranks(relevance(encoder, t, clips, calibrated)) for t in texts])


def ranks(scores: Float32) -> UInt8:
    """How many columns of each row rank before the diagonal's: equal scores do, and NaN."""
    return (~(scores < scores.diagonal()[:, None])).sum(1) - 1


def report(name: str, found: UInt8, cuts: tuple[int, ...], of: int) -> None:
    draws = np.random.default_rng(0).integers(0, len(found), (RESAMPLES, len(found)))
    for cut in cuts:
        hits = found < cut
        low, high = np.percentile(hits[draws].mean(1), (2.5, 97.5))
        print(
            f"| {name} | R@{cut} | {hits.mean():.3f} | {low:.3f} to {high:.3f} | {cut / of:.3f} |"
        )


def held_out() -> tuple[list[UInt8], list[list[str]]]:
    """The photos that no training step saw, and the five captions of each."""
    members = list(data.members())
    kept = [members[i] for i in data.held_out([meta for _, meta in members])]
    images = [cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR_RGB) for code, _ in kept]
    return images, [meta["captions"] for _, meta in kept]


def photos(encoder: MiniEncoder) -> None:
    """Held-out photos, and the text tower on their captions."""
    images, captions = held_out()
    pictures = encoder.encode_images(images)[:, 0]
    first = [several[0] for several in captions]
    for calibrated in (False, True):
        name = f"held-out photos, first caption{CALIBRATED * calibrated}"
        found = ranks(relevance(encoder, first, pictures, calibrated))
        report(name, found, (1, 5, 10), len(images))
    cosines = pictures @ pictures.T
    cosines = cosines[~np.eye(len(cosines), dtype=bool)]
    print(
        f"| cosines of photos | mean, deviation | {cosines.mean():.3f}, {cosines.std():.3f} | | |"
    )

    from text import SentenceEncoder, spearman

    sentences = [c for several in captions for c in several]
    small, large = encoder.encode_texts(sentences), SentenceEncoder()(sentences)
    a, b = np.random.default_rng(0).integers(0, len(sentences), (2, 20_000))
    a, b = a[a != b], b[a != b]
    cosine = [(e[a] * e[b]).sum(1) for e in (small, large)]
    draws = np.random.default_rng(1).integers(0, len(a), (200, len(a)))
    low, high = np.percentile([spearman(*(c[d] for c in cosine)) for d in draws], (2.5, 97.5))
    print(f"| text tower | Spearman | {spearman(*cosine):.3f} | {low:.3f} to {high:.3f} | 0 |")


def cost(encoder: MiniEncoder) -> None:
    crops = list(np.random.default_rng(0).integers(0, 256, (32, 128, 128, 3), np.uint8))
    for name, job, count in (
        ("picture, batches of 32", lambda: encoder.encode_images(crops), 32),
        ("text query", lambda: encoder.encode_texts(["a red car on a wet street at night"]), 1),
    ):
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            job()
            seconds.append((time.perf_counter() - start) / count)
        best, median = 1e3 * min(seconds), 1e3 * float(np.median(seconds))
        print(f"| {name} | ms | {median:.3f} | best {best:.3f} | |")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    encoder = MiniEncoder(MiniEncode())
    cv2.setNumThreads(1)
    print(f"{encoder.fingerprint}\n\n| what | figure | measured | 95 % interval | chance |")
    print("|---|---|---|---|---|")
    for name, calibrated in itertools.product(NEEDLES, (False, True)):
        first, second = needle_ranks(encoder, data.DATA, calibrated, name)
        what, how = f"{len(first)} needles", CALIBRATED * calibrated
        report(f"{what}, first description{how}", first, (1, 3, 5), len(first))
        report(f"{what}, second description{how}", second, (1, 3, 5), len(second))
    photos(encoder)
    cost(encoder)


if __name__ == "__main__":
    main()
