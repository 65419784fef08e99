"""The token store: what callers see of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from seal import kinds as known_kinds
from seal.errors import NotIndexedError, OptionError, StoreError
from seal.store import columns, commits, lookup, schema, search, terms
from seal.store.commits import Commit
from seal.store.contents import Contents, part_rows
from seal.store.lance import Tables, among, guard, nearest, quote, scan
from seal.store.opening import opened
from seal.store.pictures import frames, shown
from seal.store.place import parsed
from seal.store.records import Gap, Stored, Unfinished, VideoRecord
from seal.types import Float32, Tokens

_MANY_FILES = 64
"""`finish` merges the files of a table that has this many. Each file costs a reader about 1 ms and
every later commit 100 bytes; merging rewrites up to a million rows with their pictures."""


class Store:
    """Tokens in a folder or an object store. Many processes may read and write them at once.

    A video is indexed kind by kind and in parts: `begin` says what is there already, `add` makes a
    part durable, `finish` commits. Readers see the last commit and never an unfinished one.
    A key stands for everything that decides the tokens of a kind, including the cut of the video
    into parts. Tokens that are stored under a key are never written again.

    Every method raises StoreError, which names the path, if the store is damaged; every method that
    writes raises StoreFullError if the disk is full. Nothing that was stored before is then lost.
    """

    def __init__(self, path: str | Path, create: bool = False) -> None:
        """Open the store at `path`, or make an empty one there if `create`.

        `path` is a folder, or an address such as s3://bucket/prefix, gs:// or az://. A store of an
        older SEAL is upgraded. Raises StoreError if there is no store, the store is damaged or
        cannot be reached, or the folder holds other things. Raises StoreVersionError if a newer
        SEAL wrote it, OptionError for another address, BackendError without the extra `cloud`.
        """
        self.path = parsed(path)
        """The folder, or the address as text."""
        with guard(self.path):
            self._tables = Tables(opened(self.path, create))
        self._has_terms, self._completing = False, Lock()
        self._seen: tuple[int, Mapping[str, Commit]] | None = None
        self._known: dict[str, set[tuple[str, int]]] = {}
        self._paths: dict[str, str] = {}

    # Writing

    def begin(self, video: VideoRecord, keys: Mapping[str, str]) -> Stored:
        """What is already stored of `video` under these very keys (kind -> key).

        Tokens that are committed under other keys stay readable until `finish`.
        """
        _check_kinds(keys)
        with guard(self.path):
            rows, latest = self._parts(video.id), self._latest(video.id)
            contents = commits.parts_of(rows, latest, keys)
        done = contents.done
        self._known[video.id] = set(done)
        self._paths[video.id] = video.path
        committed = latest.record.keys if latest else {}
        complete = frozenset(kind for kind, key in keys.items() if committed.get(kind) == key)
        return Stored(frozenset(done), complete)

    def add(
        self,
        video_id: str,
        part: int,
        keys: Mapping[str, str],
        tokens: Tokens,
        pictures: Mapping[int, bytes],
        gaps: Sequence[Gap] = (),
        meanings: Mapping[str, Float32] | None = None,
    ) -> None:
        """Store part `part` of the kinds in `keys`: all of its tokens (maybe none) or nothing.

        On return the part outlives the process. Ids are stored as they are; the video ids in
        `tokens` are ignored. `pictures` are encoded frames by their presentation timestamps, at
        least one in the time of each token whose kind has a picture. `gaps` are stretches of the
        video, in seconds, that could not be read. `meanings` are id -> [e] of tokens with words.

        Raises OptionError if the arguments do not fit together, or an id is empty or not unique.
        """
        _check_kinds(keys)
        others = set(tokens.kinds.tolist()) - set(keys)
        if others:
            raise OptionError(f"tokens of kinds {sorted(others)} without a key; got {sorted(keys)}")
        meanings = meanings or {}
        columns.check_ids(tokens, meanings)
        pictured = tokens.take(tokens.where(lambda kind: kind.has_picture))
        shown(pictured, np.array(sorted(pictures), np.int64))
        if tokens.facets.shape[1] == 1 and not np.allclose(
            tokens.facets[:, 0], tokens.embeddings, atol=1e-5
        ):
            raise OptionError("with one facet, facets and embeddings must be the same")
        path = self._paths.get(video_id, "")
        rows = part_rows(video_id, path, part, keys, tokens, gaps)
        with guard(self.path):
            while not self._add(video_id, rows, tokens, pictures, meanings):
                pass  # Another process finished or removed the video meanwhile.
        self._known.setdefault(video_id, set()).update((kind, part) for kind in keys)

    def _add(
        self,
        video_id: str,
        rows: Sequence[Mapping[str, Any]],
        tokens: Tokens,
        pictures: Mapping[int, bytes],
        meanings: Mapping[str, Float32],
    ) -> bool:
        """Store a batch. Returns False, with nothing stored, if another process dropped it."""
        batch = commits.new_name()
        self._tables.append(schema.PARTS, [{**row, "batch": batch} for row in rows])
        if len(tokens):
            table = columns.to_arrow(video_id, batch, tokens)
            _, facets, dimension = tokens.facets.shape
            self._tables.append(schema.tokens_table(dimension, facets), table)
        if meanings:
            table = columns.meanings_to_arrow(video_id, batch, tokens, meanings)
            self._tables.append(schema.meanings_table(table["embedding"].type.list_size), table)
        if pictures:
            taken = [
                {"video_id": video_id, "batch": batch, "pts": pts, "jpeg": jpeg}
                for pts, jpeg in pictures.items()
            ]
            self._tables.append(schema.PICTURES, taken)
        this = f"batch = {quote(batch)}"
        if self._tables.mark(schema.PARTS, "stored", this) == len(rows):
            return True
        self._tables.delete(schema.PARTS, this)
        commits.sweep(self._tables, video_id)
        return False

    def finish(self, video: VideoRecord, keys: Mapping[str, str]) -> None:
        """Commit: from now on readers see the tokens stored under `keys`, and no others.

        Whatever else was stored of the video before is dropped. Where parts have piled up, their
        files are merged and their vectors indexed. May be called again at any time.

        Raises StoreError if another process, which indexes the same video with other options, has
        dropped some of our parts meanwhile.
        """
        _check_kinds(keys)
        expected = self._known.get(video.id, set())
        with guard(self.path):
            while True:
                # In this order: parts are dropped only after their commit is visible.
                rows, latest = self._parts(video.id), self._latest(video.id)
                contents = commits.parts_of(rows, latest, keys)
                if not self._all_there(video.id, contents, expected, latest):
                    continue
                expected = contents.done
                gaps = {gap for parts in contents.parts.values() for p in parts for gap in p.gaps}
                gaps |= set(video.gaps)
                record = replace(video, keys=dict(keys), gaps=tuple(sorted(gaps)))
                same = latest and (latest.record, latest.contents) == (record, contents)
                if same or commits.commit(self._tables, record, contents, latest):
                    break
            commits.drop_older(self._tables, video.id)
            commits.drop_unmarked(self._tables, video.id)
            # Later parts may belong to a process that has begun since.
            before = among("batch", {row["batch"] for row in rows})
            self._tables.delete(schema.PARTS, f"video_id = {quote(video.id)} AND {before}")
            commits.sweep(self._tables, video.id)
            self._optimize(_MANY_FILES, video_id=video.id)
        self._known.pop(video.id, None)

    def remove(self, video_id: str, purge: bool = False) -> None:
        """Forget a video, whether it is indexed, half indexed, or what a kill left of one.

        The space comes back with `optimize`, or at once with `purge`, for which see `optimize`.
        """
        with guard(self.path):
            self._tables.delete(schema.VIDEOS, f"id = {quote(video_id)}")
            self._tables.delete(schema.PARTS, f"video_id = {quote(video_id)}")
            commits.sweep(self._tables, video_id)
            if purge:
                self._optimize(purge=True)

    def optimize(self, purge: bool = False) -> None:
        """Drop what killed processes left, merge small files, free the space of what was dropped
        ten minutes ago or more, and index the vectors of large tables.

        With `purge` the space of everything that was dropped is freed at once. Other processes
        that read or write at that moment start again, which may take them longer.
        """
        with guard(self.path):
            commits.drop_unmarked(self._tables)
            commits.sweep(self._tables)
            self._optimize(purge=purge)

    def size_bytes(self) -> int:
        """The size of all files of the store, with those that `optimize` would free."""
        with guard(self.path):
            return self._tables.size_bytes()

    def _optimize(
        self, min_files: int = 0, purge: bool = False, video_id: str | None = None
    ) -> None:
        """See `optimize`; with `video_id`, only the words of this video have changed."""
        for name in self._tables.names():
            self._tables.optimize(name, min_files, purge)
            if name.startswith((schema.TOKENS, schema.MEANINGS)):
                self._tables.index_vectors(name)
            if name.startswith((schema.TOKENS, schema.MEANINGS, schema.PICTURES)):
                self._tables.index_videos(name)
        if video_id is None:
            terms.refresh(self._tables, self._visible())
        else:
            latest = self._latest(video_id)
            terms.refresh(self._tables, {video_id: latest} if latest else {}, video_id)
        self._tables.clear(purge)

    def _parts(self, video_id: str) -> list[dict[str, Any]]:
        return self._tables.rows(schema.PARTS, f"video_id = {quote(video_id)}")

    def _all_there(
        self,
        video_id: str,
        contents: Contents,
        expected: set[tuple[str, int]],
        latest: Commit | None,
    ) -> bool:
        """Whether all tokens of a video are there; False if `latest` has been replaced meanwhile.

        Raises StoreError if an expected part is gone, or a part has lost its tokens.
        """
        missing = expected - contents.done
        where = f"video_id = {quote(video_id)} AND ({contents.where(contents.parts)})"
        stored = self._tables.count(contents.table, ["kind", "batch"], where)
        for kind, parts in contents.parts.items():
            for part in parts:
                if stored[kind, part.batch] == part.count:
                    continue
                if latest and part in latest.contents.parts.get(kind, ()):
                    if self._latest(video_id) != latest:
                        return False
                    raise self._damaged(video_id, stored[kind, part.batch], part.count)
                missing.add((kind, part.number))
                lost = f"kind = {quote(kind)} AND batch = {quote(part.batch)}"
                self._tables.delete(schema.PARTS, f"video_id = {quote(video_id)} AND {lost}")
        if missing:
            raise StoreError(
                f"{len(missing)} parts of {video_id} have vanished from {self.path}; if another"
                " process is indexing this video with other options, wait for it; then run the"
                " same command again"
            )
        return True

    def _damaged(self, video_id: str, there: int, wanted: int) -> StoreError:
        return StoreError(
            f"the token store {self.path} is damaged: it has {there} of {wanted} tokens of"
            f" {video_id}; seal remove the video and index it again"
        )

    # Reading

    def videos(self) -> list[VideoRecord]:
        """The indexed videos, in the order of their last commits."""
        with guard(self.path):
            return [commit.record for commit in self._visible().values()]

    def record(self, video_id: str) -> VideoRecord:
        """The indexed video of this very id. Raises NotIndexedError."""
        with guard(self.path):
            return self._committed(video_id).record

    def unfinished(self) -> list[Unfinished]:
        """The videos that were begun and never committed, in order of their ids."""
        with guard(self.path):
            rows = self._tables.rows(schema.PARTS)
            return lookup.unfinished(rows, self._visible())

    def resolve(self, name: str, *, whole: bool = False) -> VideoRecord:
        """The indexed video of this id, or path as given or absolute, or beginning of one id.

        With `whole` the beginning is no name. Of several contents that were indexed from one path,
        the latest. Raises NotIndexedError, which lists what may be meant, if none or several match.
        """
        return lookup.match(name, self.videos(), self.path, whole=whole)

    def resolve_any(self, name: str) -> VideoRecord | Unfinished:
        """As `resolve` of a whole name, but among the indexed and the unfinished videos."""
        # A video that is finished between the two reads counts once.
        videos: dict[str, VideoRecord | Unfinished] = {v.id: v for v in self.unfinished()}
        videos |= {video.id: video for video in self.videos()}
        return lookup.match(name, list(videos.values()), self.path, whole=True)

    def holds(self, video_id: str) -> bool:
        """Whether anything is stored of a video of this very id, be it damaged."""
        with guard(self.path):
            where, count = f"= {quote(video_id)}", self._tables.count
            in_parts = count(schema.PARTS, ["video_id"], f"video_id {where}")
            return bool(in_parts or count(schema.VIDEOS, ["id"], f"id {where}"))

    def count(self, video_id: str) -> dict[str, int]:
        """kind -> number of tokens of an indexed video. Raises NotIndexedError."""
        with guard(self.path):
            return self._committed(video_id).contents.counts

    def counts(self) -> dict[str, dict[str, int]]:
        """Id -> kind -> number of tokens, of every indexed video, in one read."""
        with guard(self.path):
            return {name: commit.contents.counts for name, commit in self._visible().items()}

    def tokens(self, video_id: str, kinds: Sequence[str] | None = None) -> Tokens:
        """The tokens of an indexed video: by kind, then by start, part, row.

        `kinds`: only tokens of these kinds; of all if None. Raises NotIndexedError, OptionError for
        an unknown kind in `kinds`, and StoreError if the video has tokens of an unknown kind.
        """
        wanted = None if kinds is None else _check_kinds(kinds)
        with guard(self.path):
            contents = self._committed(video_id).contents
            while True:
                tokens, count = self._read(video_id, contents, wanted)
                if len(tokens) == count:
                    return tokens
                # Another process may have committed between the two reads; then read both again.
                before, contents = contents, self._committed(video_id).contents
                if contents == before:
                    raise self._damaged(video_id, len(tokens), count)

    def _read(
        self, video_id: str, contents: Contents, kinds: Sequence[str] | None
    ) -> tuple[Tokens, int]:
        """The tokens of these kinds that there are, and how many there must be."""
        wanted = list(contents.parts) if kinds is None else kinds
        batches = {kind: names for kind, names in contents.batches.items() if kind in wanted}
        names = [name for name in schema.table_schema(contents.table).names if name != "video_id"]
        where = f"video_id = {quote(video_id)} AND ({contents.where(batches)})"
        read = self._tables.read(contents.table, lambda table: scan(table, where, names))
        rows = schema.table_schema(contents.table).empty_table() if read is None else read
        try:
            tokens = columns.to_tokens(rows, {video_id: batches}, *contents.shape)
        except OptionError as error:
            raise ValueError(
                f"the tokens of {video_id} are damaged ({error}): remove the video and index it"
                " again"
            ) from error
        return tokens, sum(contents.counts[kind] for kind in batches)

    def nearest(
        self, direction: Float32, facets: int, limit: int, kinds: Sequence[str] | None = None
    ) -> Tokens:
        """The `limit` tokens, of all indexed videos and of this number of facets, whose embeddings
        are nearest in angle to `direction` [d]; in order of video. `kinds`: only tokens of these.

        Exact but for tokens in the index, which keeps 8 bits of each number: one of them may be
        missed in favour of another that is about as near. Fewer than `limit` if uncommitted tokens
        were nearer.
        """
        where = "true" if kinds is None else among("kind", kinds)
        query = partial(nearest, direction=direction, limit=limit, where=where)
        with guard(self.path):
            return search.committed(self._tables, self._visible, (direction.size, facets), query)

    def saying(self, words: str, limit: int) -> list[str]:
        """The ids of the videos of the `limit` tokens whose words fit best (BM25), best first."""
        with guard(self.path):
            found = self._visible()
            with self._completing:
                self._has_terms = self._has_terms or terms.completed(self._tables, found)
            return terms.search(self._tables, found, words, limit)

    def meant(self, direction: Float32, limit: int) -> list[str]:
        """The ids of the videos of the `limit` tokens whose meanings are nearest in angle to
        `direction` [e], nearest first. Exact and few as `nearest`."""
        with guard(self.path):
            return search.meant(self._tables, self._visible(), direction, limit)

    def said(self, video_ids: Sequence[str], shape: tuple[int, int]) -> Tokens:
        """The tokens that are words, of those among these videos that are indexed, in one read; by
        video, then as `tokens`. `shape` is the dimension and the number of facets."""
        where = f"{among('video_id', video_ids)} AND {among('kind', known_kinds.worded())}"
        with guard(self.path):
            return search.committed(
                self._tables, self._visible, shape, lambda table, names: scan(table, where, names)
            )

    def meanings(self, tokens: Tokens, dimension: int) -> Float32:
        """[n, dimension] of tokens with words that were stored with their meanings.

        Raises StoreError if one is not there.
        """
        with guard(self.path):
            return search.meanings(self._tables, tokens, dimension)

    def pictures(self, video_id: str, tokens: Tokens, at: ArrayLike = 0.5) -> list[bytes]:
        """For each of these tokens of an indexed video, the stored frame nearest to its middle.

        `at`, one number or [n], are other shares of a token's time to be nearest to, in [0, 1].
        Raises NotIndexedError, OptionError for a token of a kind without pictures, and StoreError
        if no frame of the time of a token is stored.
        """
        bare = sorted(set(tokens.kinds[~tokens.where(lambda kind: kind.has_picture)].tolist()))
        if bare:
            raise OptionError(f"tokens of the kind {bare[0]!r} have no pictures")
        with guard(self.path):
            contents = self._committed(video_id).contents
            while len(tokens):
                where = f"video_id = {quote(video_id)} AND {contents.where_pictures()}"
                read = partial(frames, where=where, tokens=tokens, at=at)
                try:
                    found = self._tables.read(schema.PICTURES, read)
                    if found is not None:
                        return found
                    shown(tokens, np.empty(0, np.int64))
                except OptionError:
                    # Another process may have committed between the two reads.
                    before, contents = contents, self._committed(video_id).contents
                    if contents == before:
                        raise
            return []

    def _visible(self) -> Mapping[str, Commit]:
        """The visible commit of every indexed video, by its id."""
        # Reading those of 10,000 videos takes half a second. The version is looked at first, so
        # that commits which come meanwhile are read once more, and never missed.
        version, known = self._tables.version(schema.VIDEOS), self._seen
        if known is None or known[0] != version:
            self._seen = known = version, commits.visible(commits.commits(self._tables))
        return known[1]

    def _latest(self, video_id: str) -> Commit | None:
        """The visible commit of a video."""
        return commits.visible(commits.commits(self._tables, video_id)).get(video_id)

    def _committed(self, video_id: str) -> Commit:
        if (latest := self._visible().get(video_id)) is None:
            raise NotIndexedError(f"no video {video_id!r} in {self.path}; see seal list")
        return latest


def _check_kinds(kinds: Iterable[str]) -> list[str]:
    return [known_kinds.get(kind).name for kind in kinds]
