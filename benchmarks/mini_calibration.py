"""Whether `mini` can tell that a video shows what a query says, and what that costs the ranking.

    python benchmarks/mini_calibration.py --store DIR

The real clips of `videos/needles.json` are asked for with every needle's description: alone, and
spliced into real films that show none of them. Raw cosines tell by their best token, and the
verdict by its probability. Found is what is likely there, and refused what is unlikely; of what is
in no video, some is likely, which is wrong. The films and clips are indexed into DIR first, which
takes some minutes and is kept. The intervals are 95 % bootstrap intervals over the needles.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data import ROOT
from seal import encode
from seal.attention import relevance
from seal.config import FindOptions, MiniEncode
from seal.encode.names import known
from seal.ingest import index as index_video
from seal.scope import Scope
from seal.store import Store
from seal.types import Float32, Tokens

RESAMPLES = 2000
BUDGET = 16
FILMS = {
    "sign language": "videos/asl/*.mkv",
    "Popeye": "videos/popeye_*.mkv",
    "Big Buck Bunny": "videos/big_buck_bunny_360p.mp4",
}
"""Twenty people who sign, four minutes of an old cartoon, ten minutes of a new one."""
ABSENT = """a plate of sushi; a submarine under water; an elephant drinking at a river; a snow
covered mountain peak; a surfer riding a wave; a bride and groom at a wedding; a train at a station;
a laptop on a desk; a bowl of tomato soup; an astronaut in space; a giraffe eating leaves; a
basketball game in an arena; fireworks in the night sky; a pizza in an oven; a lighthouse on a
cliff; a zebra on the savanna; a doctor with a stethoscope; a skyscraper at night; a church
interior; a rock band playing on a stage; a swimming pool with swimmers; a helicopter landing; a
tennis player serving; a penguin on the ice; an orange fruit on a market stall; a motorcycle race; a
woman playing the violin; a baby in a crib; a desert with camels; a fire truck in the street"""
"""What none of the videos shows, written down before any of them was asked."""


def auc(present: Float32, absent: Float32) -> float:
    """The share of pairs in which the present one scores higher; equal scores count half."""
    order = np.sort(absent)
    below = np.searchsorted(order, present, "left") + np.searchsorted(order, present, "right")
    return float(below.mean() / (2 * len(absent)))


def interval(figure: Callable[[np.ndarray], float], of: int) -> str:
    """A figure of the needles (given by their rows) with its interval."""
    rng = np.random.default_rng(0)
    draws = [figure(rng.integers(0, of, of)) for _ in range(RESAMPLES)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{figure(np.arange(of)):.3f} ({low:.3f} to {high:.3f})"


class Footage:
    """The tokens of the needles' clips and of the films, and their relevance to texts."""

    def __init__(self, folder: Path) -> None:
        self.encoder = encode.load(MiniEncode())
        needles = json.loads((ROOT / "videos" / "needles.json").read_text())["needles"]
        self.clips = [needle["file"] for needle in needles]
        self.texts = [needle["queries"][i] for i in (0, 1) for needle in needles]
        paths = {clip: [ROOT / clip] for clip in self.clips}
        for film, pattern in FILMS.items():
            paths[film] = sorted(ROOT.glob(pattern))
        store = Store(folder, create=True)
        self.tokens: dict[str, Tokens] = {}
        for name, files in paths.items():
            for file in files:
                index_video(str(file), store, jobs=1)
            self.tokens[name] = Tokens.concatenate(
                Scope.of(store, str(file), "show").tokens for file in files
            )

    def relevance(self, name: str | None, texts: list[str], calibrated: bool = True) -> Float32:
        """[texts, tokens of the clip or film]; [texts, 0] of none."""
        if name is None:
            return np.empty((len(texts), 0), np.float32)
        calibration = self.encoder.calibration if calibrated else None
        queries = self.encoder.encode_texts(texts)
        names = texts if calibrated else [""] * len(texts)
        rows = zip(queries, names, strict=True)
        return np.stack([relevance(self.tokens[name], q, calibration, text) for q, text in rows])

    def probability(self, texts: list[str], relevance: Float32) -> np.ndarray:
        """[texts] of their relevance [texts, tokens]."""
        calibration = self.encoder.calibration
        assert calibration is not None
        embedded = self.encoder.encode_texts(texts)
        return np.array(
            [
                calibration.probability(row, calibration.prior(query, known(text)))
                for text, query, row in zip(texts, embedded, relevance, strict=True)
            ]
        )


