"""Streaming against the published recursion, its sample of the past, and its state on the disk."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seal import backends
from seal.attention import Candidates, choose
from seal.attention.streaming import Stream, _remember, stream_choose
from seal.config import AttentionOptions
from seal.errors import StoreError, StoreVersionError
from seal.types import Float32, Tokens
from test_types import make_tokens

OBJECTIVES = backends.names("objective")
# Greedy alone: a solver that the clock stops may choose otherwise on a machine under load.
OPTIONS = AttentionOptions(budget=6, memory=20, solver="greedy")
D = 8


def windows(count: int = 9, n: int = 15) -> list[Tokens]:
    """Tokens with ids of their own, in order of time."""
    made = []
    for i in range(count):
        tokens = make_tokens(n, d=D, seed=i)
        ids = np.array([f"action-{i * n + row}" for row in range(n)])
        made.append(replace(tokens, ids=ids, pts=tokens.pts + 100 * n * i))
    return made


def query(seed: int) -> Float32:
    vector = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def ids(stream: Stream) -> list[list[str]]:
    return [standing.tokens.ids.tolist() for standing in stream.queries]


@pytest.mark.parametrize("objective", ["paper", "normalised"])
def test_it_is_the_published_recursion(objective: str) -> None:
    options = replace(OPTIONS, objective=objective)
    stream = Stream(D, options)
    stream.ask("a", query(1))
    chosen = None
    for tokens in windows():
        stream.push(tokens)
        pool = tokens if chosen is None else Tokens.concatenate([tokens, chosen])
        scores = pool.embeddings @ query(1)
        chosen = pool.take(choose(Candidates.of(pool, scores), options).rows)
        assert ids(stream) == [chosen.ids.tolist()]
        assert stream.queries[0].selection.relevance == pytest.approx(chosen.embeddings @ query(1))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_where_relevance_is_known_the_steps_are_the_same(objective: str) -> None:
    options = replace(OPTIONS, objective=objective)
    stream = Stream(D, options)
    stream.ask("a", query(1))
    made = windows()
    for tokens in made:
        stream.push(tokens)
    everything = Tokens.concatenate(made)
    candidates = Candidates.of(everything, everything.embeddings @ query(1))
    rows = stream_choose(candidates, options, window=len(made[0]))
    assert ids(stream) == [everything.ids[rows].tolist()]


def test_one_window_for_all_is_the_global_choice() -> None:
    tokens = Tokens.concatenate(windows())
    for objective in OBJECTIVES:
        options = replace(OPTIONS, objective=objective)
        candidates = Candidates.of(tokens, tokens.embeddings @ query(3))
        rows = stream_choose(candidates, options, window=len(tokens))
        assert rows.tolist() == choose(candidates, options).rows.tolist()
    assert len(stream_choose(candidates.take(np.empty(0, np.int64)), OPTIONS, window=5)) == 0


def test_coverage_remembers_what_the_past_looked_like() -> None:
    """A long scene and then a short one of another look: one token is to stand for both."""
    first, later = np.eye(2, dtype=np.float32)
    embeddings = np.concatenate([np.tile(first, (400, 1)), np.tile(later, (40, 1))])
    # A token of the long scene comes again at the end, as a candidate.
    embeddings[-1] = first
    candidates = Candidates(np.zeros(440, np.float32), embeddings, np.arange(440.0))
    options = replace(OPTIONS, objective="coverage", budget=1, time_weight=0.0)
    for memory in (20, 200):
        (row,) = stream_choose(candidates, replace(options, memory=memory), window=40)
        assert embeddings[row] @ first == 1
    last = candidates.take(np.arange(400, 440))
    assert last.embeddings[choose(last, options).rows[0]] @ later == 1


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_every_token_is_as_likely_to_be_remembered(batch: int) -> None:
    """The batches of one stream are seeded by what came before, so the streams differ in length."""
    size, counts, streams = 10, Counter[int](), 0
    for first in range(1, 500):
        seen = first  # As if so many had come before, of which some are held.
        held = np.arange(-min(first, size), 0)
        for start in range(0, 100, batch):
            new = np.arange(start, min(start + batch, 100))
            held = np.concatenate([held, new])[_remember(seen, len(new), size)]
            seen += len(new)
        assert len(held) == min(size, seen)
        assert len(set(held.tolist())) == len(held)
        if first >= size:
            streams += 1
            counts.update((held[held >= 0]).tolist())
    expected = sum(size / (first + 100) for first in range(size, 500))
    share = np.array([counts[row] for row in range(100)]) / expected
    # Five standard deviations of a count of about 17 for each of 100 tokens.
    assert abs(share.mean() - 1) < 5 / np.sqrt(100 * expected)
    assert np.abs(share - 1).max() < 5 / np.sqrt(expected)


def test_few_tokens_are_all_remembered() -> None:
    assert _remember(0, 3, 5).tolist() == [0, 1, 2]
    assert _remember(3, 2, 5).tolist() == [0, 1, 2, 3, 4]
    assert sorted(_remember(0, 9, 5).tolist())[0] >= 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_queries_come_before_during_and_after_and_do_not_meet(objective: str) -> None:
    options = replace(OPTIONS, objective=objective)
    made = windows()
    alone = Stream(D, options)
    alone.ask("a", query(1))
    stream = Stream(D, options)
    stream.ask("a", query(1))
    for i, tokens in enumerate(made):
        stream.push(tokens)
        alone.push(tokens)
        if i == 4:
            during = stream.ask("b", query(2))
    after = stream.ask("c", query(3))
    assert [standing.text for standing in stream.queries] == ["a", "b", "c"]
    assert ids(stream)[0] == ids(alone)[0]
    # What came late chooses from the last window and the past, as far as it is remembered.
    last = set(made[-1].ids.tolist())
    assert len(during.tokens) == len(after.tokens) == options.budget
    assert set(during.tokens.ids) <= set(Tokens.concatenate(made[:5]).ids)
    assert set(after.tokens.ids) - last
    best = float((Tokens.concatenate(made).embeddings @ query(3)).mean())
    assert after.selection.relevance.mean() > best


def test_without_a_query_nothing_is_more_relevant() -> None:
    stream = Stream(D, replace(OPTIONS, objective="coverage"))
    stream.ask("", None)
    for tokens in windows(3):
        stream.push(tokens)
    (standing,) = stream.queries
    assert standing.selection.relevance.tolist() == [0] * OPTIONS.budget


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("facets", [1, 3])
def test_windows_may_be_empty(objective: str, facets: int) -> None:
    stream = Stream(D, replace(OPTIONS, objective=objective))
    stream.ask("a", query(1))
    for n in (0, 4, 0, 9, 0):
        stream.push(make_tokens(9, d=D, q=facets).take(np.arange(n)))
    assert len(stream.queries[0].tokens) == OPTIONS.budget
    assert len(stream.ask("b", query(2)).tokens) == OPTIONS.budget


def test_what_is_kept_does_not_grow(tmp_path: Path) -> None:
    stream = Stream(D, OPTIONS)
    stream.ask("a", query(1))
    sizes = []
    for tokens in windows(40):
        stream.push(tokens)
        stream.save(tmp_path / "state", {})
        sizes.append((tmp_path / "state").stat().st_size)
    assert max(sizes[20:]) < 1.1 * sizes[9]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_stream_goes_on_from_its_state(objective: str, tmp_path: Path) -> None:
    options = replace(OPTIONS, objective=objective)
    path = tmp_path / "state"
    whole, parted = Stream(D, options), Stream(D, options)
    for stream in (whole, parted):
        stream.ask("a", query(1), "one")
        stream.ask("", None)
    for i, tokens in enumerate(windows()):
        whole.push(tokens)
        parted.push(tokens)
        parted.save(path, {"window": i})
        before = parted
        parted, notes = Stream.load(path, options)
        assert notes == {"window": i}
        assert ids(parted) == ids(before)
        assert [(s.text, s.words) for s in parted.queries] == [("a", "one"), ("", "")]
        for old, new in zip(before.queries, parted.queries, strict=True):
            assert new.selection.objective == old.selection.objective
            assert new.selection.relevance.tolist() == old.selection.relevance.tolist()
            np.testing.assert_array_equal(new.tokens.track_rows, old.tokens.track_rows)
    assert ids(parted) == ids(whole)
    assert parted.ask("b", query(2)).tokens.ids.tolist() == (
        whole.ask("b", query(2)).tokens.ids.tolist()
    )
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


_RUN = """
import sys
from pathlib import Path
from seal.attention.streaming import Stream
from test_streaming import D, OPTIONS, query, windows
from dataclasses import replace
path, options = Path(sys.argv[1]), replace(OPTIONS, objective=sys.argv[2])
if path.exists():
    stream, notes = Stream.load(path, options)
    done = notes["done"]
