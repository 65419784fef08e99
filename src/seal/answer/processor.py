"""The part of a local model that turns a conversation with pictures into what the network reads.

`transformers` calls it the processor. Those of Qwen-VL, InternVL and other models that also take
videos insist on torchvision, for the videos alone. Prompts have pictures only, so that where there
is no torchvision the same processor is put together without its part for videos; Pillow then
resizes the pictures, and their pixels differ by rounding: two levels of 255 at most.
"""

from __future__ import annotations

from typing import Any

from seal.errors import BackendError
from seal.weights import Weights, library_class, require

_VIDEO = "video_processor"
# The other parts that the library's processors have, and who loads them.
_PARTS = {
    "image_processor": "AutoImageProcessor",
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
}


def load_processor(name: str, weights: Weights) -> Any:
    """The processor of the model `name`, whose files are these.

    Raises BackendError if it cannot do without a library or file that is not there.
    """
    has_torchvision = require("transformers").utils.is_torchvision_available()
    auto, kinds = library_class("AutoConfig"), library_class("PROCESSOR_MAPPING")
    try:
        config = _load(auto, weights)
        kind = kinds.get(type(config), None)
        if has_torchvision or kind is None or _VIDEO not in kind.get_attributes():
            return _load(library_class("AutoProcessor"), weights)
        return _without_video(kind, weights)
    # It may lack files or libraries, and meets the missing part at any place: errors of any kind.
    except Exception as error:
        hint = "" if has_torchvision else "; it may need torchvision, which is not installed"
        raise BackendError(f"{name} has no usable processor: {error}{hint}") from error


def _without_video(kind: Any, weights: Weights) -> Any:
    class Pictures(kind):
        def check_argument_for_proper_class(self, name: str, part: Any) -> Any:
            return None if name == _VIDEO else super().check_argument_for_proper_class(name, part)

    parts = [
        None if name == _VIDEO else _load(library_class(_PARTS[name]), weights)
        for name in kind.get_attributes()
    ]
    settings, _ = kind.get_processor_dict(weights.folder, local_files_only=True)
    return Pictures.from_args_and_dict(parts, settings)


def _load(kind: Any, weights: Weights) -> Any:
    return kind.from_pretrained(weights.folder, local_files_only=True)
