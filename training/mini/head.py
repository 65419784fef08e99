"""Step 4: a head that takes the teacher's features into the space of texts.

It is what the image tower regresses: pictures without a text, and crops, get a target too. It is
trained by captions and labels (contrastive) and by the teacher's own classes, which it has to
recognise by the embeddings of their names (ConSE, Norouzi et al. 2014, made trainable).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from model import Head, contrast, distil, recall
from text import class_names, label_text

from data import CACHE, CROPS, SEED, WEIGHTS, Pictures, arguments
from seal.encode.mini import TextTower


class Texts:
    """For every picture the embeddings of what is said about it."""

    def __init__(self, pictures: Pictures) -> None:
        tower = TextTower(WEIGHTS)
        said = [
            m["captions"] or ([label_text(m["label"])] if m["label"] else []) for m in pictures.meta
        ]
        self.counts = np.array([len(s) for s in said])
        self._first = np.cumsum(self.counts) - self.counts
        self._all = torch.tensor(tower([text for s in said for text in s]))
        self.classes = torch.tensor(tower(class_names()))

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """One text of each of these pictures, which have one at least: [n, d]."""
        return self._all[self._first[rows] + rng.integers(self.counts[rows])]

    def first(self, rows: np.ndarray) -> torch.Tensor:
        return self._all[self._first[rows]]


def main() -> None:
    options = arguments(__doc__, steps=600, batch=1024, lr=1e-3, crops=CROPS)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    pictures = Pictures.load()
    texts = Texts(pictures)
    pooled = np.load(CACHE / "teacher_pooled.npy", mmap_mode="r")[: options.crops]
    logits = np.load(CACHE / "teacher_logits.npy", mmap_mode="r")[: options.crops]
    held = pictures.held_out()
    train = np.setdiff1d(np.arange(len(pictures)), held)
    dimension = texts.classes.shape[1]

    head = Head(pooled.shape[2], dimension)
    scale = torch.nn.Parameter(torch.tensor(np.log(14.0)))
    optimizer = torch.optim.AdamW([*head.parameters(), scale], lr=options.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, options.steps)
    for step in range(options.steps):
        rows = np.sort(rng.choice(train, options.batch, replace=False))
        k = rng.integers(0, options.crops, len(rows)) * (rng.random(len(rows)) < 0.5)
        x = torch.tensor(pooled[k, rows].astype(np.float32))
        z = F.normalize(head(x), dim=1)
        said = texts.counts[rows] > 0
        loss_text = contrast(z[said], texts.draw(rows[said], rng), scale.exp())
        wanted = torch.tensor(logits[k, rows].astype(np.float32))
        loss_names = distil(scale.exp() * z @ texts.classes.T, wanted)
        loss = loss_text + 0.3 * loss_names
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            head.eval()
            with torch.no_grad():
                z = F.normalize(head(torch.tensor(pooled[0, held].astype(np.float32))), dim=1)
            head.train()
            r = " ".join(f"{v:.3f}" for v in recall(z, texts.first(held)))
            print(
                f"step {step + 1} text {loss_text.item():.3f} names {loss_names.item():.3f}"
                f" scale {scale.exp().item():.1f} held-out R@1/5/10 {r}",
                flush=True,
            )

    head.eval()
    out = np.empty((*pooled.shape[:2], dimension), np.float16)
    with torch.no_grad():
        for k in range(options.crops):
            for start in range(0, pooled.shape[1], 4096):
                x = torch.tensor(pooled[k, start : start + 4096].astype(np.float32))
                out[k, start : start + 4096] = F.normalize(head(x), dim=1).numpy()
    # A run of the next step may have the old file mapped.
    np.save(CACHE / "head_targets_new.npy", out)
    (CACHE / "head_targets_new.npy").replace(CACHE / "head_targets.npy")
    torch.save({"head": head.state_dict(), "scale": scale.exp().item()}, CACHE / "head.pt")


if __name__ == "__main__":
    main()
