"""Step 5: a head that takes the teacher's features into the space of texts.

It is what the image tower regresses: pictures without a text, and crops, get a target too. It is
trained by captions and labels (contrastive) and by the teacher's own classes, which it has to
recognise by the embeddings of their names (ConSE, Norouzi et al. 2014, made trainable).
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from model import Head, Things, contrast, distil, precision, recall
from text import class_names, label_text

from data import CACHE, CROPS, REGIONS, SEED, WEIGHTS, Pictures, arguments
from seal.detect.coco import COCO
from seal.encode.mini import TextTower

COMMON = 30
"""A word that so many pictures' captions have is asked of every picture."""
EMPTY = frozenset(
    """
    a about after against all an and another are around as at away back behind being beside
    between both by covered do does doing down during each for four from front going has have he
    her him his in inside into is it its looking looks near nearby next of off on one onto other
    others out outside over past s several she side some something t that the their them there
    these they this three through to together top towards trying two under up very while whilst
    who with
    """.split()  # noqa: SIM905 (a list would be four times as long)
)
"""Words that name nothing to be seen."""


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
        spoken = [_words(m["captions"]) for m in pictures.meta]
        common = Counter(word for words in spoken for word in words)
        self.words = sorted(word for word, count in common.items() if count >= COMMON)
        self.named = np.array([bool(words) for words in spoken])
        """Pictures that have captions."""
        self._spoken = np.array([[w in words for w in self.words] for words in spoken], bool)
        seen = np.load(CACHE / "pictures_finds.npz")["names"]
        self._seen = torch.from_numpy(seen.astype(np.float32))
        # Plain nouns are asked for with an article, and the tower was fitted to such phrases.
        self.things = torch.tensor(tower([f"a {name}" for name in (*self.words, *COCO)]))

    def there(self, rows: np.ndarray, ks: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """[n, things] how likely crop k of each picture shows each of `things`, and how much that
        counts: captions speak of whole pictures, and finds of these and of regions."""
        whole, region = ks == 0, ks >= CROPS - REGIONS
        spoken = torch.from_numpy(self._spoken[rows]).float()
        seen = self._seen[np.where(region, ks - (CROPS - REGIONS), REGIONS), rows]
        known = torch.from_numpy(np.stack([whole & self.named[rows], whole | region], 1)).float()
        counts = known.repeat_interleave(torch.tensor([len(self.words), len(COCO)]), 1)
        return torch.cat([spoken, seen], 1), counts

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """One text of each of these pictures, which have one at least: [n, d]."""
        return self._all[self._first[rows] + rng.integers(self.counts[rows])]

    def first(self, rows: np.ndarray) -> torch.Tensor:
        return self._all[self._first[rows]]


def _words(captions: list[str]) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(captions).lower())) - EMPTY


def main() -> None:
    options = arguments(__doc__, steps=600, batch=1024, lr=1e-3, crops=CROPS, w_things=1.0)
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
    things = Things(len(texts.things))
    trained = [*head.parameters(), *things.parameters(), scale]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, weight_decay=0.05)
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
        loss_things = things(z, texts.things, *texts.there(rows, k))
        loss = loss_text + 0.3 * loss_names + options.w_things * loss_things
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
            asked, _ = texts.there(held, np.zeros(len(held), int))
            found = precision(z @ texts.things.T, asked > 0.5)
            print(
                f"step {step + 1} text {loss_text.item():.3f} names {loss_names.item():.3f}"
                f" things {loss_things.item():.3f} scale {scale.exp().item():.1f}"
                f" held-out R@1/5/10 {r} things {found:.3f}",
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
