"""The part of a local model that turns a conversation with pictures into what the network reads.

`transformers` calls it the processor. Those of Qwen-VL, InternVL and other models that also take
videos insist on torchvision, for the videos alone. Prompts have pictures only, so that where there
is no torchvision the same processor is put together without its part for videos; Pillow then
resizes the pictures, and their pixels differ by rounding: two levels of 255 at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from seal.answer.prompt import Message, Prompt, PromptPicture
from seal.errors import BackendError, ContextError
from seal.weights import Weights, library_class, load_part, needs_code, reason, require

_VIDEO = "video_processor"
# The other parts that the library's processors have, and who loads them.
_PARTS = {
    "image_processor": "AutoImageProcessor",
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
}


class Reader:
    """Prompts as the network of the model `name` reads them, whose files are `weights`.

    Raises BackendError if it has no usable processor or no chat template.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        self._name, self._processor = name, load_processor(name, weights)
        if not getattr(self._processor, "chat_template", None):
            raise BackendError(f"{name} has no chat template: it is no model to ask")
        self.tokenizer: Any = self._processor.tokenizer
        config = load_part(library_class("AutoConfig"), weights).get_text_config()
        self._limit = getattr(config, "max_position_embeddings", math.inf)

    def read(self, prompts: Sequence[Prompt], room: int) -> Any:
        """Tensors by name, up to where the answers begin; shorter prompts are filled up before.

        Raises ContextError where an answer would have no `room`, in tokens.
        """
        inputs = self._processor.apply_chat_template(
            [[_message(message, _picture) for message in prompt] for prompt in prompts],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": len(prompts) > 1, "padding_side": "left"},
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
        text = self._processor.apply_chat_template(
            [_message(message, lambda picture: {"type": "image"}) for message in prompt],
            add_generation_prompt=writing,
            tokenize=False,
        )
        numbers: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return numbers


def _message(
    message: Message, picture: Callable[[PromptPicture], dict[str, Any]]
) -> dict[str, Any]:
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else picture(part)
        for part in message.parts
    ]
    return {"role": message.role, "content": parts}


def _picture(picture: PromptPicture) -> dict[str, Any]:
    return {"type": "image", "image": picture.image()}


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
    # It may lack files or libraries, and meets the missing part at any place: errors of any kind.
    except Exception as error:
        known = has_torchvision or needs_code(error)
        hint = "" if known else "; it may need torchvision, which is not installed"
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
