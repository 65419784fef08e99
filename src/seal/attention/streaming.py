"""Streaming: T_sub(t) = select(T_t u T_sub(t-1)), a window of tokens at a time (section 3.2).

What a window t brings, T_t, meets what was chosen before, and the objective chooses again: memory
is that of a window and a choice, however long the stream. Objectives that ask what a choice stands
for (`Candidates.past`) would forget what the stream looked like. For them a sample of what has left
the window is kept, `AttentionOptions.memory` tokens of it, all equally likely to be in it.
(Algorithm R: Vitter, "Random sampling with a reservoir", 1985), each for as many as it was drawn
from. A query that comes late chooses from the window and from that sample.
"""

from __future__ import annotations

import json
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from seal.attention import Budget, Candidates, choose, pick, relevance
from seal.attention.worded import AskedVideo, WordedTokens
from seal.config import AttentionOptions
from seal.encode.calibration import Calibration
from seal.errors import StoreError, StoreVersionError
from seal.store.pictures import check_picture
from seal.types import TEXT, Choice, Float32, Float64, Int64, Tokens, check_finite, is_count

_VERSION = 2
"""The layout of a saved state."""
_FORMAT = "seal-stream"
_UNREADABLE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError),
    tokenize.TokenError,
)
"""What NumPy, zipfile and json raise for a file that is something else than it claims."""
_COLUMNS = [field.name for field in fields(Tokens)]


@dataclass(frozen=True, eq=False)
class Standing:
    """A query and what is chosen for it by now."""

    text: str
    """Empty where nothing is asked: then no token is more relevant than another."""
    words: str
    """What is looked for: the text, or the phrase of a question that says what is to be seen."""
    embedding: Float32
    """[d] of the words, L2-normalised; zeros where nothing is asked."""
    tokens: Tokens
    """T_sub, in the order chosen."""
    selection: Choice
    """Of `tokens`, all of them, at the last window."""


