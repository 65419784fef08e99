"""SAM 2's network on several objects at once, with the memory that it reads and no more.

Of an object the network reads the frame on which it was prompted, the six frames before this one,
and the pointers of sixteen frames. The source is Ravi et al. 2024, section 4 and appendix D.1, with
`num_maskmem` and `max_object_pointers_in_encoder` of the official configurations. Older memories
are dropped here, so the memory of an object does not grow, and nothing that is read is ever
missing.

The library's own session keeps all memories, and follows objects one after another. Here objects
that have as many memories to read go through the network together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, NamedTuple

from seal.devices import Runtime
from seal.segment.embedder import ImageEmbedder
from seal.types import UInt8
from seal.weights import require

# Logits of a mask that is given, inside and outside, and of one where no object is, as the network
# was trained with (`_use_mask_as_output` and NO_OBJ_SCORE of the official code).
_INSIDE, _OUTSIDE, _ABSENT = 10.0, -10.0, -1024.0


class Followed(NamedTuple):
    """What the network says about a frame."""

    keys: list[int]
    """The objects."""
    logits: Any
    """Tensor [n, 1, h, w]: above 0 where the object is."""
    scores: Any
    """Tensor [n]: how likely the object is there, in [0, 1]."""


@dataclass
class ObjectMemory:
    """What the network will read about an object."""

    prompted: Any
    """Memory [length, 1, channels] of the frame with the prompt."""
    pointer: Any
    """[1, channels] of that frame."""
    recent: deque[Any]
    """Memories of the frames before this one, the oldest first."""
    pointers: deque[Any]
    """Pointers of the frames before this one, the oldest first."""
    age: int = field(default=0)
    """Frames since the prompt."""


class _Decoded(NamedTuple):
    logits: Any
    """[n, 1, h, w]"""
    pointers: Any
    """[n, channels]"""
    appearing: Any
    """[n, 1, 1] logits of the object being there."""


class Propagator:
    """Follows objects from frame to frame; every frame in turn, or the frames do not connect."""

    def __init__(
        self, model: Any, runtime: Runtime, embedder: ImageEmbedder, objects_per_batch: int
    ) -> None:
        self._model, self._runtime, self._embedder = model, runtime, embedder
        self._at_once = objects_per_batch
        self._objects: dict[int, ObjectMemory] = {}
        self._positions: Any = None
        """[length, 1, channels] of a memory: the same for all."""

    def forget(self, keys: Iterable[int] | None = None) -> None:
        """Follow these objects no longer, or none at all."""
        for key in [*self._objects] if keys is None else keys:
            del self._objects[key]

    def prompt(self, image: UInt8, masks: Mapping[int, Any]) -> None:
        """Follow objects from a frame on; of each a mask [1, 1, side, side] of zeros and ones."""
        torch = require("torch")
        embedding = self._embedder.embedding(image)
        config = self._model.config
        with self._runtime.running():
            for keys in _batched(masks, self._at_once):
                given = torch.cat([masks[key] for key in keys]).to(self._runtime.device)
                prompts = self._model.mask_downsample(given)
                pointers = self._decode(self._repeated(embedding, len(keys)), prompts).pointers
                there = given.flatten(1).any(1)[:, None].to(pointers.dtype)
                pointers = there * pointers + (1 - there) * self._model.no_object_pointer
                logits = given * (_INSIDE - _OUTSIDE) + _OUTSIDE
                appearing = torch.where(there > 0, _INSIDE, _OUTSIDE)[..., None]
                memories = self._encode(embedding, logits, appearing, given=True)
                for row, key in enumerate(keys):
                    self._objects[key] = ObjectMemory(
                        memories[:, row : row + 1].clone(),
                        pointers[row : row + 1].clone(),
                        deque(maxlen=config.num_maskmem - 1),
                        deque(maxlen=config.max_object_pointers_in_encoder - 1),
                    )

    def follow(self, image: UInt8) -> Followed:
        """Find every object on the next frame."""
        torch = require("torch")
        found: dict[int, tuple[Any, Any]] = {}
        embedding = self._embedder.embedding(image)
        with self._runtime.running():
            for keys in self._alike():
                conditioned = self._conditioned(embedding, [self._objects[key] for key in keys])
                *finer, _ = self._repeated(embedding, len(keys))
                decoded = self._decode([*finer, conditioned])
                side = (self._embedder.side,) * 2
                full = require("torch.nn.functional").interpolate(
                    decoded.logits.float(), side, mode="bilinear", align_corners=False
                )
                memories = self._encode(embedding, full, decoded.appearing, given=False)
                scores = decoded.appearing.flatten().float().sigmoid()
                for row, key in enumerate(keys):
                    memory = self._objects[key]
                    memory.age += 1
                    memory.recent.append(memories[:, row : row + 1].clone())
                    memory.pointers.append(decoded.pointers[row : row + 1].clone())
                    found[key] = decoded.logits[row : row + 1].float(), scores[row : row + 1]
        logits, scores = (torch.cat([found[key][i] for key in self._objects]) for i in range(2))
        return Followed([*self._objects], logits, scores)

    def _alike(self) -> Iterator[tuple[int, ...]]:
        """The objects in batches of which each has the same number of memories to read."""

        def length(key: int) -> tuple[int, int]:
            return len(self._objects[key].recent), len(self._objects[key].pointers)

        for _, keys in groupby(sorted(self._objects, key=length), length):
            yield from _batched(keys, self._at_once)

    def _repeated(self, embedding: list[Any], count: int) -> list[Any]:
        return [level.expand(count, -1, -1, -1) for level in embedding]

    def _conditioned(self, embedding: list[Any], objects: list[ObjectMemory]) -> Any:
        """The coarsest level [n, channels, height, width] of a frame, as it looks once the network
        has read the memories of n objects."""
        torch = require("torch")
        model, count = self._model, len(objects)
        frames = [[memory.prompted, *memory.recent] for memory in objects]
        # Recent frames are told apart by how long ago they were, and the last place in the table is
        # that of the frame with the prompt.
        recent = len(frames[0]) - 1
        places = [-1, *range(recent - 1, -1, -1)]
        memory = [torch.cat(column, 1) for column in zip(*frames, strict=True)]
        times = model.memory_temporal_positional_encoding
        positions = [(self._positions + times[place]).expand(-1, count, -1) for place in places]
        tokens, told = self._pointers(objects)
        level = embedding[-1]
        flat = level.flatten(2).permute(2, 0, 1)
        output = model.memory_attention(
            current_vision_features=flat.expand(-1, count, -1),
            current_vision_position_embeddings=self._embedder.positions.expand(-1, count, -1),
            memory=torch.cat([*memory, tokens]).float(),
            memory_posision_embeddings=torch.cat([*positions, told]),
            num_object_pointer_tokens=len(tokens),
            **self._read_how(len(memory)),
        )
        return output[0].transpose(1, 2).reshape(count, *level.shape[1:])

    def _read_how(self, frames: int) -> dict[str, Any]:
        """What else a memory attention wants to know about the memories of so many frames."""
        return {}

    def _pointers(self, objects: list[ObjectMemory]) -> tuple[Any, Any]:
        """The pointers of n objects as tokens [length, n, channels], and their positions."""
        model, count = self._model, len(objects)
        # The one of the prompt, then the others from the newest to the oldest.
        tokens = zip(
            *([memory.pointer, *reversed(memory.pointers)] for memory in objects), strict=True
        )
        rows = [pointer for column in tokens for pointer in column]
        ago = range(1, len(objects[0].pointers) + 1)
        offsets = [memory.age + 1 for memory in objects] + [i for i in ago for _ in objects]
        limit = model.config.max_object_pointers_in_encoder
        # Taken for one object with many pointers: a token and its position depend on nothing else.
        pair = model._process_object_pointers(
            offsets, rows, limit, 1, model.hidden_dim, self._runtime.device
        )
        return tuple(
            each.reshape(len(rows) // count, count, -1, each.shape[-1])
            .transpose(1, 2)
            .flatten(0, 1)
            for each in pair
        )

    def _decode(self, embedding: list[Any], prompts: Any = None) -> _Decoded:
        """The best mask of each of n embeddings, with `prompts` [n, 1, h, w] or without."""
        torch = require("torch")
        model, (*finer, last) = self._model, embedding
        count = len(last)
        size = model.prompt_encoder.mask_input_size
        if prompts is not None and prompts.shape[-2:] != tuple(size):
            prompts = require("torch.nn.functional").interpolate(
                prompts.float(), size, mode="bilinear", align_corners=False, antialias=True
            )
        sparse, dense = model.prompt_encoder(
            # A point that is none.
            input_points=torch.zeros(count, 1, 1, 2, device=last.device),
            input_labels=-torch.ones(count, 1, 1, dtype=torch.int32, device=last.device),
            input_boxes=None,
            input_masks=prompts,
        )
        several = prompts is not None or model._use_multimask(False, None)
        logits, ious, tokens, appearing = model.mask_decoder(
            image_embeddings=last,
            image_positional_embeddings=model.get_image_wide_positional_embeddings().expand(
                count, -1, -1, -1
            ),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            high_resolution_features=finer,
        )
        is_there = appearing > 0
        rows = torch.arange(count, device=last.device)
        best = ious[:, 0].argmax(1) if several else torch.zeros_like(rows)
        masks = torch.where(is_there[..., None], logits[rows, :, best], _ABSENT)
        pointers = model.object_pointer_proj(tokens[rows, 0, best % tokens.shape[2]])
        there = is_there[:, 0].to(pointers.dtype)
        pointers = there * pointers + (1 - there) * model.no_object_pointer
        return _Decoded(masks, pointers, appearing)

    def _encode(self, embedding: list[Any], logits: Any, appearing: Any, *, given: bool) -> Any:
        """Memories [length, n, channels] of n objects, by their masks [n, 1, side, side] on a
        frame; `given` says that a mask is a prompt."""
        count = len(logits)
        flat = embedding[-1].flatten(2).permute(2, 0, 1).expand(-1, count, -1)
        memories, positions = self._model._encode_new_memory(flat, logits, appearing, given)
        self._positions = positions[:, :1]
        return memories


def _batched(keys: Iterable[int], size: int) -> Iterator[tuple[int, ...]]:
    rest = iter(keys)
    while batch := tuple(islice(rest, size)):
        yield batch
