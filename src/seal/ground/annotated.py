"""Examples from annotated videos that are indexed: Ego4D-NLQ, Charades-STA and the like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import PurePath

import numpy as np

from seal.attention import relevance
from seal.config import NetworkOptions
from seal.encode import Encoder
from seal.errors import DataError
from seal.ground.data import Sample
from seal.ground.examples import HeadExample, HeadQuestion, Timeline, example, looking, varied
from seal.ground.words import words_of
from seal.store import Store
from seal.training.feed import shuffled
from seal.types import Tokens

# Tokens of so many videos are kept: queries come in any order.
_KEPT = 16


class Annotated:
    """Examples without end: all samples in random order, then all in another one. Budgets are drawn
    (`varied`).

    The name of a video is that of its file without the suffix. Samples of videos that are not in
    the store are left out: `missing` says how many. Raises DataError if none is left, if the videos
    were indexed with several encoders, or if some have fewer frames than a head over frames sees.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        store: Store,
        encoder: Encoder,
        options: NetworkOptions,
        seed: int = 0,
    ) -> None:
        records = {PurePath(record.path).stem: record for record in store.videos()}
        self._samples = [each for each in samples if each.spans and each.video in records]
        self.missing = len(samples) - len(self._samples)
        if not self._samples:
            raise DataError(
                f"none of the {len(samples)} queries has times and a video that is indexed in"
                f" {store.path}: run seal index on their files"
            )
        self._records = {each.video: records[each.video] for each in self._samples}
        for record in self._records.values():
            if record.encoder != encoder.fingerprint:
                raise DataError(
                    f"{record.path} was indexed with {record.encoder}, others with"
                    f" {encoder.fingerprint}: index all with one encoder"
                )
        if options.positions == "frames":
            self._check_frames(store, options.budget)
        self._queries = encoder.encode_texts([each.query for each in self._samples])
        asked = self._samples if options.by_words else ()
        self._words = [words_of(encoder, each.query) for each in asked]
        # By its path: an open store cannot go to the processes that make examples.
        self._store, self._calibration = str(store.path), encoder.calibration
        self._options, self._seed = options, seed

    def __getitem__(self, number: int) -> HeadExample:
        """Example `number`, from 0."""
        chosen = shuffled(number, len(self._samples), self._seed)
        sample, query = self._samples[chosen], self._queries[chosen]
        record = self._records[sample.video]
        tokens = _tokens(self._store, record.id)
        # Annotations count from the video's start.
        moments = np.array([[span.start_s, span.end_s] for span in sample.spans]) + record.start_s
        scores = relevance(tokens, query, self._calibration)
        look = looking(partial(_open(self._store).pictures, record.id), tokens, self._options)
        words = self._words[chosen] if self._options.by_words else query[None]
        question = HeadQuestion(words, scores, moments)
        rng = np.random.default_rng([self._seed, number])
        return example(Timeline.of(tokens), [question], varied(self._options, rng), look)

    def _check_frames(self, store: Store, budget: int) -> None:
        frames = {
            name: store.count(each.id).get("scene", 0) for name, each in self._records.items()
        }
        name = min(frames, key=frames.__getitem__)
        if frames[name] < budget:
            count = sum(have < budget for have in frames.values())
            raise DataError(
                f"{count} of {len(frames)} videos have fewer scene tokens than"
                f" head.budget={budget}, the fewest {name} with {frames[name]}: index them with"
                f" --set scenes.count={budget}, or train with --set head.budget={frames[name]}"
            )

    @property
    def checksums(self) -> dict[str, str]:
        """Of every video, by its path."""
        return {record.path: record.content_id for record in self._records.values()}


@lru_cache(1)
def _open(store: str) -> Store:
    return Store(store)


@lru_cache(_KEPT)
def _tokens(store: str, video: str) -> Tokens:
    return _open(store).tokens(video)
