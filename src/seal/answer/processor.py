"""The part of a local model that turns a conversation with pictures into what the network reads.

`transformers` calls it the processor. Those of Qwen-VL, InternVL and other models that also take
videos insist on torchvision, for the videos alone. Prompts have pictures only, so that where there
is no torchvision the same processor is put together without its part for videos. Pillow then
resizes the pictures, and their pixels differ by rounding: two levels of 255 at most.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from seal.answer.fitting import sized, without_system
from seal.answer.prompt import Message, Prompt, PromptPicture
from seal.errors import BackendError, ContextError
from seal.weights import Weights, library_class, load_part, needs_code, reason, require

_VIDEO = "video_processor"
_WITHOUT_CODE = (
    " (of InternVL the weights whose names end in -hf), or serve it with vLLM and ask it as"
    " openai:MODEL with answer.base_url"
)
# The other parts that the library's processors have, and who loads them.
_PARTS = {
    "image_processor": "AutoImageProcessor",
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
}


class _Form(NamedTuple):
    """How a chat template takes a conversation."""

    system: bool
    """Whether instructions have a message of their own; else they begin the first question."""
    parts: bool
    """Whether what is said is a list of parts; else it is one text."""
    mark: str
    """What stands in the text for a picture; "" where the template writes it."""

    def messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        turns = prompt if self.system else without_system(prompt)
        return [{"role": turn.role, "content": self._content(turn)} for turn in turns]

    def _content(self, turn: Message) -> Any:
        parts: list[dict[str, str]] = []
        for part in turn.parts:
            if isinstance(part, str):
                parts.append({"type": "text", "text": part})
            elif self.mark:
                parts.append({"type": "text", "text": f"{self.mark}\n"})
            else:
                parts.append({"type": "image"})
        return parts if self.parts else "".join(part["text"] for part in parts)


class Reader:
    """Prompts as the network of the model `name` reads them, whose files are `weights`.

    Raises BackendError if it has no usable processor, or no chat template that shows a model
    instructions, questions and pictures.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        self._name, self._processor = name, load_processor(name, weights)
        if not getattr(self._processor, "chat_template", None):
            raise BackendError(f"{name} has no chat template: it is no model to ask")
        self.tokenizer: Any = self._processor.tokenizer
        config = load_part(library_class("AutoConfig"), weights)
        self._limit = getattr(config.get_text_config(), "max_position_embeddings", math.inf)
        self._least_px = _patch_px(self._processor, config)
        self._form = self._fitting()
        asked = self._text([Message("user", ("?",))], writing=True)
        self.thinks_first = bool(re.search(r"<think>\s*\Z", asked))
        """Whether the chat template begins the answer with the mark of thoughts."""

    def read(self, prompts: Sequence[Prompt], room: int) -> Any:
        """Tensors by name, up to where the answers begin; shorter prompts are filled up before.

        Raises ContextError where an answer would have no `room`, in tokens.
        """
        texts = [self._text(prompt, writing=True) for prompt in prompts]
        pictures = [
            [sized(picture.image(), self._least_px) for turn in prompt for picture in turn.pictures]
            for prompt in prompts
        ]
        inputs = self._processor(
            text=texts,
            images=pictures if any(pictures) else None,
            return_tensors="pt",
            padding=len(prompts) > 1,
            padding_side="left",
            **self._special(texts[0]),
        )
        length = inputs["input_ids"].shape[1]
        if length + room > self._limit:
            raise ContextError(
                f"hf:{self._name}: the prompt has {length:,} tokens and the answer up to {room:,},"
                f" but the model reads {self._limit:,}"
            )
        return inputs

    def answer(self, prompt: Prompt, text: str, ends: Sequence[int]) -> list[int]:
        """The numbers of the tokens that the model writes to answer `text`, up to the first of
        `ends`, at which it stops writing.

        Raises BackendError if the chat template does not just put an answer behind the prompt.
        """
        asked = self._numbers(prompt, writing=True)
        whole = self._numbers([*prompt, Message("assistant", (text,))], writing=False)
        answer = whole[len(asked) :]
        if whole[: len(asked)] != asked or not answer:
            raise BackendError(
                f"{self._name} cannot be trained: its chat template writes a prompt that is"
                " answered otherwise than one that waits for its answer"
            )
        stops = [place for place, number in enumerate(answer) if number in ends]
        # A template without a token at the end of a turn leaves it to the model to stop.
        return answer[: stops[0] + 1] if stops else [*answer, *ends[:1]]

    def _numbers(self, prompt: Prompt, writing: bool) -> list[int]:
        """Those of all tokens, with one for each picture."""
        text = self._text(prompt, writing)
        numbers: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return numbers

    def _special(self, text: str) -> dict[str, bool]:
        """Tokenizers add the token of the beginning where a template did not write it."""
        begin = self.tokenizer.bos_token
        return {"add_special_tokens": False} if begin and text.startswith(begin) else {}

    def _text(self, prompt: Prompt, writing: bool, form: _Form | None = None) -> str:
        """What the chat template makes of a prompt. Raises errors of any kind."""
        text: str = self._processor.apply_chat_template(
            (form or self._form).messages(prompt), add_generation_prompt=writing, tokenize=False
        )
        return text

    def _fitting(self) -> _Form:
        """The first form in which the template shows all that a conversation has."""
        mark = getattr(self._processor, "image_token", None) or ""
        kinds = [(True, ""), *([(True, mark), (False, mark)] if mark else [])]
        failed: list[str] = []
        for parts, shown in kinds:
            for system in (True, False):
                form = _Form(system, parts, shown)
                if why := self._unfit(form):
                    failed.append(why)
                else:
                    return form
        raise BackendError(
            f"{self._name} cannot be asked with pictures: its chat template fails"
            f" ({'; '.join(dict.fromkeys(failed))}). Serve it with vLLM, and ask it as openai:MODEL"
            " with answer.base_url"
        )

    def _unfit(self, form: _Form) -> str:
        """Why a form does not do for the chat template; "" where it does."""
        try:
            shown = self._text(_PROBE, writing=True, form=form)
            hidden = self._text(_BLIND, writing=True, form=form)
        # Templates are programs, which fail with errors of any kind.
        except Exception as error:
            return reason(error)
        words = [part for turn in _PROBE for part in turn.parts if isinstance(part, str)]
        if not re.search(".*".join(map(re.escape, words)), shown, re.DOTALL):
            return "it leaves out a part of the conversation"
        # A template for texts writes a list as Python does.
        if re.search(r"""['"]type['"]\s*:""", shown):
            return "it takes no list of parts"
        return "" if shown != hidden else "it leaves out pictures"


