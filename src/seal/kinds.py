"""The kinds of token: everything that depends on the kind of a token is an attribute of its `Kind`.

The paper has three kinds (section 3.1): scenes say where, objects what, actions how. Speech is what
is said, and text is what is written in the picture. A package adds a kind with an entry point
(`seal.backends`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from seal import backends
from seal.errors import BackendError, OptionError

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""


@dataclass(frozen=True)
class Kind:
    """What the tokens of one kind have in common."""

    name: str
    meaning: str
    """What a token of the kind shows, in the words of a prompt."""
    maker: str
    """ "module:Class" of the `seal.decompose.Maker` of its tokens."""
    modality: Literal["picture", "text", "none"] = "picture"
    """What its embedding is made from: crops, words, or nothing. A token without an embedding has
    zeros in its place."""
    instant: bool = True
    """Whether a token lasts as long as one frame is on the screen. An instant is written as one
    time, anything else as a span."""
    has_track: bool = False
    """Whether a token has a box that moves."""
    has_word_times: bool = False
    """Whether the track of a token has the start of each of its words in place of boxes."""
    is_heard: bool = False
    """Whether its tokens are made from what is said, by subtitles or a speech recogniser."""
    has_picture: bool = True
    """Whether the store keeps a frame for each token, which shows it."""
    drawn_in_prompts: bool = True
    """Whether a prompt shows that frame; otherwise the words of a token stand alone."""
    whole_frame: bool = False
    """Whether its box is always the whole picture, which nobody needs to see drawn."""
    uniform: bool = False
    """Whether its tokens lie at even steps over the whole video, whatever that shows."""
    cost: float = 1.0
    """How much of a budget a token takes, where no option says otherwise."""
    color: Color = (90, 90, 84)
    """On paper. The colours of the built-in kinds are those of Okabe and Ito, which colour-blind
    eyes can tell apart."""
    bright: Color = (200, 200, 190)
    """The same colour, to be seen on pictures."""
    word: str = ""
    """How a prompt calls a token; by default by its name."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or not self.name.islower():
            raise OptionError(
                f"the name of a kind must be lower-case letters, digits and _, got {self.name!r}"
            )
        if self.modality not in ("picture", "text", "none"):
            raise OptionError(f"a kind has no modality {self.modality!r}")
        if not self.cost > 0:
            raise OptionError(f"the cost of a kind must be above 0, got {self.cost}")
        if not self.word:
            object.__setattr__(self, "word", self.name)

    @property
    def is_drawn(self) -> bool:
        """Whether a prompt shows a picture of a token."""
        return self.has_picture and self.drawn_in_prompts


SCENE = Kind(
    "scene",
    "the whole picture at that time",
    "seal.decompose.scenes:Scenes",
    whole_frame=True,
    uniform=True,
    color=(0, 114, 178),
    bright=(86, 180, 233),
)
OBJECT = Kind(
    "object",
    "one thing, with a little of what is around it",
    "seal.decompose.objects:Objects",
    color=(213, 94, 0),
    bright=(255, 154, 61),
)
ACTION = Kind(
    "action",
    "one thing that moves, as frames from left to right",
    "seal.decompose.actions:Actions",
    instant=False,
    has_track=True,
    color=(0, 138, 100),
    bright=(47, 214, 166),
)

SPEECH = Kind(
    "speech",
    "what somebody says at that time",
    "seal.decompose.speech:Speech",
    modality="text",
    instant=False,
    has_word_times=True,
    is_heard=True,
    has_picture=False,
    whole_frame=True,
    cost=0.125,
    color=(152, 78, 128),
    bright=(230, 150, 200),
)
TEXT = Kind(
    "text",
    "words that are written in the picture",
    "seal.decompose.writing:Writing",
    modality="text",
    instant=False,
    drawn_in_prompts=False,
    cost=0.125,
    color=(128, 110, 0),
    bright=(240, 228, 66),
    word="on-screen text",
)

SEEN = (SCENE, OBJECT, ACTION)
"""The kinds of the paper, which are all that its localisation head knows."""


@cache
def known() -> dict[str, Kind]:
    """Every kind by its name: the built-in ones, then those of installed packages.

    Raises BackendError for an entry point that is not a `Kind` of its name.
    """
    found = {name: backends.resolve("kind", name) for name in backends.names("kind")}
    for name, kind in found.items():
        if not isinstance(kind, Kind) or kind.name != name:
            raise BackendError(f"the entry point kind.{name} must be a Kind of that name: {kind!r}")
    return found


def get(name: str) -> Kind:
    """The kind of this name. Raises OptionError, which lists the valid names."""
    try:
        return known()[name]
    except KeyError:
        valid = ", ".join(known())
        raise OptionError(f"unknown token kind {name!r}; valid: {valid}") from None


def worded() -> list[str]:
    """The names of the kinds whose tokens are words, which are heard or read."""
    return [name for name, kind in known().items() if kind.modality == "text"]


def heard() -> frozenset[str]:
    """The names of the kinds whose tokens are made from what is said."""
    return frozenset(name for name, kind in known().items() if kind.is_heard)
