"""The front door: a store, its videos, and all that is asked of one or many.

    library = seal.open("tokens")
    video = library.index("film.mp4")
    video.find("a red ball", top=3)
    library.find("a red ball")

A method has the options that people change as keyword arguments; all others go into `options`, as
a mapping or as "key=value". An option that the method does not read is an OptionError.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, overload

from seal import asked, kinds
from seal.asked import Settings, asking, describe, merged, selecting, watching
from seal.config import DEFAULT_STORE, NoAnswer, Options, WatchOptions, as_settings
from seal.decompose import Instances
from seal.detect import Detector
from seal.encode import Encoder
from seal.encoders import Encoders
from seal.errors import NotIndexedError, OptionError, StoreError
from seal.everywhere import found_everywhere
from seal.files import size_bytes
from seal.indexed import Video
from seal.ingest import OnProgress, default_jobs
from seal.ingest import index as index_video
from seal.inventory import Listing, Optimized, Removed
from seal.lookup import find_any_video, find_video, options_of
from seal.nearest import NearestContent
from seal.results import Answer, Found, Selection, Shown
from seal.said import SaidInVideos
from seal.scope import Scope
from seal.segment import Segmenter
from seal.store import Store, VideoRecord
from seal.track import Tracker
from seal.video import sources_in
from seal.words import TextReader, Transcriber

if TYPE_CHECKING:
    from seal.answer import Answerer, OnText
    from seal.export import Exported
    from seal.windows import Window

_LISTED = 10
"""How many videos of another encoder an error names."""
_KEPT = 16
"""Videos whose tokens stay in memory."""


def open_library(
    path: str | Path = DEFAULT_STORE, *, create: bool = True, encoder: Encoder | None = None
) -> Library:
    """The library in a folder; one is made where there is none, unless `create` is False.

    `encoder` is needed for videos that were indexed with an encoder handed in as an object.
    Raises StoreError if the folder is something else, or was written by a newer SEAL.
    """
    return Library(Store(path, create=create), encoder=encoder)


class Library:
    """The videos of a store. Many threads may ask at once."""

    def __init__(self, store: Store, *, encoder: Encoder | None = None) -> None:
        self.store = store
        self._encoders = Encoders(encoder)
        self._opened: OrderedDict[str, Video] = OrderedDict()
        self._lock = Lock()
        self._said = SaidInVideos(store)

    # A string is an iterable of strings, too; the first signature comes first.
    @overload
    def index(  # type: ignore[overload-overlap]
        self,
        source: str | Path,
        *,
        profile: str = ...,
        quick: bool = ...,
        subtitles: str | Path | None = ...,
        jobs: int | None = ...,
        segmenter: Segmenter | None = ...,
        tracker: Tracker | None = ...,
        encoder: Encoder | None = ...,
        detector: Detector | None = ...,
        transcriber: Transcriber | None = ...,
        reader: TextReader | None = ...,
        options: Settings = ...,
        on_progress: OnProgress = ...,
    ) -> Video: ...

    @overload
    def index(
        self,
        source: Iterable[str | Path],
        *,
        profile: str = ...,
        quick: bool = ...,
        subtitles: str | Path | None = ...,
        jobs: int | None = ...,
        segmenter: Segmenter | None = ...,
        tracker: Tracker | None = ...,
        encoder: Encoder | None = ...,
        detector: Detector | None = ...,
        transcriber: Transcriber | None = ...,
        reader: TextReader | None = ...,
        options: Settings = ...,
        on_progress: OnProgress = ...,
    ) -> list[Video]: ...

    def index(
        self,
        source: str | Path | Iterable[str | Path],
        *,
        profile: str = Options.profile,
        quick: bool = False,
        subtitles: str | Path | None = None,
        jobs: int | None = None,
        segmenter: Segmenter | None = None,
        tracker: Tracker | None = None,
        encoder: Encoder | None = None,
        detector: Detector | None = None,
        transcriber: Transcriber | None = None,
        reader: TextReader | None = None,
        options: Settings = (),
        on_progress: OnProgress = lambda progress: None,
    ) -> Any:
        """Turn videos into tokens; what is stored already is not done again.

        `source` is a file, an address, a camera or a folder of images, and a `Video` comes back; or
        it is several of these or a folder of videos, and a list comes back. Objects given as
        `segmenter`, `tracker`, `encoder`, `detector`, `transcriber` or `reader` stand in for those
        of the profile. `jobs` is the number of processes: by default one for each core, or one
        where objects are given.

        `subtitles` is a file with what is said in the video. By default files beside the video and
        streams inside it are looked for (`seal.config.SubtitleOptions`).

        With `quick`, scene tokens come from the pictures that the codec stores whole, a hundred
        times faster; a later call without it completes the video, whose tokens then are others.

        Raises VideoError if a video cannot be read, BackendError if a back end cannot be loaded.
        """
        options = merged(options, {"subtitles.file": subtitles})
        chosen = Options.load(profile, options, "index")
        given = Instances(segmenter, tracker, encoder, detector, transcriber, reader)
        given.check(as_settings(options))
        if jobs is None:
            # An object may hold what other processes cannot have, such as a device.
            jobs = default_jobs(chosen) if given == Instances() else 1
        if jobs < 1:
            raise OptionError(f"jobs must be at least 1, got {jobs}")
        if encoder is not None:
            self._encoders.add(encoder)

        def one(path: str | Path) -> Video:
            record = index_video(
                path,
                self.store,
                chosen,
                quick=quick,
                jobs=jobs,
                instances=given,
                on_progress=on_progress,
            )
            return self._video(record)

        sources = [source] if isinstance(source, (str, Path)) else source
        paths = [path for each in sources for path in sources_in(each)]
        if chosen.subtitles.file is not None and len(paths) > 1:
            raise OptionError(
                f"one subtitle file cannot be that of {len(paths)} videos: index its video alone"
            )
        found = [one(path) for path in paths]
        return found[0] if paths == [source] else found

    def video(self, name: str | Path) -> Video:
        """A video by its id, its path or address as indexed, or the path of a copy of it.

        Raises NotIndexedError if there is no such video.
        """
        return self._video(find_video(self.store, str(name)))

    def by_id(self, video_id: str) -> Video:
        """A video by its very id; nothing else is looked at. Raises NotIndexedError."""
        return self._video(self.store.record(video_id))

    def _video(self, record: VideoRecord) -> Video:
        with self._lock:
            known = self._opened.get(record.id)
            # It may have been indexed anew, by this process or by another one.
            if known is None or known.record != record:
                known = Video(self.store, record, self._encoders)
            self._opened[record.id] = known
            self._opened.move_to_end(record.id)
            if len(self._opened) > _KEPT:
                self._opened.popitem(last=False)
            return known

    def __getitem__(self, name: str | Path) -> Video:
        return self.video(name)

    def __len__(self) -> int:
        return len(self.store.videos())

    def __iter__(self) -> Iterator[Video]:
        return (self._video(record) for record in self.store.videos())

    def listing(self) -> Listing:
        """The videos, in the order of indexing."""
        counts = self.store.counts()
        described = [
            describe(record, counts[record.id])
            for record in self.store.videos()
            if record.id in counts
        ]
        return Listing(described, [(video.id, video.path) for video in self.store.unfinished()])

    def remove(self, *names: str | Path, purge: bool = False) -> Removed:
        """Remove videos with all their tokens, indexed or half indexed.

        The space comes back some minutes later, when no other process can be reading the tokens
        any more, or at once with `purge`. Raises NotIndexedError before any video is removed.
        """
        videos = [find_any_video(self.store, str(name)) for name in names]
        for video in videos:
            self.store.remove(video.id)
            with self._lock:
                self._opened.pop(video.id, None)
        self.store.optimize(purge)
        return Removed([(video.id, video.path) for video in videos])

    def optimize(self) -> Optimized:
        """Give back the space of everything that was removed or left over, and merge small files.

        Other processes that read or write at that moment start again, which may take them longer.
        """
        before = size_bytes(self.store.path)
        self.store.optimize(purge=True)
        return Optimized(before, size_bytes(self.store.path))

    def find(
        self,
        query: str,
        *,
        top: int | None = None,
        head: str | None = None,
        options: Settings = (),
    ) -> Found:
        """The moments of all videos that a query describes, best first: see `Video.find`.

        They are looked for in the videos of the `attention.candidates` tokens that are nearest to
        the query, those with the most relevant tokens first.
        """
        settings = merged(options, {"find.top": top, "find.head": head})
        return self._found(self._nearest(query, "find all", settings), query)

    def select(
        self,
        query: str,
        *,
        budget: int | None = None,
        objective: str | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        options: Settings = (),
    ) -> Selection:
        """The tokens of all videos that are worth looking at for a query: see `Video.select`.

        They are chosen from the `attention.candidates` tokens that are nearest to the query, and
        the value and its bound are those of a choice among these.
        """
        settings = merged(options, selecting(budget, objective, solver, alpha))
        return self._nearest(query, "select", settings).select(query)

    def ask(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Mapping[str, str] | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
        options: Settings = (),
    ) -> Answer:
        """An answer from the evidence of all videos: see `Video.ask`.

        Words of time, such as "before" and "at the end", are about one video; of several they say
        nothing and are read as any other words.
        """
        from seal.answer.evidence import searched_by

        settings = merged(options, asking(budget, answerer))
        scope = self._nearest(question, "ask", settings, searched_by)
        answer = asked.answer(scope, question, answerer, choices, verify, on_text)
        found = self._found(scope, searched_by(question, scope.options.answer))
        return replace(answer, moments=found.moments, several=True)

    def prompt(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Mapping[str, str] | None = None,
        options: Settings = (),
    ) -> str:
        """What `ask` would send, as a person reads it."""
        from seal.answer.evidence import searched_by

        settings = merged(options, asking(budget, answerer))
        scope = self._nearest(question, "ask", settings, searched_by)
        return asked.prompt(scope, question, choices)

    def show(
        self,
        query: str,
        path: str | Path,
        *,
        budget: int | None = None,
        objective: str | None = None,
        solver: str | None = None,
        alpha: float | None = None,
        options: Settings = (),
    ) -> Shown:
        """Write a storyboard about all videos: see `Video.show`."""
        settings = merged(options, selecting(budget, objective, solver, alpha))
        scope = self._nearest(query, "show", settings)
        return asked.show(scope, self._found(scope, query), path)

    def export(
        self,
        query: str,
        path: str | Path,
        *,
        top: int | None = None,
        head: str | None = None,
        copy: bool = False,
        options: Settings = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> Exported:
        """Write the moments of all videos that a query describes: see `Video.export`."""
        task = asked.exporting(path, copy)
        settings = merged(options, {"find.top": top, "find.head": head})
        scope = self._nearest(query, "find all" if task == "find" else task, settings)
        return asked.export(scope, self._found(scope, query), path, copy, say)

    def watch(
        self,
        source: str,
        queries: Iterable[str] = (),
        *,
        window_s: float = WatchOptions.window_s,
        budget: int = WatchOptions.budget,
        give_up_s: float = WatchOptions.give_up_s,
        state: str | Path | None = None,
        head: str | None = None,
        answerer: str | Answerer | None = None,
        answer_every_s: float | None = None,
        profile: str = Options.profile,
        options: Settings = (),
        say: Any = lambda text: None,
    ) -> Iterator[Window]:
        """Watch a file, an address or a camera, window by window, in fixed memory.

        Nothing is written to the store. `head` is a trained localisation head, which finds moments
        as it goes. An `answerer` answers the queries as it goes, each at most every
        `answer_every_s` seconds (by default `seal.config.WatchOptions.answer_every_s`): see
        `seal.watch.watch`.
        """
        from seal.watch import watch

        if isinstance(queries, str):
            raise OptionError(f"queries must be a list, such as [{queries!r}]")
        limits = {"window_s": window_s, "budget": budget, "give_up_s": give_up_s}
        chosen, how = watching(profile, options, answerer, answer_every_s, **limits)
        return watch(
            *(source, chosen, how, queries),
            state=None if state is None else Path(state),
            head=head,
            answerer=None if isinstance(answerer, str) else answerer,
            say=say,
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
        options = options_of(self.store, latest, settings, task)
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
