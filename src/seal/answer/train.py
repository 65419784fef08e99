"""Training of a local model to answer, by `seal.training`.

The loss is the mean negative log likelihood of an answer's tokens, each given the prompt and the
tokens before it. The folder of a run has `adapter/` or, where all weights change, `model/`: what
`seal ask --answerer hf:FOLDER` loads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seal.answer.adapter import adapted, base_of, part_of
from seal.answer.lessons import Lessons
from seal.answer.processor import Reader, ends_of
from seal.config import HfAnswer, TuneOptions
from seal.errors import ContextError, OptionError
from seal.training.loop import Step, fit
from seal.training.run import TrainingTask
from seal.weights import TORCH, Weights, library_class, load_model, locate, require


def train(
    lessons: Lessons,
    model: HfAnswer,
    options: TuneOptions,
    folder: str | Path,
    on_step: Callable[[Step], None] = lambda step: None,
) -> dict[str, float]:
    """Train a model in `folder`, or go on with the run there; the figures of its end.

    Raises OptionError if the folder holds a run with other options or data, BackendError if the
    model cannot be loaded or trained. Raises ContextError if it cannot read as much as a lesson
    shows.
    """
    if model.device != HfAnswer().device:
        raise OptionError(f"answer.device={model.device} has no effect here: accelerate chooses it")
    weights = locate(model.model, model.revision)
    if base_of(weights) != weights:
        raise OptionError(f"{model.model} is an adapter: train its base model, or a whole one")
    torch.manual_seed(options.seed)
    task = (Adapter if options.method == "lora" else Whole)(model, weights, options)
    batches = _Batches(lessons, model.model, weights, ends_of(task.network))
    settings = {"tune": options.deciding(), "model": weights.fingerprint, **lessons.made_from}
    return fit(task, batches, options, folder, settings, on_step)


class LessonBatch(NamedTuple):
    """A prompt and its answer, as the network reads them."""

    inputs: dict[str, Tensor]
    answer: Tensor
    """[n] numbers of the answer's tokens: the last ones of the inputs."""

    def to(self, device: Any) -> LessonBatch:
        """The batch on a device of torch."""
        inputs = {name: value.to(device, non_blocking=True) for name, value in self.inputs.items()}
        return LessonBatch(inputs, self.answer.to(device, non_blocking=True))


class Answering(TrainingTask):
    """A model that learns to write answers."""

    def losses(self, model: Any, batch: LessonBatch) -> dict[str, Tensor]:
        count = len(batch.answer)
        inputs = {
            name: value.to(self.network.dtype) if value.is_floating_point() else value
            for name, value in batch.inputs.items()
        }
        logits = model(**inputs, use_cache=False, logits_to_keep=count + 1).logits
        # What is written after a token stands in its place.
        before = logits[0, -count - 1 : -1].float()
        return {"loss": torch.nn.functional.cross_entropy(before, batch.answer)}


class Adapter(Answering):
    """Few weights are added, and alone learn."""

    result = "adapter"

    def __init__(self, model: HfAnswer, weights: Weights, options: TuneOptions) -> None:
        self.network = adapted(_load(weights, model.dtype, options.quantize), options, model)

    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        # Whether a vocabulary has grown would be looked up on the hub; none has.
        self.network.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)


class Whole(Answering):
    """The weights of the model itself learn."""

    result = "model"
    saves_frozen = True

    def __init__(self, model: HfAnswer, weights: Weights, options: TuneOptions) -> None:
        # Half precision would lose most of what a step changes.
        self.network = _load(weights, "float32")
        self.network.requires_grad_(False)
        for part in (part_of(self.network, options), self.network.get_output_embeddings()):
            part.requires_grad_(True)
        self._folder = weights.folder

    def save(self, folder: Path, weights: dict[str, Tensor]) -> None:
        for path in (path for pattern in TORCH.files for path in self._folder.glob(pattern)):
            if path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
                shutil.copy(path, folder)
        self.network.save_pretrained(folder, state_dict=weights)


class _Batches:
    """A batch is one lesson: prompts differ in what a network reads of their pictures."""

    def __init__(self, lessons: Lessons, name: str, weights: Weights, ends: Sequence[int]) -> None:
        self._lessons, self._name, self._weights, self._ends = lessons, name, weights, ends

    def __getitem__(self, number: int) -> LessonBatch:
        prompt, example = self._lessons[number]
        reader = _reader(self._name, self._weights)
        answer = reader.answer(prompt, example.answer, self._ends)
        try:
            inputs = reader.read([prompt], len(answer))
        except ContextError as error:
            raise ContextError(
                f"{example.question!r} about {example.video}: {error}; show less of it, by"
                " --set attention.budget=N"
            ) from error
        return joined(inputs, answer)


def joined(inputs: dict[str, Tensor], answer: Sequence[int]) -> LessonBatch:
    """An answer behind a prompt."""
    ids = torch.tensor(answer)
    longer = dict(inputs)
    for name, value in longer.items():
        if value.shape == inputs["input_ids"].shape:
            # The mask has a 1 for what is there; other columns have a 0 for what is text.
            more = ids if name == "input_ids" else torch.full_like(ids, name == "attention_mask")
            longer[name] = torch.cat([value, more.to(value.dtype)[None]], 1)
    return LessonBatch(longer, ids)


@lru_cache(1)
def _reader(name: str, weights: Weights) -> Reader:
    """Once in each process: it cannot go from one to another."""
    return Reader(name, weights)


def _load(weights: Weights, dtype: str, quantize: str = "none") -> Any:
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    if quantize == "none":
        return load_model("AutoModelForImageTextToText", weights, "cpu", dtype=dtype)
    require("bitsandbytes", "quantize")
    # Weights are made smaller where they stay: of several processes each has a device.
    place = int(os.environ.get("LOCAL_RANK", "0")) if torch.cuda.is_available() else "cpu"
    config = library_class("BitsAndBytesConfig")(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantize,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
        # FSDP puts weights of one type into shards together.
        bnb_4bit_quant_storage=getattr(torch, dtype),
    )
    network = load_model(
        *("AutoModelForImageTextToText", weights, "cpu"),
        dtype=dtype,
        device_map={"": place},
        quantization=config,
    )
    prepare = require("peft", "train").prepare_model_for_kbit_training
    return prepare(network, use_gradient_checkpointing=False)
