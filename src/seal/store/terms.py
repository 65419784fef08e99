"""The words of a store in one index, by the terms with which they are found.

The table `terms` has a row for each token that is words: its terms (`seal.words.terms.terms`), in
the language of its video, with spaces between them. It repeats what the commits and the tokens say,
so that it can be brought up to date at any time. Batches that no commit names, or names with
another language, are dropped, and missing ones are added, each video in one commit of Lance. Of two
processes that do this at once, either may leave a batch twice; the next one mends that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from seal import kinds as known_kinds
from seal.store import schema
from seal.store.commits import Commit
from seal.store.lance import Tables, among, matching, quote, scan
from seal.store.search import NAMES, videos_of
from seal.words.terms import asked_terms, terms

_BATCH = [*NAMES, "language"]

Batch = tuple[str, str, str, str]
"""Video, kind, batch and language."""


def refresh(tables: Tables, found: Mapping[str, Commit], video_id: str | None = None) -> None:
    """Make the index agree with the visible commits, by video id: with all, or with that of one."""
    mine = "true" if video_id is None else f"video_id = {quote(video_id)}"
    wanted, stored = _wanted(found), tables.count(schema.TERMS, _BATCH, mine)
    stale = [batch for batch, count in stored.items() if wanted.get(batch) != count]
    if stale:
        tables.delete(schema.TERMS, among("batch", {batch for _, _, batch, _ in stale}))
    dropped = {batch for _, _, batch, _ in stale}
    missing: dict[str, list[Batch]] = {}
    for each in wanted:
        if each not in stored or each[2] in dropped:
            missing.setdefault(each[0], []).append(each)
    for video, batches in missing.items():
        rows = _rows(tables, found[video].contents.table, batches)
        if rows is not None:
            tables.append(schema.TERMS, rows)
    tables.index_words(schema.TERMS)


def completed(tables: Tables, found: Mapping[str, Commit]) -> bool:
    """Add what an older SEAL or a killed process has left out, if the store can be written to; True
    if the index has all words then."""
    stored = tables.count(schema.TERMS, _BATCH, "true")
    lacks = any(stored[batch] != count for batch, count in _wanted(found).items())
    if lacks and tables.is_writable:
        refresh(tables, found)
    return tables.is_writable or not lacks


def search(tables: Tables, found: Mapping[str, Commit], words: str, limit: int) -> list[str]:
    """The videos, among those with these visible commits, of the `limit` tokens whose words fit
    best (BM25), the best first."""
    languages = sorted({_language(commit) for commit in found.values()})
    asked = " ".join(asked_terms(words, languages))
    rows = tables.read(schema.TERMS, lambda table: matching(table, NAMES, asked, limit))
    return videos_of(rows, found)


def _language(commit: Commit) -> str:
    return commit.record.language or "en"


def _wanted(found: Mapping[str, Commit]) -> dict[Batch, int]:
    """The batches of words that the commits name, and how many tokens each has."""
    return {
        (video, kind, part.batch, _language(commit)): part.count
        for video, commit in found.items()
        for kind, parts in commit.contents.parts.items()
        if kind in known_kinds.worded()
        for part in parts
        if part.count
    }


def _rows(tables: Tables, name: str, batches: Iterable[Batch]) -> Any:
    """The rows of the index for batches of one video, whose tokens are in the table `name`."""
    import pyarrow as pa

    told = {(kind, batch): language for _, kind, batch, language in batches}
    video = next(video for video, *_ in batches)
    where = f"video_id = {quote(video)} AND {among('batch', {batch for _, batch in told})}"
    columns = ["video_id", "kind", "batch", "row", "text"]
    read = tables.read(name, lambda table: scan(table, where, columns))
    if read is None:
        return None
    pairs = list(zip(read["kind"].to_pylist(), read["batch"].to_pylist(), strict=True))
    read = read.filter(pa.array([pair in told for pair in pairs], pa.bool_()))
    spoken = [told[pair] for pair in pairs if pair in told]
    texts = zip(read["text"].to_pylist(), spoken, strict=True)
    joined = [" ".join(terms(text, language)) for text, language in texts]
    made = read.drop(["text"]).append_column("language", pa.array(spoken, pa.string()))
    made = made.append_column("terms", pa.array(joined, pa.string()))
    wanted = schema.table_schema(schema.TERMS)
    return made.select(wanted.names).cast(wanted)
