"""What the back ends that run transformers networks share: pixels, words, batches, norms.

Pictures go through the image processor that the checkpoint describes, in the library's PIL form
whether torchvision is installed or not. The reason is that the two forms resize a little
differently and tokens stored on one machine must fit queries asked on another. Texts go through the
checkpoint's tokenizer and are cut off where the network was trained to end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any, ClassVar, TypeVar

import numpy as np

from seal.config import Blip2Encode
from seal.devices import Runtime
from seal.encode import Encoder, check_images, check_texts
from seal.errors import BackendError
from seal.types import Float32, UInt8
from seal.weights import (
    Weights,
    library_class,
    load_part,
    locate,
    reason,
    require,
)

T = TypeVar("T")

_ALONE = Lock()
"""One thread loads a network while others wait for it, and one at a time calls a tokenizer, which
keeps the padding and the length of each call. Not of an encoder: encoders are pickled."""

# One of these holds a tokenizer's words. Without any the library builds a tokenizer that knows no
# words, and all texts become one.
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


class TowersEncoder(Encoder):
    """A picture network and a text network of transformers.

    Raises BackendError if torch or transformers is not installed, if the weights are not there, or
    if they are of another architecture.
    """

    architecture: ClassVar[str]
    """What config.json must say under "model_type"."""
    padding: ClassVar[bool | str] = True
    """As tokenizers take it: True pads to the longest text of a batch, and masks the padding."""
    picture_inputs: ClassVar[tuple[str, ...]] = ("pixel_values",)
    """What `_image_outputs` takes of what the image processor gives."""
    max_words: int
    """Longer texts are cut off here; counted in pieces of words, with the marks at both ends."""

    def __init__(self, options: Blip2Encode) -> None:
        self._torch = require("torch")
        self._networks: dict[str, Any] = {}
        classes = ("AutoConfig", "AutoImageProcessor", "AutoTokenizer")
        config, processor, tokenizer = (library_class(name) for name in classes)
        # Cosines want the longer fraction of float16; these networks stay in its range.
        self._runtime = Runtime.of(options, half="float16")
        self._batch_size = options.batch_size
        self._weights = locate(options.weights, options.revision)
        self.fingerprint = f"{options.backend} {self._weights.fingerprint}"
        self._check_files(self._weights)
        try:
            self._config = load_part(config, self._weights)
            self._processor = load_part(processor, self._weights, backend="pil")
            self._tokenizer = load_part(tokenizer, self._weights)
        # Every kind is raised for files that are missing or malformed, and ImportError where the
        # tokenizer of the first SigLIP lacks its package, sentencepiece.
        except Exception as error:
            raise BackendError(
                f"the configuration, image processor or tokenizer in {self._weights.folder} cannot"
                f" be loaded: {reason(error)}"
            ) from error

    def _check_files(self, weights: Weights) -> None:
        found = weights.json("config.json").get("model_type")
        if found != self.architecture:
            raise BackendError(
                f"the weights in {weights.folder} are of type {found!r}, this back end"
                f" ({type(self).__name__}) runs {self.architecture!r}: choose another back end or"
                " other weights"
            )
        if not any((weights.folder / name).is_file() for name in VOCABULARIES):
            raise BackendError(
                f"{weights.folder} has no tokenizer: put one of {', '.join(VOCABULARIES)} there,"
                " from where the weights came from"
            )

    def encode_images(self, images: Sequence[UInt8]) -> Float32:
        check_images(images)
        rows = [np.empty((0, self.facets, self.dimension), np.float32)]
        for batch in _batches(images, self._batch_size):
            # The layout is said, not guessed: a picture three pixels high looks like planes.
            pixels = self._processor(
                images=list(batch),
                return_tensors="pt",
                input_data_format="channels_last",
                **self._processing(),
            )
            inputs = {name: pixels[name] for name in self.picture_inputs}
            rows.append(self._run(self._image_outputs, **inputs))
        return np.concatenate(rows)

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        check_texts(texts)
        rows = [np.empty((0, self.dimension), np.float32)]
        for batch in _batches(texts, self._batch_size):
            with _ALONE:
                words = self._tokenizer(
                    self._prepare(batch),
                    padding=self.padding,
                    truncation=True,
                    max_length=min(self.max_words, self._tokenizer.model_max_length),
                    return_tensors="pt",
                )
            # A tokenizer returns a mask where its network was trained with one.
            inputs = {
                name: words[name] for name in ("input_ids", "attention_mask") if name in words
            }
            rows.append(self._run(self._text_outputs, **inputs))
        return np.concatenate(rows)

    def _prepare(self, texts: Sequence[str]) -> list[str]:
        return list(texts)

    def _processing(self) -> dict[str, Any]:
        """What else the image processor is told."""
        return {}

    def _run(self, network: Any, **inputs: Any) -> Float32:
        """The network's outputs for one batch, each of length 1."""
        inputs = {name: tensor.to(self._runtime.device) for name, tensor in inputs.items()}
        with self._runtime.running():
            outputs = network(**inputs)
        rows: Float32 = self._torch.nn.functional.normalize(outputs.float(), dim=-1).cpu().numpy()
        return rows

    def _load(self, class_name: str) -> Any:
        with _ALONE:
            if class_name not in self._networks:
                self._networks[class_name] = self._runtime.load(class_name, self._weights)
            return self._networks[class_name]

    def _load_vision(self, class_name: str) -> Any:
        """A network that looks at pictures and nothing else."""
        network = self._load(class_name)
        self._runtime.compiled(network)
        return network

    @abstractmethod
    def _image_outputs(self, pixel_values: Any) -> Any:
        """[n, q, d] of what the image processor makes of n pictures: `picture_inputs`."""

    @abstractmethod
    def _text_outputs(self, input_ids: Any, attention_mask: Any = None) -> Any:
        """[n, d] of [n, length]."""


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
