"""How often the networks of a profile run, and what that costs, by stage, beside the floor.

    python benchmarks/flops.py [--profiles base paper] [--seconds 48] [--memory-pool N]

Nothing of full size runs. SEAL's own pipeline turns a made-up video into tokens with tiny networks
of the profile's classes, and hooks write down every pass and the shapes of its inputs. Each shape
is then counted once on the network of full size, on torch's meta device, by FlopCounterMode, which
counts a multiplication and an addition as two operations. Text, the detector of names (CPU) and
operations other than products of matrices and convolutions are not counted.

In the video sixteen places hold a thing for six of eight seconds each. The answers of the
segmenter and of the tracker are replaced by these things, so that as many are followed as would be
with weights that work; what the networks compute, and how often, does not depend on the answers.

The floor computes nothing twice: a picture embedded once by each network that looks at it, a grid
of points decoded once for each keyframe, and for each thing and frame one look at the memory, one
decoded mask and one new memory, in the code of transformers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import tiny_encoders
import tiny_sam
from seal import decompose
from seal.config import Options
from seal.decompose import Models
from seal.segment import Masks, Segmenter
from seal.track import sam2
from seal.track.propagation import Followed
from seal.types import UInt8
from seal.video import Frame, VideoInfo

TICK = Fraction(1, 1000)
HEIGHT, WIDTH = 144, 256
PLACES = [
    (8 + 64 * (i % 4), 4 + 36 * (i // 4), 56 + 64 * (i % 4), 32 + 36 * (i // 4)) for i in range(16)
]
"""x0 y0 x1 y1, in pixels, of each thing of the made-up video."""
SHOWN_S, EVERY_S = 6.0, 8.0

HIERA_LARGE = {
    "hidden_size": 144, "num_attention_heads": 2, "blocks_per_stage": [2, 6, 36, 4],
    "embed_dim_per_stage": [144, 288, 576, 1152], "num_attention_heads_per_stage": [2, 4, 8, 16],
    "window_size_per_stage": [8, 4, 16, 8], "global_attention_blocks": [23, 33, 43],
    "window_positional_embedding_background_size": [7, 7], "model_type": "sam2_hiera_det_model",
}  # fmt: skip
SAM_HUGE = {
    "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
    "global_attn_indexes": [7, 15, 23, 31],
}  # fmt: skip


class Pass(NamedTuple):
    """One forward pass, as far as its cost goes."""

    stage: str
    network: str
    """The class of the part that ran."""
    batch: int
    shape: tuple[int, ...]
    """Points of a mask decoder; frames and pointers that a memory attention reads."""


@cache
def full_size(profile: str) -> dict[str, Any]:
    """Class of each part -> that part at full size, on the meta device."""
    large = {"vision_config": {"backbone_config": HIERA_LARGE,
                               "backbone_channel_list": [1152, 576, 288, 144]}}  # fmt: skip
    with torch.device("meta"):
        networks = {
            "base": lambda: [
                transformers.Sam2VideoModel(transformers.Sam2VideoConfig()),
                transformers.Sam2Model(transformers.Sam2Config()),
                transformers.SiglipVisionModel(transformers.SiglipVisionConfig()),
            ],
            "paper": lambda: [
                transformers.Sam2VideoModel(transformers.Sam2VideoConfig(**large)),
                transformers.SamModel(transformers.SamConfig(vision_config=SAM_HUGE)),
                transformers.Blip2VisionModelWithProjection(
                    transformers.Blip2Config(
                        num_query_tokens=32, image_text_hidden_size=256,
                        qformer_config={"use_qformer_text_input": True, "vocab_size": 30523},
                    )
                ),
            ],
        }[profile]()  # fmt: skip
    parts: dict[str, Any] = {}
    for network in networks:
        for part in (network, *network.children()):
            parts.setdefault(type(part).__name__, part.eval().requires_grad_(False))
    return parts


@cache
def flops(profile: str, part: Pass) -> int:
    """Operations of one pass."""
    network = full_size(profile)[part.network]
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.inference_mode(), counter:
        _run(network, part)
    return counter.get_total_flops()


def _run(network: Any, part: Pass) -> None:
    batch, tokens = part.batch, 64 * 64
    if part.network.endswith("MaskDecoder"):
        (points,) = part.shape
        image = [torch.empty(batch, c, s, s) for c, s in ((32, 256), (64, 128), (256, 64))]
        high = {} if part.network.startswith("SamM") else {"high_resolution_features": image[:2]}
        network(
            image_embeddings=image[2],
            image_positional_embeddings=torch.empty(batch, 256, 64, 64),
            sparse_prompt_embeddings=torch.empty(batch, points, 2, 256),
            dense_prompt_embeddings=torch.empty(batch, 256, 64, 64),
            multimask_output=True,
            **high,
        )
    elif part.network.endswith("MemoryAttention"):
        frames, pointers = part.shape
        length = frames * tokens + 4 * pointers
        network(
            current_vision_features=torch.empty(tokens, batch, 256),
            current_vision_position_embeddings=torch.empty(tokens, batch, 256),
            memory=torch.empty(length, batch, 64),
            memory_posision_embeddings=torch.empty(length, batch, 64),
            num_object_pointer_tokens=4 * pointers,
        )
    elif part.network.endswith("MemoryEncoder"):
        network(torch.empty(batch, 256, 64, 64), torch.empty(batch, 1, 1024, 1024))
    elif part.network.startswith("Blip2"):
        # By its halves: the whole looks at the values of a mask, which the meta device has not.
        seen = network.vision_model(torch.empty(batch, 3, 224, 224)).last_hidden_state
        queries = network.query_tokens.expand(batch, -1, -1)
        network.qformer(query_embeds=queries, encoder_hidden_states=seen)
    else:
        side = 224 if part.stage == "embeddings" else 1024
        network(torch.empty(batch, 3, side, side))


class Watched:
    """Writes down every pass of the networks."""

    def __init__(self) -> None:
        self.passes: Counter[Pass] = Counter()

    def __enter__(self) -> Watched:
        self._handle = torch.nn.modules.module.register_module_forward_hook(
            self._ran, with_kwargs=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _ran(self, module: Any, args: Any, named: dict[str, Any], _: object) -> None:
        name = type(module).__name__
        if name in ("SamVisionEncoder", "Sam2VisionModel"):
            pixels = args[0] if args else named["pixel_values"]
            self.passes[Pass("pictures of SAM", name, len(pixels), ())] += 1
        elif name.endswith("MaskDecoder"):
            batch, points = named["sparse_prompt_embeddings"].shape[:2]
            stage = "masks of tracks" if points == 1 else "masks of points"
            self.passes[Pass(stage, name, batch, (points,))] += 1
        elif name.endswith("MemoryAttention"):
            length, batch, width = named["memory"].shape
            pointers = named["num_object_pointer_tokens"]
            frames = (length - pointers) // (tiny_sam.SIDE_PX // 16) ** 2
            split = tiny_sam.SAM2_HIDDEN // width
            self.passes[Pass("memory read", name, batch, (frames, pointers // split))] += 1
        elif name.endswith("MemoryEncoder"):
            self.passes[Pass("memory written", name, len(args[0]), ())] += 1
        elif name in ("SiglipVisionModel", "Blip2VisionModelWithProjection"):
            self.passes[Pass("embeddings", name, len(named["pixel_values"]), ())] += 1


def shown(place: int, time_s: float) -> bool:
    return (time_s + place * EVERY_S / len(PLACES)) % EVERY_S < SHOWN_S


def pictures(seconds: int, rate_hz: float) -> Iterator[Frame]:
    """The made-up video: its pictures differ, and none of them starts a shot."""
    image = np.random.default_rng(0).integers(90, 110, (HEIGHT, WIDTH, 3), np.uint8)
    step = int(1000 / rate_hz)
    for i in range(int(seconds * rate_hz)):
        yield Frame(image + np.uint8(i % 2), i * step, (i + 1) * step, TICK, i == 0)


class Told(Segmenter):
    """Runs a segmenter, and finds the things of the made-up video whatever it says."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter, self.fingerprint = segmenter, segmenter.fingerprint
        self.time_s, self.keyframes = 0.0, set[float]()

    def segment(self, image: UInt8) -> Masks:
        self._segmenter.segment(image)
        self.keyframes.add(self.time_s)
        places = [box for i, box in enumerate(PLACES) if shown(i, self.time_s)]
        masks = np.zeros((len(places), HEIGHT, WIDTH), bool)
        for mask, (x0, y0, x1, y1) in zip(masks, places, strict=True):
            mask[y0:y1, x0:x1] = True
        return Masks.of(masks, np.linspace(1, 0.9, len(masks)))


