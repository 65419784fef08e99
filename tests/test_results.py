"""Results that were read from their JSON are the same, and print themselves alike."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seal.inventory import Indexed, Listing, Removed
from seal.results import Answer, Found, Match, Reach, Selection, TokenList
from seal.spoken import Chapters, SpokenWords
from seal.types import Moment, Span, Tokens
from seal.words import Cue, Word

texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.floats(-1e6, 1e6).map(lambda value: float(np.float32(value)))
shares = st.floats(0, 1, width=32)
kinds = st.sampled_from(["scene", "object", "action", "speech", "text"])


@st.composite
def some_tokens(draw: st.DrawFn) -> Tokens:
    """Tokens with times in ticks of any usual time base, words and tracks; without embeddings."""
    n = draw(st.integers(0, 4))
    tick = draw(st.sampled_from(["1/1000", "1/90000", "1001/30000", "1/15360", "1/1000000"]))
    starts = draw(st.lists(st.integers(0, 2**31), min_size=n, max_size=n))
    lengths = draw(st.lists(st.integers(0, 2**31), min_size=n, max_size=n))
    names = draw(st.lists(kinds, min_size=n, max_size=n))
    corners = draw(st.lists(st.tuples(*[shares] * 4), min_size=n, max_size=n))
    words = draw(st.lists(texts, min_size=n, max_size=n))
    tracks = []
    for name, text in zip(names, words, strict=True):
        count = len(text.split()) if name in ("speech",) else 2 * (name == "action")
        rows = draw(st.lists(st.tuples(numbers, *[shares] * 4), min_size=count, max_size=count))
        tracks.append(np.array(rows, np.float64).reshape(-1, 5))
    return Tokens.of(
        names,
        [(start, start + length) for start, length in zip(starts, lengths, strict=True)],
        Fraction(tick),
        np.zeros((n, 1, 3), np.float32),
        ids=[f"{name}-{row}" for row, name in enumerate(names)],
        video_id="film-0123",
        boxes=[(min(x), min(y), max(x), max(y)) for x, y in ((c[::2], c[1::2]) for c in corners)]
        or None,
        scores=draw(st.lists(shares, min_size=n, max_size=n)),
        text=words,
        tracks=tracks,
    )


matches = st.none() | st.builds(
    Match, st.sampled_from(["likely", "unsure", "unlikely"]), shares, texts
)
spans = st.tuples(numbers, numbers).map(lambda times: Span(min(times), max(times)))
moments = st.builds(
    Moment, spans, numbers, texts, texts, st.sampled_from(["picture", "words"]), texts
)
some_moments = st.lists(moments, max_size=3)


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    tokens = draw(some_tokens())
    n = len(tokens)
    return Selection(
        query=draw(texts),
        tokens=tokens,
        relevance=np.array(draw(st.lists(shares, min_size=n, max_size=n)), np.float32),
        is_answer=np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool),
        match=draw(matches),
        objective=draw(numbers),
        upper_bound=draw(numbers),
        gap=draw(numbers),
        cost=draw(numbers),
        seconds=draw(numbers),
        candidates=draw(st.integers(0, 9)),
        reach=draw(st.none() | st.builds(Reach, numbers, numbers)),
        found_by=np.array(["words"] * n, np.str_),
        several=draw(st.booleans()),
    )


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    tokens = draw(some_tokens())
    n = len(tokens)
    return Answer(
        text=draw(st.none() | texts),
        evidence=tokens,
        relevance=np.array(draw(st.lists(shares, min_size=n, max_size=n)), np.float32),
        cited=np.flatnonzero(draw(st.lists(st.booleans(), min_size=n, max_size=n))),
        moments=draw(some_moments),
        choice=draw(st.sampled_from(["", "A"])),
        without=draw(texts),
        changed=draw(st.booleans()),
        cut=draw(texts),
        notes=tuple(draw(st.lists(texts, max_size=2))),
        model=draw(st.none() | texts),
        seconds=draw(numbers),
        several=draw(st.booleans()),
    )


times_ms = st.integers(0, 10**8).map(lambda time_ms: time_ms / 1000)
words = st.tuples(times_ms, times_ms, texts).map(lambda w: Word(min(w[:2]), max(w[:2]), w[2]))
cues = st.tuples(times_ms, times_ms, texts, st.lists(words, max_size=2)).map(
    lambda cue: Cue(min(cue[:2]), max(cue[:2]), cue[2], tuple(cue[3]))
)
indexed = st.builds(
    Indexed,
    video=texts,
    path=texts,
    duration_s=numbers,
    tokens=st.dictionaries(kinds, st.integers(0, 9), max_size=3),
    gaps=st.lists(st.tuples(numbers, numbers, texts), max_size=2),
    notes=st.lists(st.tuples(numbers, texts), max_size=2),
    profile=texts,
    seconds=shares,
    is_quick=st.booleans(),
)
results = (
    st.builds(Found, texts, matches, some_moments, st.booleans())
    | selections()
    | answers()
    | some_tokens().map(TokenList)
    | indexed
    | st.builds(Listing, st.lists(indexed, max_size=2))
    | st.builds(Removed, st.lists(st.tuples(texts, texts), max_size=2))
    | st.builds(SpokenWords, st.lists(cues, max_size=3).map(tuple))
    | st.builds(Chapters, st.lists(cues, max_size=3).map(tuple))
)


@given(results)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_result_that_was_read_is_the_same(result: Any) -> None:
    asked = {name: getattr(result, name) for name in ("query", "several") if hasattr(result, name)}
    sent = json.loads(json.dumps(result.to_json()))
    read = type(result).from_json(sent, **asked)
    assert type(read) is type(result)
    assert json.loads(json.dumps(read.to_json())) == sent
    assert str(read) == str(result)
    assert read._repr_html_() == result._repr_html_()
