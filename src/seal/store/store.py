"""The token store.

Lance commits one table at a time, so visibility hangs on two rows that are written last: a part
counts when its rows in `parts` are there, a video when its row in `videos` is. Whatever else a
killed process leaves behind is invisible, and `finish` of the same video sweeps it up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seal import kinds as known_kinds
from seal.errors import NotIndexedError, OptionError, StoreError
from seal.store import schema
from seal.store.lance import Tables, either, guard, nearest, quote, scan
from seal.store.records import Gap, Progress, VideoRecord
from seal.types import Float32, Int64, Tokens

_MANY_FILES = 64
"""`finish` merges the files of a table when it has so many. Each costs a reader about 1 ms and
every later commit 100 bytes, and merging rewrites up to a million rows with their pictures."""
_LISTED = 5
"""How many videos an error about a missing one lists."""


@dataclass(frozen=True)
class _Contents:
    """Which of the stored tokens are a video's."""

    dimension: int
    facets: int
    batches: dict[str, list[int]]
    """By kind, in order of part."""
    counts: dict[str, int]
    """Tokens by kind."""

    @property
    def table(self) -> str:
        return schema.tokens_table(self.dimension, self.facets)

    def where(self, wanted: Collection[str] | None = None) -> str:
        """SQL for: a row of one of these kinds and its batches."""
        return either(
            [
                f"kind = {quote(kind)} AND batch IN ({', '.join(map(str, batches))})"
                for kind, batches in self.batches.items()
                if batches and (wanted is None or kind in wanted)
            ]
        )

    def where_pictures(self) -> str:
        """SQL for: a picture that came with one of these batches."""
        batches = sorted({batch for kind in self.batches.values() for batch in kind})
        return f"batch IN ({', '.join(map(str, batches))})" if batches else "false"

    @staticmethod
    def from_json(text: str) -> _Contents:
        """Raises ValueError if `text` is not the JSON of one."""
        try:
            return _Contents(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not a video's contents: {error}") from error


class Store:
    """A folder of tokens. Many processes may read and write it at once.

    A video is indexed kind by kind and in parts: `begin` says what is there already, `add` makes a
    part durable, `finish` commits. Readers see the last commit, never what is in the making.
    A key stands for all that decides the tokens of a kind, how the video is cut into parts
    included: what is stored under a key is never written again.

    Every method raises StoreError, naming the path, if the store is damaged, and every one that
    writes StoreFullError if the disk is full; what was stored before is then untouched.
    """

    def __init__(self, path: str | Path, create: bool = False) -> None:
        """Open the store at `path`, or make an empty one there if `create`.

        Raises StoreError if there is none, or it is damaged, or the folder holds other things;
        StoreVersionError if a newer SEAL wrote it.
        """
        self.path = Path(path)
        with guard(self.path):
            if not (self.path / schema.VERSION_FILE).exists():
                self._create(create)
            schema.read_version(self.path)
            self._tables = Tables(self.path)
            schema.migrate(self.path, self._tables.database)
        self._known: dict[str, set[tuple[str, int]]] = {}

    def _create(self, create: bool) -> None:
        if not create:
            raise StoreError(
                f"no token store at {self.path}: run seal index first, or say where it is with"
                " --store"
            )
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file; a token store is a folder: choose another")
        self.path.mkdir(parents=True, exist_ok=True)
        foreign = [p for p in self.path.iterdir() if not p.name.startswith(schema.VERSION_FILE)]
        if foreign:
            raise StoreError(
                f"{self.path} is no token store and not empty ({foreign[0].name}, ...): choose a"
                " new or empty folder"
            )
        schema.write_version(self.path)

    # Writing

    def begin(self, video: VideoRecord, keys: Mapping[str, str]) -> Progress:
        """What is already stored of `video` under these very keys (kind -> key).

        What is committed under other keys stays readable until `finish`.
        """
        _check_kinds(keys)
        with guard(self.path):
            done = frozenset((row["kind"], row["part"]) for row in self._parts(video.id, keys))
            entry = self._entries(f"id = {quote(video.id)}").get(video.id)
        self._known[video.id] = set(done)
        committed = entry[0].keys if entry else {}
        complete = frozenset(kind for kind, key in keys.items() if committed.get(kind) == key)
        return Progress(done, complete)

    def add(
        self,
        video_id: str,
        part: int,
        keys: Mapping[str, str],
        tokens: Tokens,
        pictures: Mapping[int, bytes],
        gaps: Sequence[Gap] = (),
    ) -> None:
        """Store part `part` of the kinds in `keys`: all of its tokens (maybe none) or nothing.

        On return it outlives the process. Ids and video ids in `tokens` are ignored: ids are given
        on reading, per kind in order of start, part, row. `pictures` are encoded frames by their
        presentation timestamps, at least one in the time of each token. `gaps` are stretches of
        the video, in seconds, that could not be read.

        Raises OptionError if the arguments do not fit together.
        """
        _check_kinds(keys)
        others = set(tokens.kinds.tolist()) - set(keys)
        if others:
            raise OptionError(f"tokens of kinds {sorted(others)} without a key; got {sorted(keys)}")
        pictured = tokens.take(tokens.where(lambda kind: kind.has_picture))
        _shown(pictured, np.array(sorted(pictures), np.int64))
        _, facets, dimension = tokens.facets.shape
        if facets == 1 and not np.allclose(tokens.facets[:, 0], tokens.embeddings, atol=1e-5):
            raise OptionError("with one facet, facets and embeddings must be the same")
        # Named by the clock, because of two batches for one part the earlier one counts.
        batch = time.time_ns()
        rows = [
            {
                "video_id": video_id,
                "kind": kind,
                "key": key,
                "part": part,
                "batch": batch,
                "count": int((tokens.kinds == kind).sum()),
                "dimension": dimension,
                "facets": facets,
                "gaps": json.dumps([(float(start), float(end), why) for start, end, why in gaps]),
            }
            for kind, key in keys.items()
        ]
        with guard(self.path):
            if len(tokens):
                table = schema.to_arrow(video_id, batch, tokens)
                self._tables.append(schema.tokens_table(dimension, facets), table)
                shown = [
                    {"video_id": video_id, "batch": batch, "pts": pts, "jpeg": jpeg}
                    for pts, jpeg in pictures.items()
                ]
                self._tables.append(schema.PICTURES, shown)
            self._tables.append(schema.PARTS, rows)
        self._known.setdefault(video_id, set()).update((kind, part) for kind in keys)

    def finish(self, video: VideoRecord, keys: Mapping[str, str]) -> None:
        """Commit: from now on readers see the tokens stored under `keys`, and no others.

        Older tokens of the video are dropped; where parts have piled up, their files are merged
        and their vectors indexed. May be called again at any time.

        Raises StoreError if another process, indexing the same video with other options, has
        dropped some of ours meanwhile.
        """
        _check_kinds(keys)
        with guard(self.path):
            parts = self._parts(video.id, keys)
            contents = _contents(parts, keys)
            self._check_all_there(video.id, parts, contents)
            gaps = {tuple(gap) for row in parts for gap in json.loads(row["gaps"])}
            gaps |= set(video.gaps)
            record = replace(video, keys=dict(keys), gaps=tuple(sorted(gaps)))
            mine = f"id = {quote(video.id)}"
            if self._entries(mine).get(video.id) != (record, contents):
                row = {"id": video.id, "committed": time.time_ns(), "record": record.to_json()}
                row["contents"] = json.dumps(vars(contents))
                self._tables.append(schema.VIDEOS, [row])
            latest = max(row["committed"] for row in self._tables.rows(schema.VIDEOS, mine))
            self._tables.delete(schema.VIDEOS, f"{mine} AND committed < {latest}")
            self._sweep(video.id, contents)
            self._optimize(_MANY_FILES)
        self._known.pop(video.id, None)

    def remove(self, video_id: str) -> None:
        """Forget a video, indexed or half indexed. The space comes back with `optimize`."""
        with guard(self.path):
            self._tables.delete(schema.VIDEOS, f"id = {quote(video_id)}")
            self._sweep(video_id, _contents([], {}))

    def optimize(self) -> None:
        """Merge small files, give back the space of what was dropped ten minutes ago or more, and
        index the vectors of large tables."""
        with guard(self.path):
            self._optimize(1)

    def _optimize(self, files: int) -> None:
        for name in self._tables.names():
            self._tables.optimize(name, files)
            if name.startswith(schema.TOKENS):
                self._tables.index_vectors(name)

    def _parts(self, video_id: str, keys: Mapping[str, str]) -> list[dict[str, Any]]:
        """The rows of `parts` under these keys, one for each kind and part, in order of part."""
        mine = either([f"kind = {quote(kind)} AND key = {quote(keys[kind])}" for kind in keys])
        rows = self._tables.rows(schema.PARTS, f"video_id = {quote(video_id)} AND ({mine})")
        rows.sort(key=lambda row: (row["part"], -row["batch"]))
        return list({(row["kind"], row["part"]): row for row in rows}.values())

    def _check_all_there(
        self, video_id: str, parts: Sequence[Mapping[str, Any]], contents: _Contents
    ) -> None:
        """Raise StoreError if a part that was there is gone, or a part has lost its tokens."""
        missing = self._known.get(video_id, set()) - {(row["kind"], row["part"]) for row in parts}
        stored: dict[tuple[str, int], int] = {}
        table = self._tables.open(contents.table)
        if table is not None:
            where = f"video_id = {quote(video_id)} AND ({contents.where()})"
            rows = scan(table, where, ["kind", "batch"])
            groups = rows.group_by(["kind", "batch"]).aggregate([([], "count_all")]).to_pydict()
            pairs = zip(groups["kind"], groups["batch"], strict=True)
            stored = dict(zip(pairs, groups["count_all"], strict=True))
        for row in parts:
            if stored.get((row["kind"], row["batch"]), 0) != row["count"]:
                missing.add((row["kind"], row["part"]))
                batch = f"kind = {quote(row['kind'])} AND batch = {row['batch']}"
                self._tables.delete(schema.PARTS, f"video_id = {quote(video_id)} AND {batch}")
        if missing:
            raise StoreError(
                f"{len(missing)} parts of {video_id} have vanished from {self.path}; if another"
                " process is indexing this video with other options, wait for it; then run the"
                " same command again"
            )

    def _sweep(self, video_id: str, contents: _Contents) -> None:
        """Delete what is stored of a video beside these contents. The parts go first, so that
        none is ever there without its tokens."""
        mine = f"video_id = {quote(video_id)}"
        self._tables.delete(schema.PARTS, f"{mine} AND NOT ({contents.where()})")
        self._tables.delete(schema.PICTURES, f"{mine} AND NOT ({contents.where_pictures()})")
        for name in self._tables.names():
            if name == contents.table:
                self._tables.delete(name, f"{mine} AND NOT ({contents.where()})")
            elif name.startswith(schema.TOKENS):
                self._tables.delete(name, mine)

    # Reading

    def videos(self) -> list[VideoRecord]:
        """The indexed videos, in the order of indexing."""
        with guard(self.path):
            return [record for record, _ in self._entries().values()]

    def resolve(self, name: str) -> VideoRecord:
        """The video with this id, or this path as given or absolute, or the only id that begins so.

        If several contents were indexed from one path, the latest. Raises NotIndexedError, which
        lists what is there, if there is none, or if several ids begin so.
        """
        videos = self.videos()
        absolute = str(Path(name).absolute())
        same_id = [video for video in videos if video.id == name]
        same_path = [v for v in videos if name in (v.path, v.location) or v.location == absolute]
        begin_so = [video for video in videos if name and video.id.startswith(name)]
        matches = same_id or same_path[-1:] or begin_so
        if len(matches) == 1:
            return matches[0]
        listed = ", ".join(f"{v.id} ({v.path})" for v in (matches or videos)[-_LISTED:])
        if matches:
            raise NotIndexedError(f"several ids in {self.path} begin with {name!r}: {listed}")
        more = ", ..." if len(videos) > _LISTED else ""
        raise NotIndexedError(
            f"{name!r} is not indexed in {self.path}, which has"
            f" {listed or 'no videos'}{more}; run seal index on it first"
        )

    def count(self, video_id: str) -> dict[str, int]:
        """kind -> number of tokens of an indexed video. Raises NotIndexedError."""
        with guard(self.path):
            return self._contents(video_id).counts

    def tokens(self, video_id: str, kinds: Sequence[str] | None = None) -> Tokens:
        """The tokens of an indexed video: by kind, then by start, part, row.

        `kinds`: only these; all if None. Raises NotIndexedError, OptionError for an unknown kind.
        """
        kinds = _check_kinds(known_kinds.known() if kinds is None else kinds)
        with guard(self.path):
            contents, rows = self._read(video_id, kinds)
            shape = contents.dimension, contents.facets
            return schema.to_tokens(rows, {video_id: contents.batches}, *shape)

    def nearest(self, direction: Float32, facets: int, limit: int) -> Tokens:
        """The `limit` tokens of all indexed videos whose embeddings are nearest in angle to
        `direction` [d], by video, of those with so many facets.

        Exact but for tokens in an index, which keeps 8 bits of each number: one of them may be
        missed for another that is about as near. Fewer where others, not committed, were nearer.
        """
        name = schema.tokens_table(direction.size, facets)
        columns = schema.table_schema(name)
        with guard(self.path):
            entries = self._entries()
            table = self._tables.open(name)
            if table is None:
                return schema.to_tokens(columns.empty_table(), {}, direction.size, facets)
            rows = nearest(table, columns.names, direction, limit)
            videos = sorted(set(rows["video_id"].to_pylist()) & set(entries))
            batches = {video: entries[video][1].batches for video in videos}
            mine = f"video_id IN ({', '.join(map(quote, videos))})" if videos else "false"
            every = scan(table, mine, schema.ORDER_COLUMNS)
            return schema.to_tokens(rows, batches, direction.size, facets, every=every)

    def pictures(self, video_id: str, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """For each of these tokens of an indexed video, the stored frame nearest to its middle.

        `at`, one number or [n], are other shares of their time to be nearest to, in [0, 1].
        Raises NotIndexedError, and StoreError if no frame of that time is stored.
        """
        with guard(self.path):
            where = self._contents(video_id).where_pictures()
            table = self._tables.open(schema.PICTURES)
            if table is None or not len(tokens):
                _shown(tokens, np.empty(0, np.int64))
                return []
            query = table.search().where(f"video_id = {quote(video_id)} AND {where}")
            rows = query.select(["pts"]).limit(None).with_row_id(True).to_arrow().sort_by("pts")
            row_ids = schema.numbers(rows["_rowid"])
            wanted = row_ids[_shown(tokens, schema.numbers(rows["pts"]), at)].tolist()
            # Lance returns each row once and in its own order.
            found = table.take_row_ids(wanted).select(["jpeg"]).with_row_id().to_arrow().to_pydict()
        jpegs = dict(zip(found["_rowid"], found["jpeg"], strict=True))
        return [jpegs[row_id] for row_id in wanted]

    def _entries(self, where: str = "true") -> dict[str, tuple[VideoRecord, _Contents]]:
        """The committed videos by id, in the order of their latest commits."""
        latest: dict[str, dict[str, Any]] = {}
        for row in sorted(
            self._tables.rows(schema.VIDEOS, where), key=lambda row: int(row["committed"])
        ):
            latest.pop(row["id"], None)
            latest[row["id"]] = row
        return {
            key: (VideoRecord.from_json(row["record"]), _Contents.from_json(row["contents"]))
            for key, row in latest.items()
        }

    def _contents(self, video_id: str) -> _Contents:
        entries = self._entries(f"id = {quote(video_id)}")
        if video_id not in entries:
            raise NotIndexedError(f"no video {video_id!r} in {self.path}; see seal list")
        return entries[video_id][1]

    def _read(self, video_id: str, kinds: Sequence[str]) -> tuple[_Contents, Any]:
        """A video's contents, and its rows of these kinds."""
        contents = self._contents(video_id)
        while True:
            wanted = sum(contents.counts.get(kind, 0) for kind in kinds)
            table = self._tables.open(contents.table)
            if table is None:
                rows = schema.table_schema(contents.table).empty_table()
            else:
                where = f"video_id = {quote(video_id)} AND ({contents.where(kinds)})"
                columns = schema.table_schema(contents.table).names
                rows = table.search().where(where).select(columns).limit(None).to_arrow()
            if rows.num_rows == wanted:
                return contents, rows
            # Another process may have committed between the two reads; then read both again.
            before, contents = contents, self._contents(video_id)
            if contents == before:
                raise StoreError(
                    f"the token store {self.path} is damaged: it has {rows.num_rows} of the"
                    f" {wanted} tokens of {video_id}; seal remove the video and index it again"
                )


def _check_kinds(kinds: Any) -> list[str]:
    return [known_kinds.get(kind).name for kind in kinds]


def _contents(parts: Sequence[Mapping[str, Any]], keys: Mapping[str, str]) -> _Contents:
    """What these rows of `parts`, in order of part, make together."""
    shapes = {(row["dimension"], row["facets"]) for row in parts if row["count"]}
    if len(shapes) > 1:
        raise StoreError(f"the parts of one video need one encoder; these have {sorted(shapes)}")
    empty = [(row["dimension"], row["facets"]) for row in parts[:1]] or [(0, 1)]
    dimension, facets = (*shapes, *empty)[0]
    return _Contents(
        dimension=dimension,
        facets=facets,
        batches={kind: [r["batch"] for r in parts if r["kind"] == kind] for kind in keys},
        counts={kind: sum(r["count"] for r in parts if r["kind"] == kind) for kind in keys},
    )


def _shown(tokens: Tokens, pts: Int64, at: ArrayLike = 0.5) -> Int64:
    """For each token the row of the sorted `pts` that is in its time and nearest to the share `at`
    of it."""
    start, end = tokens.pts[:, 0], tokens.pts[:, 1]
    first, last = np.searchsorted(pts, start), np.searchsorted(pts, end) - 1
    # A token that starts and ends with one tick is shown by the frame of that tick.
    last = np.maximum(last, np.searchsorted(pts, start, side="right") - 1)
    if (last < first).any():
        row = int(np.argmax(last < first))
        raise OptionError(f"no picture between the ticks {start[row]} and {end[row]} of a token")
    wanted = start + (end - start) * np.asarray(at)
    after = np.clip(np.searchsorted(pts, wanted), first, last)
    before = np.maximum(after - 1, first)
    nearest: Int64 = np.where(wanted - pts[before] <= pts[after] - wanted, before, after)
    return nearest
