"""A library in a folder or an object store: a store and its videos."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from seal import asked, kinds
from seal.asked import Drawn, describe, watching
from seal.config import NoAnswer, Options
from seal.config.serving import is_server
from seal.decompose import Instances
from seal.encoders import Encoders
from seal.errors import NotIndexedError, OptionError, StoreError
from seal.everywhere import found_everywhere
from seal.front import Indexing, Library, PutExport, PutQuestion
from seal.indexed import LocalVideo
from seal.ingest import Indexer, Shard, default_jobs
from seal.ingest.shard import WHOLE
from seal.inventory import Listing, Optimized, Removed, Share
from seal.lookup import find_any_video, find_video, options_of
from seal.nearest import NearestContent
from seal.results import Answer, Found, Selection, Shown
from seal.said import SaidInVideos
from seal.scope import Scope
from seal.store import Store, VideoRecord
from seal.video import sources_of

if TYPE_CHECKING:
    from seal.encode import Encoder
    from seal.export import Exported
    from seal.windows import Window

_LISTED = 10
"""How many videos of another encoder an error names."""
_KEPT = 16
"""Videos whose tokens stay in memory."""


class LocalLibrary(Library):
    """The videos of a store. Many threads may ask at once."""

    def __init__(
        self, store: Store, *, encoder: Encoder | None = None, defaults: Sequence[str] = ()
    ) -> None:
        """`defaults` are settings below those of each call: see `Options.load`."""
        self.store = store
        self._defaults = defaults
        self._encoders = Encoders(encoder)
        self._opened: OrderedDict[str, LocalVideo] = OrderedDict()
        self._lock = Lock()
        self._said = SaidInVideos(store)

    @staticmethod
    def at(
        path: str | Path,
        *,
        create: bool = True,
        encoder: Encoder | None = None,
        defaults: Sequence[str] = (),
    ) -> LocalLibrary:
        """The library in a folder or an object store: see `seal.opening.open_library`.

        Raises OptionError for the address of a server.
        """
        if is_server(path):
            raise OptionError(
                f"{path} is a server: do this where its store can be reached, and name the store"
            )
        return LocalLibrary(Store(path, create=create), encoder=encoder, defaults=defaults)

    def _index_each(
        self, source: str | Path | Iterable[str | Path], how: Indexing
    ) -> Generator[tuple[int, str | Path, Callable[[], Share]], None, None]:
        chosen = Options.load(how.profile, how.settings, "index", self._defaults)
        given = Instances(**how.objects)
        given.check(how.settings)
        jobs, encoder = how.jobs, given.encoder
        if jobs is None and chosen.engine.backend == "local":
            # An object may hold what other processes cannot have, such as a device.
            jobs = default_jobs(chosen) if given == Instances() else 1
        if jobs is not None and jobs < 1:
            raise OptionError(f"jobs must be at least 1, got {jobs}")
        if encoder is not None:
            self._encoders.add(encoder)
        shard = Shard.parse(how.shard) if how.shard is not None else WHOLE
        paths = sources_of(source)
        if chosen.subtitles.file is not None and len(paths) > 1:
            raise OptionError(
                f"one subtitle file cannot be that of {len(paths)} videos: index its video alone"
            )

        indexer = Indexer(
            self.store,
            chosen,
            quick=how.quick,
            jobs=jobs,
            videos=len(paths),
            instances=given,
            say=how.say,
        )
        with closing(indexer.each(paths, shard, how.on_progress)) as each:
            for place, outcome in each:
                yield place, paths[place], outcome

    def video(self, name: str | Path) -> LocalVideo:
        return self._video(find_video(self.store, str(name)))

    def by_id(self, video_id: str) -> LocalVideo:
        return self._video(self.store.record(video_id))

    def _video(self, record: VideoRecord) -> LocalVideo:
        with self._lock:
            known = self._opened.get(record.id)
            # The video may have been indexed anew, by this process or by another one.
            if known is None or known.record != record:
                known = LocalVideo(self.store, record, self._encoders, self._defaults)
            self._opened[record.id] = known
            self._opened.move_to_end(record.id)
            if len(self._opened) > _KEPT:
                self._opened.popitem(last=False)
            return known

    def __len__(self) -> int:
        return len(self.store.videos())

    def __iter__(self) -> Iterator[LocalVideo]:
        return (self._video(record) for record in self.store.videos())

    def listing(self) -> Listing:
        counts = self.store.counts()
        described = [
            describe(record, counts[record.id])
            for record in self.store.videos()
            if record.id in counts
        ]
        begun = self.store.unfinished()
        dead = {video.id: video.dead for video in begun if video.dead}
        stored = {video.id: min(video.done.values(), default=0) for video in begun}
        return Listing(described, [(video.id, video.path) for video in begun], dead, stored)

    def remove(self, *names: str | Path, purge: bool = False) -> Removed:
        videos = [find_any_video(self.store, str(name)) for name in names]
        for video in videos:
            self.store.remove(video.id)
            with self._lock:
                self._opened.pop(video.id, None)
        self.store.optimize(purge)
        return Removed([(video.id, video.path) for video in videos])

    def optimize(self) -> Optimized:
        before = self.store.size_bytes()
        self.store.optimize(purge=True)
        return Optimized(before, self.store.size_bytes())

    def _find(self, query: str, settings: list[str]) -> Found:
        return self._found(self._nearest(query, "find all", settings), query)

    def _select(self, query: str, settings: list[str]) -> Selection:
        return self._nearest(query, "select", settings).select(query)

    def _ask(self, put: PutQuestion) -> Answer:
        from seal.answer.evidence import searched_by

        scope = self._nearest(put.question, "ask", put.settings, searched_by)
        answer = asked.answer(scope, put)
        found = self._found(scope, searched_by(put.question, scope.options.answer))
        return replace(answer, moments=found.moments, match=found.match, several=True)

    def _prompt(self, put: PutQuestion) -> str:
        from seal.answer.evidence import searched_by

        return asked.prompt(self._nearest(put.question, "ask", put.settings, searched_by), put)

    def _show(self, query: str, path: str | Path, settings: list[str]) -> Shown:
        return asked.show(self.draw(query, settings), path)

    def draw(self, query: str, settings: list[str]) -> Drawn:
        """What `show` writes."""
        scope = self._nearest(query, "show", settings)
        return asked.draw(scope, self._found(scope, query))

    def _export(self, put: PutExport) -> Exported:
        task = asked.exporting(put)
        scope = self._nearest(put.query, "find all" if task == "find" else task, put.settings)
        return asked.export(scope, self._found(scope, put.query), put)

    def _watch(self, source: str, queries: list[str], **how: Any) -> Iterator[Window]:
        from seal.watch import watch

        state, head, say, answerer = (how.pop(key) for key in ("state", "head", "say", "answerer"))
        chosen, options = watching(answerer=answerer, defaults=self._defaults, **how)
        model = None if isinstance(answerer, str) else answerer
        return watch(
            source, chosen, options, queries, state=state, head=head, answerer=model, say=say
        )

    def _nearest(
        self,
        query: str,
        task: str,
        settings: list[str],
        text_of: Callable[[str, NoAnswer], str] = lambda query, options: query,
    ) -> Scope:
        """The tokens of all videos that are nearest to a query, and the options of a task.

        `text_of` says by which text of a question the tokens are near.

        Raises NotIndexedError if there is no video, and StoreError, naming videos, if they were
        not all indexed with one encoder, or their words not with one encoder of sentences.
        """
        records = self.store.videos()
        if not records:
            raise NotIndexedError(f"{self.store.path} has no videos; run seal index first")
        latest = records[-1]
        _check_same(records, latest, "encoder", lambda record: record.encoder)
        worded = [record for record in records if not record.keys.keys().isdisjoint(kinds.worded())]
        spoken = worded[-1] if worded else latest
        _check_same(worded, spoken, "encoder of sentences", lambda record: record.meaning or "none")
        options = options_of(self.store, latest, settings, task, self._defaults)
        encoder, limit = self._encoders.of(latest), options.attention.candidates
        text = text_of(query, options.answer)
        sentences = self._encoders.of_sentences(spoken)
        near = NearestContent(self.store, records, encoder, text, limit, sentences, self._said)
        return Scope(near, options)

    def _found(self, scope: Scope, query: str) -> Found:
        """The moments of the videos in `scope`: see `seal.everywhere`."""

        def find(record: VideoRecord) -> Found:
            return Scope(self._video(record).content, scope.options).find(query)

        return found_everywhere(scope, query, find)


def _check_same(
    records: Iterable[VideoRecord],
    latest: VideoRecord,
    what: str,
    name_of: Callable[[VideoRecord], str],
) -> None:
    """Raise StoreError, naming videos, unless all have what the latest one has."""
    wanted = name_of(latest)
    others = [record for record in records if name_of(record) != wanted]
    if others:
        listed = ", ".join(f"{one.path} ({name_of(one)})" for one in others[:_LISTED])
        more = f" and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
        raise StoreError(
            f"these videos were indexed with another {what} than {latest.path} ({wanted}):"
            f" {listed}{more}; index them again with the same profile and options, or into another"
            " --store"
        )
