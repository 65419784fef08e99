"""Step 7: what tells a match from the best of nothing -> weights/calibration.npz.

The means and the covariance are those of training pictures and their crops, captions and labels.
The logistic regression sees made-up videos: a held-out photo hidden among training pictures, each
as the many crops that a shot would give, asked for with its own caption or with another's.
"""

from __future__ import annotations

import numpy as np
from text import label_text

from data import SEED, WEIGHTS, Pictures, arguments, crop
from seal.config import MiniEncode
from seal.encode.calibration import Calibration
from seal.encode.mini import MiniEncoder

SAMPLE = 3000
"""Training pictures that stand for pictures in general."""
VIEWS = 8
"""Crops of each picture, the whole one included."""
SHOT = 25
"""Tokens of one shot: nine of each of the two or three frames that are looked at in five seconds.
They are alike, so that their best is no higher than that of `VIEWS` crops."""
LARGEST = 4096
"""Tokens of the longest made-up video; their numbers are spread evenly on a logarithmic scale."""
ROUNDS = 4
"""Made-up videos with and without each caption's photo."""


def embed(encoder: MiniEncoder, pictures: Pictures, rows: np.ndarray) -> np.ndarray:
    """[len(rows), VIEWS, d]."""
    views = [[crop(pictures[i], k, i) for k in range(VIEWS)] for i in rows.tolist()]
    return np.stack([encoder.encode_images(crops)[:, 0] for crops in views])


def logistic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weights [f] of the features x [n, f] that make y [n] likeliest, by Newton's method."""
    weights = np.zeros(x.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ weights))
        weights += np.linalg.solve((x.T * (p * (1 - p))) @ x, x.T @ (y - p))
    return weights


def main() -> None:
    arguments(__doc__)
    pictures, encoder = Pictures.load(), MiniEncoder(MiniEncode())
    held = pictures.held_out()
    train = np.setdiff1d(np.arange(len(pictures)), held)
    meta = [pictures.meta[i] for i in train]
    captions = [c for m in meta for c in m["captions"]]
    labels = sorted({label_text(m["label"]) for m in meta if m["label"]})
    # Half sentences, half names of things: people ask in both ways.
    texts = (encoder.encode_texts(captions).mean(0) + encoder.encode_texts(labels).mean(0)) / 2
    rng = np.random.default_rng(SEED)
    seen = embed(encoder, pictures, rng.choice(train, SAMPLE, replace=False))
    flat = seen.reshape(-1, encoder.dimension)
    statistics = {
        "texts": texts.astype(np.float16),
        "pictures": flat.mean(0).astype(np.float16),
        "covariance": np.cov(flat.T).astype(np.float16),
    }
    wide = {name: value.astype(np.float32) for name, value in statistics.items()}
    measure = Calibration(**wide, slope=0, crowd=0, bias=0)

    shown = embed(encoder, pictures, held)
    features, truth = [], []
    for photo, i in enumerate(held.tolist()):
        for query in encoder.encode_texts(pictures.meta[i]["captions"]):
            direction, offset = measure.line(query)
            background, own = seen @ direction + offset, shown @ direction + offset
            for _ in range(ROUNDS):
                n = int(np.exp(rng.uniform(0, np.log(LARGEST))))
                rest = background[rng.integers(0, len(background), n // SHOT)].max(initial=-1)
                other = (photo + rng.integers(1, len(held))) % len(held)
                some = rng.permutation(VIEWS)[:n]
                for is_shown, crops in ((1, own[photo, some]), (0, own[other, some])):
                    features.append((max(crops.max(), rest), np.log(n), 1))
                    truth.append(is_shown)
    x, y = np.array(features), np.array(truth)
    fitted = dict(zip(("slope", "crowd", "bias"), logistic(x, y).tolist(), strict=True))
    print({name: round(value, 3) for name, value in fitted.items()})
    right = (x @ np.array([*fitted.values()]) > 0) == y
    for low, high in ((1, 8), (8, 64), (64, 512), (512, LARGEST)):
        of = (x[:, 1] >= np.log(low)) & (x[:, 1] < np.log(high))
        print(f"{low} to {high} tokens: {right[of].mean():.3f} right on {of.sum()} made-up videos")
    # For the test that the statistics are those of the weights beside them.
    np.savez(
        WEIGHTS / "calibration.npz", **statistics, **fitted, encoder=np.array(encoder.fingerprint)
    )


if __name__ == "__main__":
    main()
