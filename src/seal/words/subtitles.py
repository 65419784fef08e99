"""The subtitles of a video: in files beside it, and inside it.

Times are seconds on the clock of the video. A stream inside the file has that clock. A file beside
it counts from the start of the container, which is the earliest start of its streams. So do mpv
(`--rebase-start-time`, which takes FFmpeg's `start_time`) and whoever made the file in such a
player.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from seal.config import SubtitleOptions, VideoOptions
from seal.errors import OptionError, VideoError
from seal.video.source import is_address, is_device, is_pipe, shown
from seal.words.beside import SubtitleFile, beside, read_subtitles
from seal.words.charset import UnreadableSubtitlesError
from seal.words.cue import Cue, TextReader, Transcript
from seal.words.formats import RawCue
from seal.words.inside import SubtitledVideo
from seal.words.languages import language_code, suffixes
from seal.words.tidy import Extent, tidy


@dataclass(frozen=True)
class _Found:
    """Subtitles that were found and are not read yet."""

    name: str
    language: str
    is_forced: bool
    """Only what is said in another language than the film's."""
    rank: tuple[int, ...]
    """The lower, the rather."""
    read: Callable[[], tuple[list[RawCue], list[str]]]
    is_readable: bool = True
    """False for pictures where nothing reads pictures."""
    shift_s: float = 0.0
    """When 0 of its times is, on the clock of the video."""


def find(
    source: str | Path,
    options: SubtitleOptions,
    duration_s: float | None,
    *,
    start_s: float | None = None,
    reader: TextReader | None = None,
    video_options: VideoOptions | None = None,
    is_read_once: bool = False,
) -> Transcript:
    """The subtitles of a video in one language; without cues where there are none.

    `duration_s` is the length of the video and `start_s` when its first picture is shown, where
    they are known. Subtitles that are pictures are read by `reader` and left out without one.
    Nothing is looked for in or beside a source that `is_read_once`.

    What was found and is damaged, or is for another film, is a note. Raises OptionError or
    VideoError for a file that the options name.
    """
    if is_read_once:
        if options.file is not None:
            raise OptionError(
                f"{shown(source)} is read only once: subtitles.file has no effect on it"
            )
        return Transcript(())
    if options.source == "none" and options.file is None:
        return Transcript(())
    video_options = video_options or VideoOptions()
    with ExitStack() as stack:
        notes: list[str] = []
        video = _opened(source, video_options, stack, notes)
        begin_s = video.start_s if video is not None else 0.0
        first_s = begin_s if start_s is None else start_s
        end_s = None if duration_s is None else first_s + duration_s
        # Sound may begin before the first picture, and subtitles may say what is said there.
        extent = Extent(min(begin_s, first_s), end_s)
        if options.file is not None:
            return _given(options, video, begin_s, extent)
        found = [*_beside(source, options, video, begin_s)]
        found += _inside(options, video, reader)
        return _first(found, options, extent, notes)


def _opened(
    source: str | Path, options: VideoOptions, stack: ExitStack, notes: list[str]
) -> SubtitledVideo | None:
    """The video; None for what has no subtitles inside, such as a folder of pictures, or is not
    there at all, as whoever reads the pictures says."""
    is_one_file = Path(source).is_file() and not (is_pipe(source) or is_device(source))
    if not (is_address(source) or is_one_file):
        return None
    try:
        return stack.enter_context(SubtitledVideo(source, options))
    except VideoError as error:
        notes.append(f"no subtitles were looked for inside: {error}")
        return None


def _given(
    options: SubtitleOptions,
    video: SubtitledVideo | None,
    begin_s: float,
    extent: Extent,
) -> Transcript:
    """The subtitles of the file that the options name."""
    assert options.file is not None
    path = Path(options.file)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise OptionError(
            f"subtitles.file is {path}: {what}; expected a subtitle file, such as name.srt"
        )
    rate_hz = video.rate_hz if video is not None else None
    try:
        raw, notes = read_subtitles(path, rate_hz)
    except UnreadableSubtitlesError as error:
        raise VideoError(
            f"{path}: {error}; expected subtitles (SubRip, WebVTT, ASS, SAMI, TTML, MicroDVD)"
        ) from error
    _shift(raw, begin_s)
    cues, more = tidy(raw, extent)
    marks = suffixes(path.stem.split(".")[-1:])
    language = _language(options) or (marks[0] if marks else "")
    return _transcript(cues, path.name, language, [*notes, *more])


