"""What OpenAI-style messages say: instructions, earlier turns, a question, pictures, a video."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from seal.answer import Answerer, Ending, Message, Prompt
from seal.answer.prompt import PromptPicture, ask
from seal.errors import OptionError
from seal.printing import printable
from seal.serve.schemas import LONGEST_ID

_VIDEO = re.compile(rf"seal:([0-9A-Za-z_.-]{{1,{LONGEST_ID}}})")
_PICTURE = re.compile(r"data:image/(?:jpeg|png|webp|gif);base64,(.*)", re.DOTALL)
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_MOST_PICTURES = 8
"""More would leave too little of a model's context to the evidence."""
_MOST_PIXELS = 50_000_000
"""A small file may hold a picture that fills the memory."""
_LONGEST_PX = 2048
"""No known model sees more of a picture."""
_JPEG_QUALITY = 88
"""As that of the pictures of evidence."""
_SHOWN = 60
"""Characters of a wrong address that its error repeats."""
_PICTURES = "Pictures that come with the question:\n"


class StrictModel(BaseModel):
    """What takes no member that it does not know, and no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PartAddress(StrictModel):
    """The address in a part of a message."""

    url: str
    detail: Literal["auto"] | None = None


class TextPart(StrictModel):
    """Words."""

    type: Literal["text"]
    text: str


class VideoPart(StrictModel):
    """A video of the library: `seal:ID`."""

    type: Literal["video_url"]
    video_url: PartAddress


class ImagePart(StrictModel):
    """A picture as a data URL; or a video as `seal:ID`, for clients without video parts."""

    type: Literal["image_url"]
    image_url: PartAddress


MessagePart = Annotated[TextPart | VideoPart | ImagePart, Field(discriminator="type")]
MessageContent = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[MessagePart], Tag("parts")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "parts"),
]


class ChatMessage(StrictModel):
    """One message. Members that only other kinds of model use may be there as null."""

    role: Literal["system", "developer", "user", "assistant"]
    content: MessageContent
    name: None = None
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    @property
    def parts(self) -> Sequence[TextPart | VideoPart | ImagePart]:
        """What the message is made of."""
        if isinstance(self.content, str):
            return [TextPart(type="text", text=self.content)]
        return self.content

    @property
    def text(self) -> str:
        """The words of the message."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def addresses(self) -> list[str]:
        """The addresses of its pictures and videos. Raises OptionError for a picture as a video."""
        found = []
        for part in self.parts:
            if isinstance(part, VideoPart):
                if not _VIDEO.fullmatch(part.video_url.url):
                    raise _not_taken(part.video_url.url)
                found.append(part.video_url.url)
            elif isinstance(part, ImagePart):
                found.append(part.image_url.url)
        return found


@dataclass(frozen=True)
class Talk:
    """What a request asks, and what was said before it."""

    question: str
    video: str | None
    """The id of the video that is asked about; None for all."""
    instructions: tuple[str, ...]
    """What the system is told."""
    before: tuple[Message, ...]
    """Earlier turns of the user and the assistant."""
    pictures: tuple[PromptPicture, ...]
    """Those that come with the question."""

    @staticmethod
    def of(messages: Sequence[ChatMessage]) -> Talk:
        """What messages say. Raises OptionError, which names what is not taken."""
        told = [m.text for m in messages if m.role in ("system", "developer")]
        turns = [m for m in messages if m.role in ("user", "assistant")]
        strange = [m for m in messages if m.role != "user" and m.addresses]
        if strange:
            raise OptionError(f"only messages of the user show something; {strange[0].role} does")
        if not turns or turns[-1].role != "user" or not turns[-1].text.strip():
            raise OptionError("the last turn must be the user's, with a text part: the question")
        addresses = [address for turn in turns for address in turn.addresses]
        count = sum(not _VIDEO.fullmatch(address) for address in addresses)
        if count > _MOST_PICTURES:
            raise OptionError(f"there are {count} pictures; at most {_MOST_PICTURES} are taken")
        shown = [tuple(_pictures(turn.addresses)) for turn in turns]
        return Talk(
            question=turns[-1].text.strip(),
            video=_video(turns),
            instructions=tuple(filter(None, told)),
            before=tuple(
                Message(cast("Literal['user', 'assistant']", turn.role), (*pictures, turn.text))
                for turn, pictures in zip(turns[:-1], shown, strict=False)
            ),
            pictures=shown[-1],
        )

    @property
    def questions(self) -> list[str]:
        """What the user has asked before."""
        said = [turn.parts[-1] for turn in self.before if turn.role == "user"]
        return [text for text in map(str, said) if text.strip()]

    @property
    def has_pictures(self) -> bool:
        """Whether any turn shows a picture."""
        return bool(self.pictures) or any(turn.pictures for turn in self.before)


class ToldAnswerer(Answerer):
    """A model that is told, beside the evidence, all that a request says."""

    def __init__(self, answerer: Answerer, talk: Talk) -> None:
        self._answerer = answerer
        self._talk = talk
        self.name = answerer.name

    def stream(self, prompt: Prompt) -> Generator[str, None, Ending]:
        pieces = cast("Generator[str, None, Ending]", self._answerer.stream(self.whole(prompt)))
        return (yield from pieces)

    def whole(self, prompt: Prompt) -> list[Message]:
        """The prompt of a single question about evidence, with what else is said put in."""
        (system, question), talk = prompt, self._talk
        told = "\n\n".join(["".join(map(str, system.parts)).rstrip(), *talk.instructions])
        parts = list(question.parts[:-1])
        if talk.pictures:
            parts += [_PICTURES, *talk.pictures, "\n"]
        asked = Message("user", (*parts, ask(talk.question)))
        return [Message("system", (told,)), *talk.before, asked]


def _video(turns: Sequence[ChatMessage]) -> str | None:
    """The video that the last turn is about, or the last one before it that names any."""
    for turn in reversed(turns):
        named = {found[1] for each in turn.addresses if (found := _VIDEO.fullmatch(each))}
        if len(named) > 1:
            raise OptionError("a message names several videos: name one, or none to ask all")
        if named:
            return named.pop()
    return None


def _pictures(addresses: Sequence[str]) -> Generator[PromptPicture]:
    for address in addresses:
        if not _VIDEO.fullmatch(address):
            found = _PICTURE.fullmatch(address)
            if found is None:
                raise _not_taken(address)
            yield _picture(found[1])


def _picture(data: str) -> PromptPicture:
    """A picture of a data URL, of a size that models take."""
    try:
        image = _opened(base64.b64decode(data, validate=True))
    except OptionError:
        raise
    # Damaged pictures fail in many ways, and none of them says more.
    except Exception as error:
        raise OptionError("a picture cannot be read: send JPEG, PNG, WebP or GIF") from error
    plain = Image.new("RGB", image.size, "white")
    plain.paste(image, mask=image.getchannel("A"))
    buffer = io.BytesIO()
    plain.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return PromptPicture(buffer.getvalue(), "", plain.size)


def _opened(data: bytes) -> Image.Image:
    """The first picture of a file, upright and not too large, with its transparency."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise OptionError(f"a picture has more than {_MOST_PIXELS:,} pixels")
        image.thumbnail((_LONGEST_PX, _LONGEST_PX))
        return ImageOps.exif_transpose(image).convert("RGBA")


def _not_taken(address: str) -> OptionError:
    shown = printable(address[:_SHOWN]) + ("…" if len(address) > _SHOWN else "")
    return OptionError(
        f"{shown!r} is not fetched: a video is seal:ID, with an id of this server, and a picture is"
        " a data URL of a JPEG, PNG, WebP or GIF"
    )
