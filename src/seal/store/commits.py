"""How a video becomes visible, and how leftovers are found. The protocol has no clock.

Lance commits one table at a time, so everything that a reader sees hangs on rows that are marked
last. `Store.add` writes a *part*: rows in `parts` first, then tokens, meanings and pictures, then
the mark `stored` on the rows in `parts`. `Store.finish` writes a *commit*: a row in `videos`, then
a check, then the mark `committed`. A kill leaves rows without a mark. No reader sees them.

Each `add` has a name of its own, its *batch*, a UUID. A row of `parts` or a commit *names* the
batches it needs, kind by kind. The row of `parts` that names a batch is written once, before the
batch's tokens. Tokens, meanings and pictures that no row names are leftovers, and everybody may
delete them.

Commits are ordered by (sequence, commit): a number, one larger than the largest that the committer
sees in the table, and a UUID. Readers take the largest commit of each video that bears the mark.

A committer and a sweeper that drops the same batches must not miss each other. They follow the
pattern of Dekker: each one writes first, then looks at what the other one writes.

    committer: append the commit; then look whether the rows, from which it knows of the batches,
               are still there: marked rows of `parts`, or a marked commit. Only then mark the
               commit. Otherwise withdraw the commit and start again.
    sweeper:   delete rows of `parts` and commits; then look which batches have tokens, then which
               batches the rest of `parts` names, then which ones the commits name, marked or not.
               Only then delete the tokens of the other batches.

Either the sweeper sees the commit, or the sweeper looked before the commit was appended. Then the
rows that named the batch were already gone, and the committer sees that. A commit without its mark
is no proof for another committer, because it may yet be withdrawn.

Nobody can tell a commit without its mark that a killed process left from one that a process is just
about to mark. So whoever has finished a video may delete its commits without a mark, and another
committer of the video may lose its own. The committer notices: a mark and a deletion of one row
conflict in Lance. Either the row is marked, and the deletion finds no row without a mark; or the
row is gone, and the committer, who has marked none, starts again. Nothing is lost: a commit counts
from its mark on, and a row that bears the mark was there all the time before, where every sweeper
has seen it.

The restarts end: `finish` deletes such commits once, after its own commit is visible. Of n
processes that commit one video at once, each success costs each other process one restart at most,
and some process always succeeds. `optimize`, which may run again and again, deletes them only while
nobody else writes. In a bucket they stay until the next `finish` or `remove` of their video.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from seal.store import schema
from seal.store.contents import Contents, Part
from seal.store.lance import Tables, among, quote
from seal.store.records import VideoRecord


def new_name() -> str:
    """A name for a batch or a commit that nothing else has."""
    return uuid4().hex


@dataclass(frozen=True)
class Commit:
    """A row of the table `videos`."""

    name: str
    sequence: int
    marked: bool
    """Whether readers see it."""
    record: VideoRecord
    contents: Contents

    @property
    def order(self) -> tuple[int, str]:
        """By which commits are sorted: the later one is the greater one."""
        return self.sequence, self.name


def commits(tables: Tables, video_id: str | None = None) -> list[Commit]:
    """The commits of one video or of all, in order."""
    where = "true" if video_id is None else f"id = {quote(video_id)}"
    found = [_commit(row) for row in tables.rows(schema.VIDEOS, where)]
    return sorted(found, key=lambda commit: commit.order)


def _commit(row: Mapping[str, Any]) -> Commit:
    """Raises ValueError, which names the video, if a row is not what `commit` wrote."""
    try:
        record, contents = VideoRecord.from_json(row["record"]), Contents.from_json(row["contents"])
        if record.id != row["id"]:
            raise ValueError(f"it says that it is of {record.id[:40]!r}")
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"the record of {row['id']!r} is damaged ({error}): remove the video by its id and"
            " index it again"
        ) from error
    return Commit(row["commit"], row["sequence"], row["committed"], record, contents)


def visible(found: Iterable[Commit]) -> dict[str, Commit]:
    """video id -> the last of these commits, given in order, that readers see; in that order."""
    latest: dict[str, Commit] = {}
    for commit in found:
        if commit.marked:
            latest.pop(commit.record.id, None)
            latest[commit.record.id] = commit
    return latest


def parts_of(
    rows: Iterable[Mapping[str, Any]], commit: Commit | None, keys: Mapping[str, str]
) -> Contents:
    """What is stored of a video under these keys: by `rows` of `parts` and by the visible commit.

    If two batches hold the same part, the committed one counts, or else the one whose name is
    smaller. Thus all processes choose the same one.
    """
    found: dict[str, dict[int, Part]] = {kind: {} for kind in keys}
    for row in sorted(rows, key=lambda row: str(row["batch"])):
        if row["stored"] and keys.get(row["kind"]) == row["key"]:
            found[row["kind"]].setdefault(row["part"], Part.of(row))
    if commit:
        for kind, parts in commit.contents.parts.items():
            if keys.get(kind) == commit.record.keys.get(kind):
                found[kind] |= {part.number: part for part in parts}
    return Contents({kind: tuple(parts[n] for n in sorted(parts)) for kind, parts in found.items()})


def commit(tables: Tables, record: VideoRecord, contents: Contents, known: Commit | None) -> bool:
    """Make `contents` the visible ones of a video. `known` is the visible commit so far.

    Returns False, and nothing is committed, if batches were dropped since the caller looked.
    """
    name, largest = (
        new_name(),
        max(
            (sequence for (sequence,) in tables.count(schema.VIDEOS, ["sequence"], "true")),
            default=0,
        ),
    )
    row = {
        "id": record.id,
        "commit": name,
        "sequence": largest + 1,
        "committed": False,
        "record": record.to_json(),
        "contents": contents.to_json(),
    }
    this = f"commit = {quote(name)}"
    # Who is alone may take a commit without a mark for that of a killed process.
    with tables.held():
        tables.append(schema.VIDEOS, [row])
        if _still_named(tables, record.id, contents, known):
            # Whoever has finished the same video meanwhile has deleted the row.
            return tables.mark(schema.VIDEOS, "committed", this) == 1
        tables.delete(schema.VIDEOS, this)
        return False


def _still_named(tables: Tables, video_id: str, contents: Contents, known: Commit | None) -> bool:
    """Whether the rows from which the batches of `contents` are known are still there."""
    needed = contents.names
    if known and needed & known.contents.names:
        if not tables.rows(schema.VIDEOS, f"commit = {quote(known.name)} AND committed"):
            return False
        needed -= known.contents.names
    mine = f"video_id = {quote(video_id)} AND stored"
    return needed <= set(tables.count(schema.PARTS, ["kind", "batch"], mine))


def drop_older(tables: Tables, video_id: str) -> None:
    """Delete the commits of a video that are older than the visible one."""
    found = commits(tables, video_id)
    latest = visible(found).get(video_id)
    older = [commit.name for commit in found if latest and commit.order < latest.order]
    if older:
        tables.delete(schema.VIDEOS, among("commit", older))


def drop_unmarked(tables: Tables, video_id: str | None = None) -> None:
    """Delete the commits, of one video or of all, that have no mark.

    Of one video, a process that has not yet come to mark its own commit starts again. Those of all
    go only while nobody else writes, which nobody knows of a bucket.
    """
    if video_id is None:
        tables.delete_alone(schema.VIDEOS, "NOT committed")
    else:
        tables.delete(schema.VIDEOS, f"id = {quote(video_id)} AND NOT committed")


def sweep(tables: Tables, video_id: str | None = None) -> None:
    """Delete the tokens, meanings and pictures, of one video or of all, that no row names."""
    mine = "true" if video_id is None else f"video_id = {quote(video_id)}"
    columns = ["video_id", "kind", "batch"]
    vectors = {
        name: set(tables.count(name, columns, mine))
        for name in tables.names()
        if name.startswith((schema.TOKENS, schema.MEANINGS))
    }
    pictures = set(tables.count(schema.PICTURES, ["video_id", "batch"], mine))
    # In this order: a batch that loses its row in `parts` is named by a commit before.
    named = set(tables.count(schema.PARTS, columns, mine))
    for commit in commits(tables, video_id):
        named |= {(commit.record.id, *name) for name in commit.contents.names}
    for name, stored in vectors.items():
        for (video, kind), batches in _grouped(stored - named).items():
            where = f"video_id = {quote(video)} AND kind = {quote(kind)}"
            tables.delete(name, f"{where} AND {among('batch', batches)}")
    shown = {(video, batch) for video, _, batch in named}
    for (video,), batches in _grouped(pictures - shown).items():
        where = f"video_id = {quote(video)} AND {among('batch', batches)}"
        tables.delete(schema.PICTURES, where)


def _grouped(pairs: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """The last elements of tuples by the other elements."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for *group, last in pairs:
        groups.setdefault(tuple(group), []).append(last)
    return groups