def place_of(box: np.ndarray) -> int:
    x, y = box[0] * WIDTH, box[1] * HEIGHT
    return int(np.argmin([abs(x - x0) + abs(y - y0) for x0, y0, *_ in PLACES]))


def tell_tracker(tracker: sam2.Sam2Tracker, told: Told, looks: Counter[tuple[int, ...]]) -> None:
    """Have the tracker see the things of the made-up video, and count into `looks` what has to be
    computed: the frames and pointers of each look at a memory."""
    follow, ages = tracker._propagator.follow, Counter[int]()

    def tell(image: UInt8) -> Followed:
        keys, logits, scores = follow(image)
        logits, scores = torch.full_like(logits, -9.0), torch.zeros_like(scores)
        for row, key in enumerate(keys):
            ages[key] += 1
            looks[(min(ages[key], 7), min(ages[key], 16))] += 1
            place = place_of(tracker._tracks[key].boxes[0])
            if shown(place, told.time_s):
                side = logits.shape[-1]
                x0, y0, x1, y1 = np.array(PLACES[place]) * side // np.array([WIDTH, HEIGHT] * 2)
                logits[row, :, y0:y1, x0:x1], scores[row] = 9.0, 1.0
        return Followed(keys, logits, scores)

    tracker._propagator.follow = tell  # type: ignore[method-assign]


