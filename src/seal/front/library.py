"""Many videos, and what is asked of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from seal.arguments import Choices, Settings, asking, lettered, merged, selecting
from seal.config import Options, WatchOptions
from seal.errors import OptionError, UnfinishedError
from seal.front.requests import Indexing, PutExport, PutQuestion
from seal.front.video import Video

# Not loaded here: a library on a server needs little of it.
if TYPE_CHECKING:
    from seal.answer import Answerer, OnText
    from seal.detect import Detector
    from seal.encode import Encoder
    from seal.export import Exported
    from seal.ingest import OnProgress
    from seal.inventory import Listing, Optimized, Removed, Share
    from seal.results import Answer, Found, Selection, Shown
    from seal.segment import Segmenter
    from seal.track import Tracker
    from seal.types import Tokens
    from seal.windows import Window
    from seal.words import TextReader, Transcriber


class Library(ABC):
    """Many videos, and what is asked of them."""

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
        engine: str | None = ...,
        segmenter: Segmenter | None = ...,
        tracker: Tracker | None = ...,
        encoder: Encoder | None = ...,
        detector: Detector | None = ...,
        transcriber: Transcriber | None = ...,
        reader: TextReader | None = ...,
        options: Settings = ...,
        on_progress: OnProgress = ...,
        say: Callable[[str], None] = ...,
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
        engine: str | None = ...,
        segmenter: Segmenter | None = ...,
        tracker: Tracker | None = ...,
        encoder: Encoder | None = ...,
        detector: Detector | None = ...,
        transcriber: Transcriber | None = ...,
        reader: TextReader | None = ...,
        options: Settings = ...,
        on_progress: OnProgress = ...,
        say: Callable[[str], None] = ...,
    ) -> list[Video]: ...

    def index(
        self,
        source: str | Path | Iterable[str | Path],
        *,
        profile: str = Options.profile,
        quick: bool = False,
        subtitles: str | Path | None = None,
        jobs: int | None = None,
        engine: str | None = None,
        segmenter: Segmenter | None = None,
        tracker: Tracker | None = None,
        encoder: Encoder | None = None,
        detector: Detector | None = None,
        transcriber: Transcriber | None = None,
        reader: TextReader | None = None,
        options: Settings = (),
        on_progress: OnProgress = lambda progress: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> Any:
        """Turn videos into tokens; what is stored already is not done again.

        `source` is a file, an address, a camera or a folder of images, and a `Video` comes back. Or
        it is several of these or a folder of videos, and a list comes back. Objects given as
        `segmenter`, `tracker`, `encoder`, `detector`, `transcriber` or `reader` stand in for those
        of the profile. `jobs` is the number of processes: by default one for each core, or one
        where objects are given. The `engine` "ray" does the parts on a Ray cluster
        (`seal.config.RayOptions`), by default as many at a time as the cluster has CPUs.

        `subtitles` is a file with what is said in the video. By default files beside the video and
        streams inside it are looked for (`seal.config.SubtitleOptions`).

        With `quick`, scene tokens come from the pictures that the codec stores whole, a hundred
        times faster; a later call without it completes the video, whose tokens then are others.

        `say` is told which tokens of an earlier call this one takes away, before the work: words
        that were heard or read, where nothing hears or reads any more.

        Raises VideoError if a video cannot be read, BackendError if a back end cannot be loaded.
        Raises UnfinishedError, a VideoError, when all are done, if parts of some videos failed: the
        error says which and why, and the same call tries these parts again.
        """
        settings = merged(options, {"subtitles.file": subtitles, "engine.backend": engine})
        objects = {
            "segmenter": segmenter,
            "tracker": tracker,
            "encoder": encoder,
            "detector": detector,
            "transcriber": transcriber,
            "reader": reader,
        }
        how = Indexing(profile, settings, quick, jobs, objects, on_progress, say=say)
        with closing(self._index_each(source, how)) as each:
            shares = {place: outcome() for place, _, outcome in each}
        dead = [share for _, share in sorted(shares.items()) if not share.is_complete]
        if dead:
            raise UnfinishedError("; ".join(share.failure for share in dead), dead)
        found = [self.by_id(share.video) for _, share in sorted(shares.items())]
        is_one = isinstance(source, (str, Path)) and not _is_folder_of_videos(source)
        return found[0] if is_one else found

    def index_each(
        self,
        source: str | Path | Iterable[str | Path],
        *,
        shard: str | None = None,
        profile: str = Options.profile,
        quick: bool = False,
        subtitles: str | Path | None = None,
        jobs: int | None = None,
        engine: str | None = None,
        options: Settings = (),
        on_progress: OnProgress = lambda progress: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> Generator[tuple[str | Path, Callable[[], Share]], None, None]:
        """Index videos as `index` does, and say of each what has come of it, in their order.

            for path, outcome in library.index_each("films", shard="3/64"):
                share = outcome()   # or VideoError, and the next one may do

        A `shard` is the share of one of several processes, which name the same videos in the same
        order and write to one store. Each part has one owner. The process that finds a video
        complete commits it, so that a video may be unfinished when its share is done. A live
        source, a pipe and a video that cannot be cut belong to one shard as a whole.

        Other videos may be worked on while the caller waits for one: `on_progress` is about this
        one alone. Closing the iterator ends them all.
        """
        settings = merged(options, {"subtitles.file": subtitles, "engine.backend": engine})
        how = Indexing(profile, settings, quick, jobs, {}, on_progress, shard, say)
        with closing(self._index_each(source, how)) as each:
            for _, path, outcome in each:
                yield path, outcome

    @abstractmethod
    def video(self, name: str | Path) -> Video:
        """A video by its id, its path or address as indexed, or the path of a copy of it. The
        beginning of an id will do, where no other id begins so.

        Raises NotIndexedError if there is no such video.
        """

    @abstractmethod
    def by_id(self, video_id: str) -> Video:
        """A video by its very id; nothing else is looked at. Raises NotIndexedError."""

    def __getitem__(self, name: str | Path) -> Video:
        return self.video(name)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __iter__(self) -> Iterator[Video]: ...

    @abstractmethod
    def listing(self) -> Listing:
        """The videos, in the order of indexing."""

    @abstractmethod
    def remove(self, *names: str | Path, purge: bool = False) -> Removed:
        """Remove videos with all their tokens, indexed or half indexed.

        The space comes back some minutes later, when no other process can be reading the tokens
        any more, or at once with `purge`. Only a whole id, path or address names a video here.
        Raises NotIndexedError before any video is removed.
        """

    @abstractmethod
    def optimize(self) -> Optimized:
        """Give back the space of everything that was removed or left over, and merge small files.

        Other processes that read or write at that moment start again, which may take them longer.
        """

    def find(
        self,
        query: str,
        *,
        top: int | None = None,
        head: str | None = None,
        options: Settings = (),
    ) -> Found:
        """The moments of all videos that a query describes, best first: see `Video.find`.

        Moments are looked for in the videos of the `attention.candidates` tokens that are nearest
        to the query, those with the most relevant tokens first.
        """
        settings = merged(options, {"find.top": top, "find.head": head})
        return self._find(query, settings)

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

        Tokens are chosen from the `attention.candidates` tokens that are nearest to the query, and
        the value and its bound are those of a choice among these.
        """
        settings = merged(options, selecting(budget, objective, solver, alpha))
        return self._select(query, settings)

    def ask(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Choices | None = None,
        verify: bool = False,
        on_text: OnText | None = None,
        options: Settings = (),
    ) -> Answer:
        """An answer from the evidence of all videos: see `Video.ask`.

        Words of time, such as "before" and "at the end", are about one video; of several they say
        nothing and are read as any other words.
        """
        settings = merged(options, asking(budget, answerer))
        return self._ask(
            PutQuestion(question, settings, answerer, lettered(choices), verify, on_text)
        )

    def prompt(
        self,
        question: str,
        *,
        answerer: str | Answerer | None = None,
        budget: int | None = None,
        choices: Choices | None = None,
        options: Settings = (),
    ) -> str:
        """What `ask` would send, as a person reads it."""
        settings = merged(options, asking(budget, answerer))
        return self._prompt(PutQuestion(question, settings, answerer, lettered(choices)))

    def pictures(self, tokens: Tokens, *, crop: bool = False) -> list[bytes]:
        """For each of some tokens of any videos a picture as JPEG: see `Video.pictures`."""
        videos = tokens.video_ids.tolist()
        of_video = {
            name: iter(self.by_id(name).pictures(tokens.take(tokens.video_ids == name), crop=crop))
            for name in dict.fromkeys(videos)
        }
        return [next(of_video[name]) for name in videos]

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
        return self._show(query, path, settings)

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
        settings = merged(options, {"find.top": top, "find.head": head})
        return self._export(PutExport(query, path, settings, copy, say))

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
        if isinstance(queries, str):
            raise OptionError(f"queries must be a list, such as [{queries!r}]")
        return self._watch(
            source,
            list(queries),
            window_s=window_s,
            budget=budget,
            give_up_s=give_up_s,
            state=None if state is None else Path(state),
            head=head,
            answerer=answerer,
            answer_every_s=answer_every_s,
            profile=profile,
            options=options,
            say=say,
        )

    @abstractmethod
    def _index_each(
        self, source: str | Path | Iterable[str | Path], how: Indexing
    ) -> Generator[tuple[int, str | Path, Callable[[], Share]], None, None]:
        """The place of each video in the list, the video, and what does it or has done it."""

    @abstractmethod
    def _find(self, query: str, settings: list[str]) -> Found: ...

    @abstractmethod
    def _select(self, query: str, settings: list[str]) -> Selection: ...

    @abstractmethod
    def _ask(self, put: PutQuestion) -> Answer: ...

    @abstractmethod
    def _prompt(self, put: PutQuestion) -> str: ...

    @abstractmethod
    def _show(self, query: str, path: str | Path, settings: list[str]) -> Shown: ...

    @abstractmethod
    def _watch(self, source: str, queries: list[str], **how: Any) -> Iterator[Window]: ...

    @abstractmethod
    def _export(self, put: PutExport) -> Exported: ...


def _is_folder_of_videos(source: str | Path) -> bool:
    from seal.video import sources_in

    return sources_in(source) != [source]
