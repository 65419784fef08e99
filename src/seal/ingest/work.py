"""One part of a video, from frames to tokens: the unit of work of every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seal import kinds
from seal.decompose import Models, decompose
from seal.decompose.maker import maker
from seal.errors import VideoError
from seal.ingest.ahead import read_ahead
from seal.ingest.places import uses_devices
from seal.ingest.plan import Plan
from seal.types import Float32, Tokens
from seal.video import Frame, VideoReader, open_video
from seal.words import Cue
from seal.words.hearing import Heard, hear
from seal.words.sentences import sentences

_FRAMES_AHEAD = 16
"""Decoded frames that wait for a device: two batches, some 3 MB each at 720 px."""

Tick = Callable[[int, float], None]
"""Takes a part's number and how many seconds of it are done."""


def _no_tick(number: int, done_s: float) -> None:
    pass


@dataclass(frozen=True, eq=False)
class IndexedPart:
    """The tokens of one part; all that `Store.add` wants to know."""

    number: int
    keys: Mapping[str, str]
    """kind -> key of the tokens."""
    tokens: Tokens
    pictures: dict[int, bytes]
    """JPEG of the frames that show the tokens, by presentation timestamp."""
    meanings: dict[str, Float32]
    """See `seal.decompose.TokenBatch`."""
    gaps: list[tuple[float, float, str]]
    """start_s, end_s and reason of what could not be read."""
    end_s: float
    """When the last picture, or the last gap, ends."""
    language: str = ""
    """ISO 639-1 of what is said; empty where nothing is said, or nobody knows."""


def index_part(
    plan: Plan, number: int, models: Models, tick: Tick = _no_tick, threads: int = 1
) -> IndexedPart:
    """Read a part of a video that can be entered in the middle, and make its tokens.

    The result depends on nothing but the plan, the models and the video. `threads` decode.
    Raises VideoError if the video cannot be read.
    """
    with open_video(plan.source, plan.options.video, threads=threads, known=plan.info) as video:
        frames = frames_of(plan, number, video)
        return index_frames(plan, number, plan.starts_s[number], frames, video, models, tick)


def frames_of(plan: Plan, number: int, video: VideoReader) -> Iterator[Frame]:
    """The frames of a part of a video that can be entered in the middle; none where nothing that
    the part lacks is made from frames."""
    wanted = (maker(kind) for name, kind in kinds.known().items() if name in plan.missing(number))
    if not any(each.needs_frames for each in wanted):
        return iter(())
    return video.frames(*plan.bounds_s(number))


def index_frames(
    plan: Plan,
    number: int,
    start_s: float,
    frames: Iterator[Frame],
    video: VideoReader,
    models: Models,
    tick: Tick = _no_tick,
    listen: Callable[[], Heard] | None = None,
) -> IndexedPart:
    """The tokens of the part that begins at `start_s`, from its frames as `video` reads them.

    `listen` gives what is said in it once these were read, where the sound came with them.
    """
    keys = plan.missing(number)
    said = Heard()

    def heard() -> Sequence[Cue]:
        nonlocal said
        said = _heard(plan, number, models, listen)
        return said.cues

    def watched() -> Iterator[Frame]:
        # While a device computes, its process has nothing else to do than to decode.
        ahead = uses_devices(plan.options)
        for frame in read_ahead(frames, _FRAMES_AHEAD) if ahead else frames:
            yield frame
            tick(number, video.read_until_s - start_s)

    try:
        batches = list(
            decompose(
                watched(),
                keys,
                plan.options,
                models,
                plan.info,
                start_s=start_s,
                video_id=plan.video_id,
                heard=heard,
            )
        )
    except VideoError:
        # The next part must not go on with what was followed in this one.
        models.tracker.end()
        raise
    # What was read of another file must not be stored under the hash of this one.
    plan.files.check()
    # Whatever was found since the part before, also on the way to the first frame of this one.
    found, video.gaps = video.gaps, []
    seen = [(gap.span.start_s, gap.span.end_s, gap.reason) for gap in found]
    return IndexedPart(
        number=number,
        keys=keys,
        tokens=Tokens.concatenate(batch.tokens for batch in batches),
        pictures={pts: jpeg for batch in batches for pts, jpeg in batch.pictures.items()},
        meanings={name: vector for batch in batches for name, vector in batch.meanings.items()},
        gaps=[*seen, *((lost.start_s, lost.end_s, lost.reason) for lost in said.lost)],
        language=said.language,
        end_s=max([video.read_until_s, *(gap_end_s for _, gap_end_s, _ in seen)]),
    )


def _heard(plan: Plan, number: int, models: Models, listen: Callable[[], Heard] | None) -> Heard:
    """What is said in a part, a sentence each."""
    if plan.heard or models.transcriber is None or not plan.is_transcribed:
        return Heard(plan.heard_in(number), language=plan.language)
    if listen is not None:
        heard = listen()
    else:
        edges_s, until_s = plan.nominal_starts_s, plan.until_s
        video = plan.options.video
        heard = hear(models.transcriber, plan.source, video, edges_s, number, until_s)
    return replace(heard, cues=sentences(heard.cues, plan.options.speech))
