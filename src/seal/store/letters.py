"""Dead letters: parts of videos that could not be indexed, with the reason.

A dead letter is a row of the table `parts` without a kind and without its mark, so that it stands
for no tokens. `Store.finish` and `Store.remove` drop it with the other rows of the video.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from seal.inventory import DeadLetter
from seal.store import schema
from seal.store.commits import new_name
from seal.store.lance import guard, quote
from seal.store.records import to_gaps

if TYPE_CHECKING:
    from seal.store.store import Store

_KIND = ""
"""No kind of token is called so."""


def keep(store: Store, video_id: str, path: str, letter: DeadLetter) -> None:
    """Remember that a part of a video could not be indexed."""
    row = {
        "video_id": video_id,
        "path": json.dumps(path),
        "kind": _KIND,
        "key": "",
        "part": letter.part,
        "batch": new_name(),
        "stored": False,
        "count": letter.tries,
        "dimension": 0,
        "facets": 0,
        "gaps": json.dumps([(letter.start_s, letter.end_s, letter.reason)]),
    }
    with guard(store.path):
        store._tables.append(schema.PARTS, [row])


def forget(store: Store, video_id: str, parts: Collection[int]) -> None:
    """Drop the dead letters of these parts, which are about to be tried again."""
    if parts:
        mine = f"video_id = {quote(video_id)} AND kind = {quote(_KIND)}"
        with guard(store.path):
            numbers = ", ".join(map(str, parts))
            store._tables.delete(schema.PARTS, f"{mine} AND part IN ({numbers})")


def of_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[DeadLetter, ...]:
    """The dead letters among rows of `parts` of one video, in order of the parts.

    Raises ValueError for a damaged row.
    """
    found = {}
    for row in rows:
        if row["kind"] == _KIND:
            ((start_s, end_s, reason),) = to_gaps(json.loads(row["gaps"]))
            found[row["part"]] = DeadLetter(row["part"], start_s, end_s, reason, row["count"])
    return tuple(found[part] for part in sorted(found))