else:
    stream, done = Stream(D, options), 0
    stream.ask("a", query(1))
for i, tokens in enumerate(windows()):
    if i >= done:
        stream.push(tokens)
        stream.save(path, {"done": i + 1})
        print(stream.queries[0].tokens.ids.tolist(), flush=True)
"""


@pytest.mark.parametrize("objective", ["paper", "coverage"])
def test_being_killed_changes_no_choice(objective: str, tmp_path: Path) -> None:
    def start(state: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", _RUN, str(tmp_path / state), objective]
        folder = Path(__file__).parent
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)

    with start("whole") as process:
        whole, _ = process.communicate(timeout=60)
    assert len(whole.splitlines()) == 9
    with start("parted") as process:
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        process.kill()
    with start("parted") as process:
        rest, _ = process.communicate(timeout=60)
    assert 0 < len(rest.splitlines()) <= 6
    assert whole.endswith(rest)


@pytest.mark.parametrize("damage", ["text", "cut", "zeroed", "folder", "other"])
def test_what_is_no_state_is_an_error(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    stream = Stream(D, OPTIONS)
    stream.push(windows(1)[0])
    stream.save(path, {})
    data = path.read_bytes()
    if damage == "text":
        path.write_text("nothing to see here")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "zeroed":
        path.write_bytes(data[:200] + bytes(400) + data[600:])
    elif damage == "folder":
        path = tmp_path
    else:
        with path.open("wb") as file:
            np.savez(file, other=np.zeros(3))
    with pytest.raises(StoreError, match=str(path)):
        Stream.load(path, OPTIONS)


def test_a_state_of_the_future_and_one_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Stream(D, OPTIONS)
    monkeypatch.setattr("seal.attention.streaming._VERSION", 99)
    stream.save(tmp_path / "state", {})
    monkeypatch.undo()
    with pytest.raises(StoreVersionError, match="newer SEAL"):
        Stream.load(tmp_path / "state", OPTIONS)
    with pytest.raises(StoreError, match="cannot be written"):
        stream.save(tmp_path / "nowhere" / "state", {})
