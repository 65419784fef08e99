"""Step 8: what pictures and texts are like in general -> weights/calibration.npz.

The means and the covariance are those of training pictures and their crops, captions and labels.
"""

from __future__ import annotations

import numpy as np
from text import label_text

from data import SEED, WEIGHTS, Pictures, arguments, crop
from seal.config import MiniEncode
from seal.encode.calibration import NUMBERS
from seal.encode.mini import MiniEncoder

SAMPLE = 3000
"""Training pictures that stand for pictures in general."""
GENERAL = 2000
"""So many of them are shipped."""
VIEWS = 8
"""Crops of each picture, the whole one included."""


def embed(encoder: MiniEncoder, pictures: Pictures, rows: np.ndarray) -> np.ndarray:
    """[len(rows), VIEWS, d]."""
    views = [[crop(pictures[i], k, i) for k in range(VIEWS)] for i in rows.tolist()]
    return np.stack([encoder.encode_images(crops)[:, 0] for crops in views])


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
    np.savez(
        WEIGHTS / "calibration.npz",
        texts=texts.astype(np.float16),
        pictures=flat.mean(0).astype(np.float16),
        covariance=np.cov(flat.T).astype(np.float16),
        general=seen[:GENERAL, 0].astype(np.float16),
        # For the test that the statistics are those of the weights beside them.
        encoder=np.array(encoder.fingerprint),
        # Relevance by pictures needs none of these; step 11 fits them.
        **dict.fromkeys(NUMBERS, 0.0),
    )


if __name__ == "__main__":
    main()