class Stream:
    """Standing queries over a stream of tokens, each with its own choice.

    The sample of the past is shared. The same windows give the same choices, a state that was saved
    and loaded in between included, as far as the solver is not stopped by the clock.
    """

    def __init__(
        self, dimension: int, options: AttentionOptions, calibration: Calibration | None = None
    ) -> None:
        """For tokens with embeddings [dimension]; `calibration` is that of their encoder."""
        self._options = options
        self._calibration = calibration
        self._dimension = dimension
        self.queries: list[Standing] = []
        self.pictures: dict[str, list[bytes]] = {}
        """By their ids, the pictures (JPEG) that were pushed with the chosen tokens."""
        self.language = ""
        """ISO 639-1 of what is said; empty where it is not known."""
        self._window: Tokens | None = None
        """The last one: it becomes past when the next one comes."""
        self._sample: Tokens | None = None
        self._seen = 0
        """How many tokens are past."""
        self._searched: tuple[Tokens, WordedTokens | None] | None = None
        """All that is remembered, and its words, once a query has looked for them."""

    def ask(self, text: str, embedding: Float32 | None, words: str | None = None) -> Standing:
        """A query stands from now on; its first choice is from the last window and the sample.

        `words` are what is looked for, by default the text. `embedding` is theirs, [d]; None with
        an empty text if nothing is asked.
        """
        if embedding is None:
            embedding = np.zeros(self._dimension, np.float32)
        # What no query has chosen again is forgotten.
        self._searched = None
        known = [tokens for tokens in (self._window, self._sample) if tokens is not None]
        standing = self._choose(text, text if words is None else words, embedding, known)
        self.queries.append(standing)
        return standing

    def push(self, tokens: Tokens, pictures: Mapping[str, list[bytes]] | None = None) -> None:
        """The next window: every query chooses from it and from what it had chosen.

        `pictures` (id -> JPEGs) show its tokens. Those of chosen tokens are kept.
        """
        if self._window is not None:
            held = [tokens for tokens in (self._sample, self._window) if tokens is not None]
            rows = _remember(self._seen, len(self._window), self._options.memory)
            self._sample = Tokens.concatenate(held).take(rows)
            self._seen += len(self._window)
        self._window = tokens
        self._searched = None
        self.queries = [
            self._choose(query.text, query.words, query.embedding, [tokens, query.tokens])
            for query in self.queries
        ]
        known = {**self.pictures, **(pictures or {})}
        chosen = dict.fromkeys(name for query in self.queries for name in query.tokens.ids.tolist())
        self.pictures = {name: known[name] for name in chosen if name in known}

    def last_relevance(self, query: Standing) -> Float32:
        """[n] R of the tokens of the last window to a query."""
        if self._window is None:
            return np.zeros(0, np.float32)
        return self._relevance(self._window, query.words, query.embedding)

    def _choose(self, text: str, words: str, embedding: Float32, parts: list[Tokens]) -> Standing:
        parts = parts or [Tokens.none(self._dimension)]
        # Those of no tokens may have been made before the number of facets was known.
        tokens = Tokens.concatenate([part for part in parts if len(part)] or parts[:1])
        # A token of the window cannot be in the sample, but one chosen for its coverage can.
        past = None
        if self._sample is not None and len(self._sample):
            seen = self._relevance(self._sample, words, embedding)
            past = Candidates.of(self._sample, seen, text)
        scores = self._relevance(tokens, words, embedding)
        candidates = _beside(past, self._seen, Candidates.of(tokens, scores, text))
        rows = choose(candidates, self._options, Budget.of_tokens(tokens, self._options))
        chosen = Choice(np.arange(len(rows)), rows.relevance, rows.objective, rows.upper_bound)
        return Standing(text, words, embedding, tokens.take(rows.rows), chosen)

    def _relevance(self, tokens: Tokens, words: str, embedding: Float32) -> Float32:
        if not embedding.any():
            return relevance(tokens, embedding)
        known, worded = self._remembered()
        if worded is None:
            return relevance(tokens, embedding, self._calibration, words)
        scores = relevance(known, embedding, self._calibration, words)
        # The chance of a match is that in what is remembered, whose size does not change.
        prior = 0.0 if self._calibration is None else self._calibration.prior(embedding)
        video = AskedVideo(np.arange(len(known)), prior, self._options.memory)
        parts = worded.parts(words, embedding)
        scores = worded.relevance(scores, words, parts, [video], self._calibration)
        return scores[np.searchsorted(known.ids, tokens.ids)]

    def _remembered(self) -> tuple[Tokens, WordedTokens | None]:
        """The window, the sample and all choices, by their ids, and the words in them."""
        if self._searched is None:
            held = [self._window, self._sample, *(query.tokens for query in self.queries)]
            parts = [tokens for tokens in held if tokens is not None and len(tokens)]
            tokens = Tokens.concatenate(parts or [Tokens.none(self._dimension)])
            tokens = tokens.take(np.unique(tokens.ids, return_index=True)[1])
            languages = dict.fromkeys(tokens.video_ids.tolist(), self.language)
            self._searched = tokens, WordedTokens.of(tokens, languages)
        return self._searched

    # State

    def save(self, path: Path, notes: Mapping[str, Any]) -> None:
        """Write all that is remembered, and JSON-able `notes`, in one atomic step.

        Raises StoreError if it cannot be written.
        """
        parts = {"window": self._window, "sample": self._sample}
        parts |= {f"query{i}": query.tokens for i, query in enumerate(self.queries)}
        arrays: dict[str, Any] = {}
        for name, tokens in parts.items():
            if tokens is not None:
                arrays |= {f"{name}.{column}": getattr(tokens, column) for column in _COLUMNS}
                # NumPy stores strings of its own type with pickle, which nothing here loads.
                arrays[f"{name}.text"] = np.array(tokens.text.tolist(), np.str_)
        for i, query in enumerate(self.queries):
            arrays[f"query{i}.embedding"] = query.embedding
            arrays[f"query{i}.relevance"] = query.selection.relevance
            arrays[f"query{i}.worth"] = [query.selection.objective, query.selection.upper_bound]
        head = {"format": _FORMAT, "schema": _VERSION, "seen": self._seen, "notes": dict(notes)}
        head["dimension"] = self._dimension
        head["queries"] = [query.text for query in self.queries]
        head["words"] = [query.words for query in self.queries]
        arrays |= _packed(self.pictures)
        # Of one name, so that the next save takes the place of what a kill left.
        draft = path.with_name(f"{path.name}.new")
        try:
            with draft.open("wb") as file:
                np.savez(file, head=np.array(json.dumps(head)), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            reason = error.strerror or error
            raise StoreError(f"the state {path} cannot be written: {reason}") from error

    @staticmethod
    def load(
        path: Path, options: AttentionOptions, calibration: Calibration | None = None
    ) -> tuple[Stream, dict[str, Any]]:
        """What `save` wrote: the stream, and the notes.

        Raises StoreError if the file is something else, StoreVersionError if another SEAL wrote it.
        """
        try:
            # Of a file cut short NumPy would leave its own handle open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                head = json.loads(str(stored["head"]))
                if head["format"] != _FORMAT:
                    raise ValueError("another format")
                if head["schema"] != _VERSION:
                    age = "a newer" if head["schema"] > _VERSION else "an older"
                    raise StoreVersionError(
                        f"{path} was written by {age} SEAL (schema {head['schema']}, this one"
                        f" reads {_VERSION}); use that SEAL, or another --state"
                    )
                notes = head["notes"]
                if not isinstance(notes, dict):
                    raise ValueError("its notes are no notes")
                return Stream._restored(head, stored, options, calibration), notes
        except _UNREADABLE as error:
            raise StoreError(
                f"{path} is not the state of a stream, or damaged ({error}); remove it, or use"
                " another --state"
            ) from error

    @staticmethod
    def _restored(
        head: Mapping[str, Any],
        stored: Mapping[str, Any],
        options: AttentionOptions,
        calibration: Calibration | None,
    ) -> Stream:
        def tokens(name: str) -> Tokens:
            columns = {column: stored[f"{name}.{column}"] for column in _COLUMNS}
            tokens = Tokens(**columns | {"text": columns["text"].astype(TEXT)})
            tokens.check_numbers()
            if tokens.embeddings.shape[1] != dimension:
                raise ValueError("its embeddings differ in dimension")
            return tokens

        dimension, seen = head["dimension"], head["seen"]
        if not (is_count(dimension) and is_count(seen)):
            raise ValueError("its counts are no counts")
        stream = Stream(dimension, options, calibration)
        stream._seen = seen
        stream._window = tokens("window") if "window.ids" in stored else None
        stream._sample = tokens("sample") if "sample.ids" in stored else None
        # States without words looked for the texts.
        searched = head.get("words", head["queries"])
        for i, (text, words) in enumerate(zip(head["queries"], searched, strict=True)):
            chosen = tokens(f"query{i}")
            value, bound = stored[f"query{i}.worth"].tolist()
            scores, embedding = stored[f"query{i}.relevance"], stored[f"query{i}.embedding"]
            fits = scores.shape == (len(chosen),) and embedding.shape == (dimension,)
            if not isinstance(text, str) or not isinstance(words, str) or not fits:
                raise ValueError("its queries do not fit their tokens")
            for name, numbers in (("relevance", scores), ("a query", embedding)):
                check_finite(name, numbers)
            check_finite("values", np.array([value, bound], np.float64))
            selection = Choice(np.arange(len(chosen)), scores, value, bound)
            stream.queries.append(Standing(text, words, embedding, chosen, selection))
        stream.pictures = _unpacked(stored)
        # A sample that does not fit the count would be drawn from past its end.
        held = 0 if stream._sample is None else len(stream._sample)
        if held != min(seen, options.memory):
            raise ValueError("its sample is not as large as its counts say")
        return stream


def _packed(pictures: Mapping[str, list[bytes]]) -> dict[str, Any]:
    """Pictures as arrays: one after another, where each one ends, and whose it is."""
    rows = [(name, jpeg) for name, jpegs in pictures.items() for jpeg in jpegs]
    if not rows:
        return {}
    names, jpegs = zip(*rows, strict=True)
    return {
        "pictures.ids": np.array(names, np.str_),
        "pictures.ends": np.cumsum([len(jpeg) for jpeg in jpegs]),
        "pictures.jpeg": np.frombuffer(b"".join(jpegs), np.uint8),
    }


def _unpacked(stored: Mapping[str, Any]) -> dict[str, list[bytes]]:
    """What `_packed` made. Raises ValueError for pictures that cannot be decoded."""
    pictures: dict[str, list[bytes]] = {}
    if "pictures.ids" not in stored:
        return pictures
    names, ends = stored["pictures.ids"].tolist(), stored["pictures.ends"].tolist()
    content = stored["pictures.jpeg"].tobytes()
    for name, start, end in zip(names, [0, *ends], ends, strict=False):
        check_picture(content[start:end])
        pictures.setdefault(name, []).append(content[start:end])
    return pictures


def stream_choose(candidates: Candidates, options: AttentionOptions, window: int) -> Int64:
    """What streaming over `candidates`, in order of time, chooses in the end: rows of them.

    The very steps of `Stream`, `window` candidates at a time, where relevance is known and every
    candidate costs the same.
    """
    rows = np.arange(len(candidates))
    windows = [rows[start : start + window] for start in range(0, len(rows), window)]
    return stream_pick(candidates, options, windows, Budget.of(options.budget, len(rows)))


def stream_pick(
    candidates: Candidates,
    options: AttentionOptions,
    windows: Iterable[Int64],
    budget: Budget,
) -> Int64:
    """As `stream_choose`, for `windows` of rows in order of time, within a budget for all rows."""
    kept = sample = np.empty(0, np.int64)
    seen = 0
    for new in windows:
        offered = np.concatenate([new, kept])
        past = candidates.take(sample) if len(sample) else None
        from_these = _beside(past, seen, candidates.take(offered))
        kept = offered[pick(from_these, options, budget.take(offered))]
        sample = np.concatenate([sample, new])[_remember(seen, len(new), options.memory)]
        seen += len(new)
    return kept


def windows_of(start_s: Float64, window_s: float) -> list[Int64]:
    """The rows of tokens that start in one window after the other, in order of time.

    Windows have `window_s` seconds from the first token on; those without tokens are left out.
    """
    if not len(start_s):
        return []
    order = np.argsort(start_s, kind="stable")
    number = ((start_s[order] - start_s[order[0]]) // window_s).astype(np.int64)
    return np.split(order, np.flatnonzero(np.diff(number)) + 1)


def _beside(past: Candidates | None, seen: int, candidates: Candidates) -> Candidates:
    """`candidates` with their past, a sample of `seen` tokens."""
    if past is None:
        return candidates
    return replace(
        candidates, past=replace(past, multiplicity=np.full(len(past), seen / len(past)))
    )


def _remember(seen: int, new: int, size: int) -> Int64:
    """Which rows of (the sample, `new` more tokens) are the sample from now on.

    `seen` tokens came before, and the sample holds min(seen, size) of them. The draws follow from
    `seen` alone, so that there is no state of a generator to keep.
    """
    held = min(seen, size)
    rows = np.arange(min(held + new, size))
    late = np.arange(len(rows) - held, new)
    drawn = np.random.default_rng([0, seen]).integers(0, seen + late + 1)
    enters = drawn < size
    # Of two that draw one place the later one has it, as if they had come one by one.
    rows[drawn[enters]] = held + late[enters]
    return rows
