"""Step 11: what tells a match from the best of nothing -> weights/calibration.npz.

A logistic regression on the videos of `benchmarks/split.json` that served to choose, by themselves
and several in a row: do they show what a query says? The queries are the plain nouns of
`nouns.json`, labelled by eye, and the descriptions of `needles.json`, of which another video's are
taken to be wrong.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data import DATA, ROOT, SEED, WEIGHTS, arguments
from seal.attention import relevance
from seal.config import MiniEncode, Options
from seal.content import Encoders
from seal.encode.calibration import ARRAYS, NUMBERS, SHARPNESS
from seal.encode.mini import MiniEncoder
from seal.encode.names import evidence, known
from seal.evaluate.nouns import read_nouns
from seal.ingest import index
from seal.scope import Scope
from seal.store import Store

IN_A_ROW = (1, 1, 2, 4, 8, 16)
"""So many videos follow one another; each is drawn equally often."""
VIDEOS = 1500
FILMS = ("videos/popeye_*.mkv", "videos/asl/*.mkv")
"""What precedes a third of them: it shows no description, and nobody has labelled its nouns."""
MATCHING = 1 / 14
"""So many pairs of a clip and a noun match."""
WRONG = 13
"""Wrong descriptions for each right one: about as rare as a noun that is there."""
ROUNDS = 8
RIDGE = 1e-2


@dataclass(frozen=True, eq=False)
class Clip:
    """What a video's tokens have to do with each query."""

    seen: np.ndarray
    """[tokens, queries] R by the picture alone."""
    named: np.ndarray
    """[tokens, queries] how far a token, by its name, is what the query asks for."""

    def soft_maximum(self, named: float) -> tuple[np.ndarray, np.ndarray]:
        """[queries] both, as they add up to M = seen + named * (by name)."""
        return mixed(self.seen, self.named, named)


def mixed(seen: np.ndarray, by_name: np.ndarray, named: float) -> tuple[np.ndarray, np.ndarray]:
    """M over the first axis of both, in two parts; a sum in place of the mean.

    With w the softmax of SHARPNESS * R, M is the sum of w * R and the entropy of w over SHARPNESS.
    """
    scaled = SHARPNESS * (seen + named * by_name)
    logs = scaled - np.logaddexp.reduce(scaled, 0)
    weights = np.exp(logs)
    entropy = -(weights * logs).sum(0)
    return (weights * seen).sum(0) + entropy / SHARPNESS, (weights * by_name).sum(0)


def queries(files: list[str]) -> tuple[list[str], np.ndarray]:
    """All queries, and whether each video [videos, queries] shows it: 1, 0, or -1 if left out."""
    nouns = read_nouns(DATA, files)
    place = {str(path.relative_to(DATA)): row for row, path in enumerate(nouns.clips)}
    texts, columns = list(nouns.queries), [*nouns.labels.T]
    rng = np.random.default_rng(SEED)
    for folder, base in (("videos", ""), ("footage/clips", "footage/")):
        for needle in json.loads((DATA / folder / "needles.json").read_text())["needles"]:
            row = place.get(base + needle["file"])
            for text in needle["queries"] if row is not None else ():
                column = np.full(len(place), -1)
                others = np.setdiff1d(np.arange(len(place)), row)
                column[rng.choice(others, min(WRONG, len(others)), replace=False)] = 0
                column[row] = 1
                texts.append(text)
                columns.append(column)
    return texts, np.stack(columns, 1)


def look(videos: list[list[Path]], texts: list[str], options: Options, folder: str) -> list[Clip]:
    """Videos, each of one file or several, indexed and asked."""
    store, encoders, clips = Store(folder, create=True), Encoders(), []
    for files in videos:
        seen, named = [], []
        for path in files:
            index(path, store, options, jobs=2)
            scope = Scope.of(store, str(path), "find", encoders=encoders)
            encoder, tokens = scope.content.encoder, scope.tokens
            embedded = encoder.encode_texts(texts)
            seen.append([relevance(tokens, text, encoder.calibration) for text in embedded])
            named.append([evidence(tokens, text) for text in texts])
        clips.append(
            Clip(*(np.concatenate([np.stack(x, 1) for x in parts]) for parts in (seen, named)))
        )
    return clips


