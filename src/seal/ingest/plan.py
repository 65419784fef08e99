"""What has to be done to index a video: its parts, and the keys under which they are stored."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from uuid import uuid4

from seal import kinds
from seal.config import STAGES, Options, as_dict, digest
from seal.decompose import Models
from seal.errors import OptionError
from seal.ingest.losses import losses
from seal.ingest.shard import WHOLE, Shard
from seal.kinds import SCENE
from seal.store import Store, VideoRecord
from seal.video import (
    Frame,
    SourceFiles,
    VideoInfo,
    VideoReader,
    content_id,
    is_address,
    is_pipe,
    shown,
)
from seal.video.source import is_handed_open
from seal.words import Cue, Transcript
from seal.words.beside import beside
from seal.words.hearing import SILENT
from seal.words.sentences import sentences
from seal.words.subtitles import find


@dataclass(frozen=True)
class Plan:
    """All that a process needs to know to index any part of a video."""

    source: str = field(repr=False)
    """As given: an address may hold a password."""
    files: SourceFiles
    """The files that are read, as they were before anything was read."""
    video_id: str
    options: Options
    info: VideoInfo
    starts_s: tuple[float, ...]
    """Where the parts begin; a single one if the source can only be read from start to end."""
    keys: Mapping[str, str]
    """kind -> key."""
    done: frozenset[tuple[str, int]]
    """(kind, part) pairs that are stored already."""
    heard: tuple[Cue, ...] = ()
    """The sentences of the video's subtitles; empty where it has none."""
    language: str = ""
    """Of the subtitles, ISO 639-1; empty where it is not known."""
    is_quick: bool = False
    """Only pictures that the codec stores whole are looked at, in one part."""
    is_transcribed: bool = False
    """Whether speech is recognised, for the video has sound and no subtitles."""
    shard: Shard = WHOLE
    """Whose share of the parts is to do."""

    @property
    def is_cut(self) -> bool:
        """Whether the video is read in parts, which can then be shared out."""
        return len(self.starts_s) > 1

    @property
    def is_shareable(self) -> bool:
        """Whether other processes can do the parts: each opens the source by its name, and reads
        the part alone."""
        is_apart = are_apart(self.info, len(self.starts_s), self.options.video.part_s)
        return is_apart and not self.is_quick and not is_handed_open(self.source)

    @property
    def listens(self) -> bool:
        """Whether speech is recognised from the sound that comes with the pictures: the video
        cannot be read again from a place in its middle."""
        return self.is_transcribed and not self.info.is_continuous

    @property
    def until_s(self) -> float:
        """When the part of the video that is wanted ends."""
        limit_s = self.options.video.max_duration_s
        return math.inf if limit_s is None else self.info.start_s + limit_s

    @property
    def todo(self) -> list[int]:
        """The numbers of the parts to do: those of the shard of which something is missing."""
        return [number for number in self.own if self.missing(number)]

    @property
    def own(self) -> list[int]:
        """The numbers of the shard's parts. A source that cannot be cut is read by one shard."""
        return [number for number in range(len(self.starts_s)) if self.shard.has(number)]

    def is_done_by(self, done: Collection[tuple[str, int]]) -> bool:
        """Whether these (kind, part) pairs are the whole video, which is cut."""
        return all((kind, n) in done for kind in self.keys for n in range(len(self.starts_s)))

    @property
    def skipped_s(self) -> float:
        """Seconds of video that need no work."""
        ends_s = [*self.starts_s[1:], self.info.start_s + (self.info.duration_s or 0.0)]
        todo = set(self.todo)
        return sum(
            end_s - start_s
            for number, (start_s, end_s) in enumerate(zip(self.starts_s, ends_s, strict=True))
            if number not in todo
        )

    def missing(self, number: int) -> dict[str, str]:
        """kind -> key of the tokens that a part lacks."""
        return {kind: key for kind, key in self.keys.items() if (kind, number) not in self.done}

    def bounds_s(self, number: int) -> tuple[float, float | None]:
        """Start and end of a part; the last one ends with the video."""
        end_s = self.starts_s[number + 1] if number + 1 < len(self.starts_s) else None
        return self.starts_s[number], end_s

    def span_s(self, number: int) -> tuple[float, float]:
        """Start and end of a part, by the length that is stated for the last one."""
        start_s, end_s = self.bounds_s(number)
        stated_s = self.info.start_s + (self.info.duration_s or 0.0)
        return start_s, max(start_s, stated_s) if end_s is None else end_s

    def heard_in(self, number: int) -> tuple[Cue, ...]:
        """The sentences of the subtitles that begin in a part. The first part has those before it
        as well."""
        start_s, end_s = self.nominal_s(number)
        if number == 0:
            start_s = -math.inf
        return tuple(cue for cue in self.heard if start_s <= cue.start_s < end_s)

    def nominal_s(self, number: int) -> tuple[float, float]:
        """Start and end of a part, also of a source that cannot be entered in the middle; the last
        part of a source of known length has no end."""
        if self.is_cut:
            start_s, end_s = self.bounds_s(number)
            return start_s, math.inf if end_s is None else end_s
        part_s = self.options.video.part_s
        start_s = self.info.start_s + number * part_s
        last = math.inf if self.info.duration_s is None else self._count - 1
        if number > last:
            # There is more than was stated, and the last part that was stated has all of its words.
            return math.inf, math.inf
        return start_s, math.inf if number == last or self.is_quick else start_s + part_s

    @property
    def _count(self) -> int:
        """The number of parts by the length that is stated, at least 1."""
        return max(1, math.ceil((self.info.duration_s or 0.0) / self.options.video.part_s))

    @property
    def nominal_starts_s(self) -> tuple[float, ...]:
        """Where the parts begin, also those of a source that cannot be entered in the middle."""
        if self.is_cut:
            return self.starts_s
        return tuple(self.nominal_s(number)[0] for number in range(self._count))

    def part_at(self, frame: Frame) -> int:
        """The part of a frame of a source that cannot be entered in the middle."""
        return max(0, int((frame.time_s - self.info.start_s) // self.options.video.part_s))


def are_apart(info: VideoInfo, parts: int, part_s: float) -> bool:
    """Whether each part of a video can be read alone: it is cut, or is no longer than a part."""
    return parts > 1 or (bool(info.is_continuous) and (info.duration_s or 0.0) <= part_s)


@dataclass(frozen=True)
class Stage:
    """Where the indexing of a video stands before it begins."""

    record: VideoRecord
    """What will be stored of the video as a whole."""
    plan: Plan | None
    """None where the video is committed under these keys already."""
    notes: tuple[str, ...] = ()
    """What was noticed about the subtitles and the sound."""
    losses: tuple[str, ...] = ()
    """What the video has now and will not have any more, or will not have yet."""


def prepare(
    source: str | Path,
    video: VideoReader,
    store: Store,
    options: Options,
    models: Models,
    quick: bool = False,
    shard: Shard = WHOLE,
) -> Stage:
    """Ask the store what it has of an open video, and plan the rest.

    A live source and a pipe are a new recording each time. A `quick` plan has one part and scene
    tokens, under a key of their own, and nothing to do where the video has all tokens. The plan is
    that of the whole video; of a `shard` only its parts are to do.

    Raises VideoError and StoreError; OptionError for a quick plan for a video of which some parts
    are stored and not committed, which it would drop.
    """
    content = content_id(source, options.video, video.files)
    is_read_once = video.info.is_live or is_pipe(source)
    if is_read_once:
        content = digest(content, uuid4().hex)
    record = _record(source, content, video, options, models)
    known = [stored for stored in store.videos() if stored.content_id == content]
    if known:
        # A copy, or a file that was moved.
        record = replace(record, id=known[-1].id)
    if quick and options.subtitles.file is not None:
        raise OptionError("a quick run takes no subtitles: leave subtitles.file out, or quick")
    subtitles = Transcript(())
    if not quick:
        subtitles = find(
            source,
            options.subtitles,
            video.info.duration_s,
            start_s=video.info.start_s,
            reader=models.reader,
            video_options=options.video,
            is_read_once=is_read_once,
        )
    keys = models.keys(options, subtitles)
    stored = store.begin(record, keys)
    # Speech tokens go with the subtitles that they came from; a quick run takes no subtitles.
    wanted = set(keys) - (kinds.heard() if quick else set())
    is_transcribed = models.transcriber is not None and not quick and not subtitles.cues
    notes = subtitles.notes
    if is_transcribed and not video.sound.has_sound:
        is_transcribed, notes = False, (*notes, SILENT)
    if known and stored.complete >= wanted and (quick or wanted >= set(known[-1].keys)):
        return _at_hand(known[-1], record, video, None if quick else notes)
    if quick:
        if stored.done:
            raise OptionError(
                f"{record.path} was begun without --quick: `seal index` goes on where it stopped"
            )
        keys = {SCENE.name: digest("quick", keys[SCENE.name])}
        if known and store.begin(record, keys).complete:
            return _at_hand(known[-1], record, video, None)
        record = replace(record, is_quick=True)
    starts_s = (video.info.start_s,) if quick else tuple(video.part_starts(options.video.part_s))
    # `part_starts` has looked at the whole video: its length is no longer a claim.
    plan = Plan(
        source=str(source),
        files=video.files,
        video_id=record.id,
        options=options,
        info=video.info,
        starts_s=starts_s,
        keys=keys,
        done=stored.done,
        heard=sentences(subtitles.cues, options.speech),
        language=subtitles.language or _said_before(known, keys),
        is_quick=quick,
        is_transcribed=is_transcribed,
        shard=shard,
    )
    lost = losses(known[-1], store.count(record.id), keys, options) if known else ()
    if quick and (waiting := _waiting(source, options)):
        lost += (f"{waiting} waits for a full `seal index`: --quick reads no subtitles",)
    return Stage(record, plan, notes, lost)


def _waiting(source: str | Path, options: Options) -> str:
    """The name of a subtitle file beside a video that a full run would look at; "" for none."""
    if options.subtitles.source not in ("auto", "beside") or is_address(source):
        return ""
    return next((each.path.name for each in beside(Path(source).absolute())), "")


def _said_before(known: Sequence[VideoRecord], keys: Mapping[str, str]) -> str:
    """The language of speech tokens that are stored already; empty if they are made anew."""
    heard = kinds.heard() & keys.keys()
    same = known and all(known[-1].keys.get(name) == keys[name] for name in heard)
    return known[-1].language if same and heard else ""


def _at_hand(
    known: VideoRecord, record: VideoRecord, video: VideoReader, notes: Sequence[str] | None
) -> Stage:
    """Nothing to do: the video is known, by the name that it has now.

    `notes` on its words, which lie at its start, take the place of those from before; None where
    nobody has looked for words.
    """
    kept = known.notes
    if notes is not None:
        begun = {note.text for note in video.notes}
        kept = tuple((at, text) for at, text in kept if at != known.start_s or text in begun)
        kept += tuple((known.start_s, text) for text in notes)
    return Stage(replace(known, path=record.path, location=record.location, notes=kept), None)


def _record(
    source: str | Path, content: str, video: VideoReader, options: Options, models: Models
) -> VideoRecord:
    info = video.info
    name = shown(source, options.video.address_query == "identity")
    return VideoRecord(
        id=f"{slug(shown(source, with_query=False))}-{content[:8]}",
        path=name,
        location=name if is_address(source) else str(Path(source).absolute()),
        content_id=content,
        duration_s=info.duration_s or 0.0,
        start_s=info.start_s,
        width=info.width,
        height=info.height,
        codec=info.codec,
        rate_hz=info.rate_hz,
        profile=options.profile,
        encoder=models.encoder.fingerprint,
        encoder_options=as_dict(options.encode),
        options={stage: as_dict(getattr(options, stage)) for stage in STAGES if stage != "engine"},
        indexed_at="",
        seconds=0.0,
        size_bytes=video.files.size_bytes or info.size_bytes,
        meaning="" if models.meaning is None else models.meaning.fingerprint,
    )


def slug(source: str) -> str:
    """The name of a source, fit for a command line."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", PurePath(source.rstrip("/")).stem).strip("-") or "video"