def match_row(footage: Footage, film: str | None) -> str:
    """How well needles in a film, or alone, are told from other needles in the same film."""
    n = len(footage.clips)
    own = np.tile(np.eye(n, dtype=bool), (2, 1))
    cosines: list[np.ndarray] = []
    sure: list[np.ndarray] = []
    for clip in footage.clips:
        raw, scores = (
            np.concatenate(
                [footage.relevance(name, footage.texts, calibrated) for name in (film, clip)], 1
            )
            for calibrated in (False, True)
        )
        cosines.append(raw.max(1))
        sure.append(footage.probability(footage.texts, scores))
    shown = [
        footage.relevance(name, absent_texts()) for name in ([film] if film else footage.clips)
    ]
    find = FindOptions()
    least, unlikely = find.min_probability, find.unsure_probability
    absent = np.array([footage.probability(absent_texts(), scores) for scores in shown])

    def parts(rows: np.ndarray, columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The values of own clips and of others, for both descriptions of these needles."""
        rows = np.concatenate([rows, rows + n])
        values = np.stack(columns, 1)[rows]
        return values[own[rows]], values[~own[rows]]

    figures = [
        interval(lambda rows: auc(*parts(rows, cosines)), n),
        interval(lambda rows: auc(*parts(rows, sure)), n),
        interval(lambda rows: float((parts(rows, sure)[0] >= least).mean()), n),
        interval(lambda rows: float((parts(rows, sure)[1] < unlikely).mean()), n),
        f"{(absent < unlikely).mean():.3f}",
        f"{(absent >= least).mean():.3f}",
    ]
    return f"| {film or 'the clip alone'} | {' | '.join(figures)} |"


def rank_row(footage: Footage, film: str) -> str:
    """How often one of a needle's tokens is among the best of film and needle."""
    n = len(footage.clips)
    figures = []
    for calibrated in (False, True):
        scores = footage.relevance(film, footage.texts, calibrated)
        hits = []
        for row, text in enumerate(footage.texts):
            needle = footage.relevance(footage.clips[row % n], [text], calibrated).max()
            hits.append((scores[row] >= needle).sum() < BUDGET)
        both = np.array(hits).reshape(2, n)
        figures.append(interval(lambda rows, both=both: float(both[:, rows].mean()), n))
    return f"| {film} | {' | '.join(figures)} |"


def absent_texts() -> list[str]:
    return ABSENT.replace("\n", " ").split("; ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="where the tokens are kept")
    footage = Footage(parser.parse_args().store)
    sizes = ", ".join(f"{film}: {len(footage.tokens[film]):,} tokens" for film in FILMS)
    clips = np.median([len(footage.tokens[clip]) for clip in footage.clips])
    print(f"{footage.encoder.fingerprint}; {sizes}; clips: {clips:.0f} in the median\n")
    print(
        "| needle in | AUC, cosines | AUC, verdict | found | others refused | absent refused"
        " | absent likely |"
    )
    print("|---|---|---|---|---|---|---|")
    for film in (None, *FILMS):
        print(match_row(footage, film))
    print(f"\n| film | needles among the best {BUDGET} tokens, cosines | calibrated |")
    print("|---|---|---|")
    for film in FILMS:
        print(rank_row(footage, film))


if __name__ == "__main__":
    main()