def logistic(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The weights [f] of the features x [n, f] that make y [n], each so many times, likeliest: by
    Newton's method."""
    weights = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ weights))
        slopes = (x.T * (counts * p * (1 - p))) @ x + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(slopes, x.T @ (counts * (y - p)) - RIDGE * weights)
    return weights


def as_rare(y: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[n] how often each counts so that `MATCHING` of the videos of every size match.

    Of sixteen clips in a row one shows almost anything; a film of that length does not.
    """
    counts = np.empty(len(y))
    for size in np.unique(sizes):
        for value, wanted in ((1, MATCHING), (0, 1 - MATCHING)):
            rows = (sizes == size) & (y == value)
            counts[rows] = wanted / max(1, rows.sum()) * (sizes == size).sum()
    return counts


def fit(
    clips: list[Clip], labels: np.ndarray, top: np.ndarray, asked: np.ndarray
) -> dict[str, float]:
    """`NUMBERS` by name; `top` and `asked` [queries] are top and k of each. The last clips are
    `FILMS`."""
    rng = np.random.default_rng(SEED)
    short = len(clips) - len(FILMS)
    drawn = [rng.choice(short, size, replace=False) for size in rng.choice(IN_A_ROW, VIDEOS)]
    for i in range(0, VIDEOS, 3):
        drawn[i] = np.append(drawn[i], short + rng.integers(len(FILMS)))
    counts = np.array([clip.seen.shape[0] for clip in clips])
    named = 0.5
    for _ in range(ROUNDS):
        seen, by_name = np.array([clip.soft_maximum(named) for clip in clips]).swapaxes(0, 1)
        features, truth, sizes = [], [], []
        for rows in drawn:
            of = labels[rows]
            shown, certain = (of == 1).any(0), (of >= 0).all(0)
            columns = np.flatnonzero(
                (shown | certain) & (of[-1] >= 0 if rows[-1] >= short else True)
            )
            parts = mixed(seen[rows][:, columns], by_name[rows][:, columns], named)
            one = np.ones(len(columns))
            seen_m = parts[0] - np.log(counts[rows].sum()) / SHARPNESS
            features.append(np.stack([seen_m, one, top[columns], parts[1], -asked[columns]], 1))
            truth.append(shown[columns])
            sizes.append(np.full(len(columns), len(rows) if rows[-1] < short else -len(rows)))
        y = np.concatenate(truth).astype(float)
        weights = logistic(np.concatenate(features), y, as_rare(y, np.concatenate(sizes)))
        named = weights[3] = weights[3] / weights[0]
    return dict(zip(NUMBERS, weights.tolist(), strict=True))


def main() -> None:
    arguments(__doc__)
    files = json.loads((ROOT / "benchmarks" / "split.json").read_text())["choose"]
    texts, labels = queries(files)
    of_film = np.where(np.arange(len(texts)) < len(read_nouns(DATA, files).queries), -1, 0)
    labels = np.concatenate([labels, np.tile(of_film, (len(FILMS), 1))])
    file = WEIGHTS / "calibration.npz"
    with np.load(file) as stored:
        kept = {name: stored[name] for name in (*ARRAYS, "encoder")}
    videos = [[path] for path in read_nouns(DATA, files).clips]
    videos += [sorted(DATA.glob(pattern)) for pattern in FILMS]
    with tempfile.TemporaryDirectory() as folder:
        clips = look(videos, texts, Options.load(), folder)
    encoder = MiniEncoder(MiniEncode())
    top = [encoder.calibration.top(text) for text in encoder.encode_texts(texts)]
    found = fit(clips, labels, np.array(top), np.array([known(text) for text in texts]))
    print({name: round(value, 3) for name, value in found.items()})
    np.savez(file, **kept | found)


if __name__ == "__main__":
    main()