def _language(options: SubtitleOptions) -> str:
    """The code of the language that is asked for; empty if none is."""
    wanted = options.language or ""
    return language_code(wanted) or wanted.lower()


def _beside(
    source: str | Path,
    options: SubtitleOptions,
    video: SubtitledVideo | None,
    begin_s: float,
) -> Iterator[_Found]:
    if options.source == "inside" or is_address(source):
        return
    for place, file in enumerate(beside(Path(source).absolute())):

        def read(file: SubtitleFile = file) -> tuple[list[RawCue], list[str]]:
            rate_hz = video.rate_hz if video is not None else None
            return read_subtitles(file.path, rate_hz)

        forced = "forced" in file.marks
        yield _Found(
            file.path.name, file.language, forced, (forced, 0, place), read, shift_s=begin_s
        )


def _inside(
    options: SubtitleOptions, video: SubtitledVideo | None, reader: TextReader | None
) -> Iterator[_Found]:
    if options.source == "beside" or video is None:
        return
    for stream in video.streams:

        def read(number: int = stream.number) -> tuple[list[RawCue], list[str]]:
            return video.read(video.streams[number], reader)

        forced = "forced" in stream.marks
        kind = 2 if stream.is_picture else 1
        extra = bool(stream.marks & {"hearing_impaired", "comment"})
        rank = (forced, kind, "default" not in stream.marks, extra, stream.number)
        yield _Found(
            str(stream),
            stream.language,
            forced,
            rank,
            read,
            not stream.is_picture or reader is not None,
        )


def _first(
    found: Sequence[_Found], options: SubtitleOptions, extent: Extent, notes: list[str]
) -> Transcript:
    """The first that can be read and belongs to the video, in the language that is asked for."""
    wanted = _language(options)
    ranked = sorted(found, key=lambda each: each.rank)
    if wanted:
        # A name without a language may be in any; one in another is not what was asked for.
        ranked = [each for each in ranked if each.language in (wanted, "")]
        ranked.sort(key=lambda each: each.language != wanted)
    for each in ranked:
        try:
            raw, more = each.read()
        except (UnreadableSubtitlesError, VideoError) as error:
            notes.append(f"{each.name} was not used: {error}")
            continue
        _shift(raw, each.shift_s)
        cues, done = tidy(raw, extent)
        if not cues:
            notes += [f"{each.name} was not used: {reason}" for reason in done or ["no text in it"]]
            continue
        notes += [f"{each.name}: {note}" for note in (*more, *done)]
        notes += _others(each, found)
        return _transcript(cues, each.name, each.language or wanted, notes)
    if wanted and found and not ranked:
        listed = ", ".join(sorted({each.language for each in found}))
        notes.append(f"there are no subtitles in {wanted}; there are some in {listed}")
    return Transcript((), notes=tuple(notes))


def _others(taken: _Found, found: Sequence[_Found]) -> list[str]:
    """A note on subtitles in other languages."""
    names = [
        f"{each.name} ({each.language})" if each.language not in each.name else each.name
        for each in found
        if each.is_readable and each.language and each.language != taken.language
    ]
    if not names:
        return []
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return [f"{taken.name} was taken; others (subtitles.language): {listed}"]


def _shift(raw: Sequence[RawCue], seconds: float) -> None:
    if not seconds:
        return
    for cue in raw:
        cue.start_s = round(cue.start_s + seconds, 6)
        cue.end_s = None if cue.end_s is None else round(cue.end_s + seconds, 6)
        cue.marks = [(offset, time_s + seconds) for offset, time_s in cue.marks]


def _transcript(
    cues: tuple[Cue, ...], origin: str, language: str, notes: Sequence[str]
) -> Transcript:
    hashed = blake2b(language.encode(), digest_size=16)
    for cue in cues:
        words = [(word.start_s, word.end_s) for word in cue.words]
        content = repr((cue.start_s, cue.end_s, cue.text, words))
        hashed.update(content.encode("utf-8", "surrogatepass"))
    return Transcript(cues, language, origin, hashed.hexdigest(), tuple(notes))
