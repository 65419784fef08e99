"""Frames to tokens: semantic decomposition in one pass (section 3.1 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from seal import kinds
from seal.config import Options
from seal.decompose.draft import Draft, embed, meanings
from seal.decompose.history import History
from seal.decompose.maker import Instances, Maker, Models, PartContext, maker
from seal.decompose.shots import Shots
from seal.track import Tracker
from seal.types import Float32, Tokens
from seal.video import Frame, VideoInfo
from seal.words import Cue

__all__ = ["Draft", "Instances", "Maker", "Models", "PartContext", "TokenBatch", "decompose"]

# Crops are embedded so many at a time: enough for the encoder to be fast, few enough to hold.
_BATCH_CROPS = 64

# A tracker cannot tell what happened in a longer pause between frames; the frames of a damaged
# stretch or a slide show are not one movement.
_LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Some tokens, and the frames that show them."""

    tokens: Tokens
    pictures: dict[int, bytes]
    """JPEG of each frame that shows a token, by its presentation timestamp."""
    meanings: dict[str, Float32]
    """Id -> [e] of each token with words, where an encoder of sentences is loaded."""


def decompose(
    frames: Iterable[Frame],
    keys: Mapping[str, str],
    options: Options,
    models: Models,
    info: VideoInfo,
    *,
    start_s: float,
    video_id: str,
    heard: Callable[[], Sequence[Cue]] = tuple,
) -> Iterator[TokenBatch]:
    """The tokens of one part of a video, of the kinds in `keys`, in order of their end.

    `frames` are the analysed frames of the part, which begins at `start_s`. `keys` (kind -> key)
    are those of `Models.keys` for the kinds that are wanted. `heard` gives what is said in the
    part, a sentence each; it is called once all frames were read. Memory is that of the part's
    frames, compressed, and of one batch of crops.
    """
    history, shots = History(), Shots()
    part = PartContext(options, models, info, history, start_s, heard)
    makers = [maker(kind).of(part) for name, kind in kinds.known().items() if name in keys]
    drafts: list[Draft] = []

    def batch() -> TokenBatch:
        tokens = embed(drafts, models.encoder, video_id, info.time_base, keys)
        meant = meanings(drafts, tokens.ids.tolist(), models.meaning)
        shown = sorted({pts for draft in drafts for pts in draft.shown})
        drafts.clear()
        return TokenBatch(tokens, {pts: history.picture(pts) for pts in shown}, meant)

    end_s = start_s
    for frame in _seen_ahead(frames, models.tracker):
        history.push(frame)
        cut = shots.push(frame) or frame.time_s - end_s > _LONGEST_PAUSE_S
        end_s = float(frame.end_pts * frame.time_base)
        for each in makers:
            drafts += each.push(frame, cut)
        if sum(len(draft.crops) for draft in drafts) >= _BATCH_CROPS:
            yield batch()
    for each in makers:
        drafts += each.end()
    yield batch()


def _seen_ahead(frames: Iterable[Frame], tracker: Tracker) -> Iterator[Frame]:
    """The frames, of which the tracker sees some at once before each of them is pushed."""
    rest = iter(frames)
    while group := list(islice(rest, tracker.frames_ahead)):
        tracker.look_ahead(group)
        yield from group