_EMPTY = PromptPicture(b"", "", (0, 0))
_PROBE = (
    Message("system", ("seal-instructions",)),
    Message("user", ("seal-before", _EMPTY, "seal-question")),
    Message("assistant", ("seal-answer",)),
    Message("user", ("seal-last",)),
)
"""A conversation by which a chat template is tried."""
_BLIND = (
    _PROBE[0],
    Message("user", ("seal-before", "seal-question")),
    *_PROBE[2:],
)
_LEAST_PX = 28
"""The patch of a model whose files name none."""


def _patch_px(processor: Any, config: Any) -> int:
    """The shortest side that a picture may have: a patch, times those that are merged into one."""
    reader, vision = processor.image_processor, getattr(config, "vision_config", None)
    sizes = [_side(getattr(holder, "patch_size", None)) for holder in (reader, vision)]
    merged = getattr(reader, "merge_size", None) or getattr(vision, "spatial_merge_size", None) or 1
    return max(sizes) * int(merged) or _LEAST_PX


def _side(size: Any) -> int:
    """The longest side of a size, which has several forms; 0 for none."""
    values = size.values() if isinstance(size, dict) else size
    if isinstance(values, int):
        return values
    return max((side for side in values or () if isinstance(side, int)), default=0)


def ends_of(network: Any) -> list[int]:
    """The numbers of the tokens at which a network stops writing."""
    ends = network.generation_config.eos_token_id
    if ends is None:
        return []
    return ends if isinstance(ends, list) else [ends]


def load_processor(name: str, weights: Weights) -> Any:
    """The processor of the model `name`, whose files are these.

    Raises BackendError if it cannot do without a library or file that is not there.
    """
    has_torchvision = require("transformers").utils.is_torchvision_available()
    auto, kinds = library_class("AutoConfig"), library_class("PROCESSOR_MAPPING")
    try:
        config = load_part(auto, weights)
        kind = kinds.get(type(config), None)
        if has_torchvision or kind is None or _VIDEO not in kind.get_attributes():
            return load_part(library_class("AutoProcessor"), weights)
        return _without_video(kind, weights)
    # The processor may lack files or libraries, and meets the missing part at any place: errors of
    # any kind.
    except Exception as error:
        known = has_torchvision or needs_code(error)
        hint = "" if known else "; it may need torchvision, which is not installed"
        if needs_code(error):
            hint = _WITHOUT_CODE
        raise BackendError(f"{name} has no usable processor: {reason(error)}{hint}") from error


def _without_video(kind: Any, weights: Weights) -> Any:
    class Pictures(kind):
        def check_argument_for_proper_class(self, name: str, part: Any) -> Any:
            return None if name == _VIDEO else super().check_argument_for_proper_class(name, part)

    parts = [
        None if name == _VIDEO else load_part(library_class(_PARTS[name]), weights)
        for name in kind.get_attributes()
    ]
    settings, _ = kind.get_processor_dict(weights.folder, local_files_only=True)
    return Pictures.from_args_and_dict(parts, settings)