def tiny(profile: str, folder: Path) -> Options:
    """Options of a profile that name tiny networks in a folder."""
    kind, save = {
        "base": ("sam2_video", tiny_encoders.save_siglip),
        "paper": ("sam", tiny_encoders.save_blip2),
    }[profile]
    settings = {
        "detect.backend": "none",
        "segment.weights": tiny_sam.save(kind, folder / kind),
        "segment.min_predicted_iou": 99,
        "track.weights": tiny_sam.save("sam2_video", folder / "sam2_video"),
        "encode.weights": save(folder / "encoder"),
    }
    return Options.load(profile, settings)


def observe(profile: str, seconds: int) -> tuple[Counter[Pass], Counter[Pass]]:
    """The passes over the made-up video, and those of the floor."""
    looks: Counter[tuple[int, ...]] = Counter()
    with tempfile.TemporaryDirectory() as folder, Watched() as watched:
        options = tiny(profile, Path(folder))
        models = Models.load(options)
        tracker = models.tracker
        assert isinstance(tracker, sam2.Sam2Tracker)
        told = Told(models.segmenter)
        tracker._segmenter = told
        tell_tracker(tracker, told, looks)
        rate_hz = options.video.rate_hz

        def clocked() -> Iterator[Frame]:
            for frame in pictures(seconds, rate_hz):
                told.time_s = frame.time_s
                yield frame

        info = VideoInfo(
            "made up", Fraction(0), seconds, WIDTH, HEIGHT, rate_hz, "h264", 0, TICK, False, None
        )
        keys = {kind: kind for kind in ("scene", "object", "action")}
        models = Models(told, tracker, models.encoder)
        for _ in decompose.decompose(
            clocked(), keys, options, models, info, start_s=0.0, video_id="made-up"
        ):
            pass
    floor = Counter({p: n for p, n in watched.passes.items() if p.stage == "embeddings"})
    starts = sum(n for (age, _), n in looks.items() if age == 1)
    floor[Pass("pictures of SAM", "Sam2VisionModel", 1, ())] = int(seconds * rate_hz)
    if profile == "paper":
        floor[Pass("pictures of SAM", "SamVisionEncoder", 1, ())] = len(told.keyframes)
    masks = "Sam2MaskDecoder" if profile == "base" else "SamMaskDecoder"
    points = options.segment.points_per_side**2
    floor[Pass("masks of points", masks, 1, (points,))] = len(told.keyframes)
    floor[Pass("masks of tracks", "Sam2VideoMaskDecoder", 1, (1,))] = looks.total() + starts
    floor[Pass("memory written", "Sam2VideoMemoryEncoder", 1, ())] = looks.total() + starts
    for shape, number in looks.items():
        floor[Pass("memory read", "Sam2VideoMemoryAttention", 1, shape)] = number
    return watched.passes, floor


def by_stage(passes: Counter[Pass], value: Callable[[Pass], float]) -> dict[str, float]:
    found: Counter[str] = Counter()
    for each, number in passes.items():
        found[each.stage] += number * value(each)
    return found


def main(profiles: list[str], seconds: int) -> None:
    for profile in profiles:
        passes, floor = observe(profile, seconds)
        calls = by_stage(passes, lambda _: 1)
        spent, least = (by_stage(each, partial(flops, profile)) for each in (passes, floor))
        print(f"\n{profile}: {seconds} s of video\n")
        print("| stage | passes/s | TFLOP/s of video | PFLOP/h of video | floor, PFLOP/h | ratio |")
        print("|---|---|---|---|---|---|")
        for stage in [*sorted(spent), "all"]:
            done, need, ran = (
                values.total() if stage == "all" else values[stage]
                for values in (spent, least, calls)
            )
            print(
                f"| {stage} | {ran / seconds:.2f} | {done / seconds / 1e12:.3f}"
                f" | {done / seconds * 3600 / 1e15:.2f} | {need / seconds * 3600 / 1e15:.2f}"
                f" | {done / need:.2f} |"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profiles", nargs="+", default=["base", "paper"])
    parser.add_argument("--seconds", type=int, default=48)
    arguments = parser.parse_args()
    main(arguments.profiles, arguments.seconds)
