"""The network that follows objects: what it reads is all there, and batches change nothing."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from seal import segment, track
from seal.config import Options, Sam2Segment, Sam2Track, Sam3Segment, Sam3Track
from seal.decompose import Models, decompose
from seal.segment.embedder import ImageEmbedder
from seal.segment.sam import Sam2Segmenter
from seal.types import UInt8
from seal.video import Frame, VideoInfo

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
import tiny_encoders  # noqa: E402
from seal.devices import Runtime  # noqa: E402  the modules below need both
from seal.pixels import IMAGENET  # noqa: E402
from seal.track.propagation import Propagator  # noqa: E402
from seal.track.sam2 import Sam2Tracker, Sam3Tracker  # noqa: E402
from seal.weights import locate  # noqa: E402

import tiny_sam  # noqa: E402  # isort: skip

FRAMES = 30
"""More than the sixteen whose pointers the network reads."""
SIDE = tiny_sam.SIDE_PX


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_sam.save("sam2_video", tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="module")
def attentive(folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network in which every memory and every pointer counts. Its masks are chaotic: they depend
    on the last bit of each, so that objects have to be followed as the library does it."""
    model = transformers.Sam2VideoModel.from_pretrained(folder)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # With weights of one size a single memory takes all of the attention.
            if "memory_attention" in name and "q_proj" in name:
                weight *= 0.1
            if "object_pointer_proj.proj_out" in name:
                weight *= 30
    path = str(tmp_path_factory.mktemp("attentive"))
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def pictures() -> list[UInt8]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (FRAMES, 9, 16, 3), np.uint8)
    return [cv2.resize(image, (160, 90), interpolation=cv2.INTER_CUBIC) for image in noise]


@pytest.fixture(scope="module")
def masks() -> dict[int, Any]:
    found = {}
    for key in range(5):
        mask = torch.zeros(1, 1, SIDE, SIDE)
        mask[..., 10 + 15 * key : 40 + 15 * key, 5 + 20 * key : 40 + 17 * key] = 1
        found[key] = mask
    return found


def apart(logits: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest logit: random weights give thousands."""
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


def propagator(folder: str, **options: Any) -> Propagator:
    weights = locate(folder, "main")
    runtime = Runtime.of(Sam2Track(**options))
    model = runtime.load("Sam2VideoModel", weights)
    embedder = ImageEmbedder(model, runtime, weights, IMAGENET)
    return Propagator(model, runtime, embedder, Sam2Track(**options).objects_per_batch)


def follow(
    chosen: Propagator, pictures: list[UInt8], starts: dict[int, int], masks: dict[int, Any]
) -> Iterator[dict[int, tuple[np.ndarray, float]]]:
    """Logits and score of each object, frame by frame; object k starts at frame starts[k]."""
    for i, image in enumerate(pictures):
        found = {}
        if any(start < i for start in starts.values()):
            seen = chosen.follow(image)
            found = {
                key: (logits.numpy(), float(score))
                for key, logits, score in zip(*seen, strict=True)
            }
        if new := {key: masks[key] for key, start in starts.items() if start == i}:
            chosen.prompt(image, new)
        yield found


def with_all_memory(
    folder: str, pictures: list[UInt8], mask: Any
) -> Iterator[tuple[np.ndarray, float]]:
    """The same of one object by the library alone, which keeps every memory from the start."""
    model = transformers.Sam2VideoModel.from_pretrained(folder).eval()
    embedder = propagator(folder)._embedder
    session = transformers.Sam2VideoInferenceSession(dtype=torch.float32)
    session.add_mask_inputs(session.obj_id_to_idx(1), 0, mask)
    session.obj_with_new_inputs = [1]
    for image in pictures:
        output = model(session, frame=embedder.pixels(image))
        yield output.pred_masks.numpy()[0], float(output.object_score_logits.sigmoid())


@pytest.mark.parametrize(
    ("network", "starts"), [("attentive", {0: 0}), ("folder", {0: 0, 1: 0, 2: 4})]
)
def test_pruned_memory_is_all_that_the_network_reads(
    network: str,
    starts: dict[int, int],
    pictures: list[UInt8],
    masks: dict[int, Any],
    request: pytest.FixtureRequest,
) -> None:
    path = request.getfixturevalue(network)
    found = list(follow(propagator(path), pictures, starts, masks))
    for key, start in starts.items():
        expected = [*with_all_memory(path, pictures[start:], masks[key])][1:]
        for (logits, score), frame in zip(expected, found[start + 1 :], strict=True):
            assert apart(frame[key][0], logits) < 1e-4
            assert frame[key][1] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("limit", ["num_maskmem", "max_object_pointers_in_encoder"])
def test_a_memory_that_is_one_too_short_would_be_seen(
    attentive: str, pictures: list[UInt8], masks: dict[int, Any], limit: str
) -> None:
    """What the test above can tell: the oldest of the things that are read matters."""
    whole, short = propagator(attentive), propagator(attentive)
    whole.prompt(pictures[0], {0: masks[0]})
    config = short._model.config
    # Fewer are kept, and the network is as it was.
    setattr(config, limit, getattr(config, limit) - 1)
    short.prompt(pictures[0], {0: masks[0]})
    setattr(config, limit, getattr(config, limit) + 1)
    for image in pictures[1:20]:
        seen, expected = short.follow(image), whole.follow(image)
    assert apart(seen.logits.numpy(), expected.logits.numpy()) > 0.1


def test_objects_in_batches_are_those_one_at_a_time(
    folder: str, pictures: list[UInt8], masks: dict[int, Any]
) -> None:
    starts = {0: 0, 1: 0, 2: 3, 3: 3, 4: 9}
    alone, together = (
        list(follow(propagator(folder, objects_per_batch=size), pictures, starts, masks))
        for size in (1, 4)
    )
    for i, (one, several) in enumerate(zip(alone, together, strict=True)):
        assert one.keys() == several.keys() == {key for key, start in starts.items() if start < i}
        for key in one:
            assert apart(several[key][0], one[key][0]) < 1e-4
            assert several[key][1] == pytest.approx(one[key][1], abs=1e-4)


def test_frames_in_batches_are_those_one_at_a_time(folder: str, pictures: list[UInt8]) -> None:
    embedder = propagator(folder)._embedder
    alone = [embedder.embedding(image) for image in pictures[:6]]
    embedder.look_ahead(pictures[:6])
    for image, expected in zip(pictures, alone, strict=False):
        for level, one in zip(embedder.embedding(image), expected, strict=True):
            torch.testing.assert_close(level, one, atol=1e-4, rtol=0)


def test_an_object_that_is_forgotten_leaves_the_others_alone(
    folder: str, pictures: list[UInt8], masks: dict[int, Any]
) -> None:
    alone = list(follow(propagator(folder), pictures[:9], {1: 0}, masks))
    chosen = propagator(folder)
    chosen.prompt(pictures[0], {key: masks[key] for key in (0, 1)})
    for i, image in enumerate(pictures[1:9], 1):
        if i == 4:
            chosen.forget([0])
        found = chosen.follow(image)
        assert apart(found.logits[-1].numpy(), alone[i][1][0]) < 1e-4
    assert found.keys == [1]


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each pass of a picture network had."""
    passes: list[int] = []
    embed = ImageEmbedder._embed

    def counted(self: ImageEmbedder, pixels: Any) -> Any:
        passes.append(len(pixels))
        return embed(self, pixels)

    monkeypatch.setattr(ImageEmbedder, "_embed", counted)
    return passes


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_masks_and_tracks_of_one_network_share_embeddings(
    folder: str, pictures: list[UInt8], embedded: list[int], dtype: str
) -> None:
    options = {"weights": folder, "dtype": dtype}
    masks = segment.load(Sam2Segment(points_per_side=2, min_predicted_iou=-99, **options))
    tracker = track.load(Sam2Track(**options), masks)
    before = list(embedded)
    masks.segment(pictures[0])
    tracker._propagator.prompt(pictures[0], {0: torch.ones(1, 1, SIDE, SIDE)})
    tracker._propagator.follow(pictures[1])
    masks.segment(pictures[1])
    assert embedded == [*before, 1, 1]
    # The tracker has no second copy of the network that looks at pictures.
    assert not [name for name in tracker._propagator._model.state_dict() if "vision_enc" in name]


def test_shared_embeddings_change_nothing(
    folder: str, pictures: list[UInt8], masks: dict[int, Any]
) -> None:
    own = propagator(folder)
    shared = track.load(Sam2Track(weights=folder), segment.load(Sam2Segment(weights=folder)))
    assert isinstance(shared, Sam2Tracker)
    one, other = (
        list(follow(chosen, pictures[:8], {0: 0, 1: 2}, masks))
        for chosen in (own, shared._propagator)
    )
    for a, b in zip(one, other, strict=True):
        for key in a:
            assert apart(a[key][0], b[key][0]) < 1e-4


def test_sam3_is_taken_out_of_the_published_checkpoint_and_shared(tmp_path: Path) -> None:
    """Which holds a detector and a tracker around one network for pictures."""
    folder = tiny_sam.save("sam3_video", tmp_path)
    whole = transformers.Sam3VideoModel.from_pretrained(folder).state_dict()
    masks = segment.load(Sam3Segment(weights=folder))
    tracker = track.load(Sam3Track(weights=folder), masks)
    assert isinstance(tracker, Sam3Tracker)
    assert tracker._embedder is masks.embedder
    for name, weight in tracker._propagator._model.state_dict().items():
        np.testing.assert_array_equal(weight.numpy(), whole[f"tracker_model.{name}"].numpy(), name)


@pytest.mark.parametrize("other", [{"dtype": "bfloat16"}, {"weights": "another"}])
def test_networks_that_differ_share_nothing(
    folder: str, other: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if "weights" in other:
        other = {"weights": tiny_sam.save("sam2_video", tmp_path_factory.mktemp("other"), seed=3)}
    masks = segment.load(Sam2Segment(weights=folder))
    tracker = track.load(Sam2Track(**{"weights": folder, **other}), masks)
    assert tracker._embedder is not masks.embedder


def test_base_looks_at_each_frame_once_and_finds_masks_once(
    folder: str,
    pictures: list[UInt8],
    embedded: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Object tokens, the tracker and its prompts share embeddings and masks."""
    searched: list[int] = []
    segment_one = Sam2Segmenter.segment

    def counted(self: Sam2Segmenter, image: UInt8) -> Any:
        searched.append(1)
        return segment_one(self, image)

    monkeypatch.setattr(Sam2Segmenter, "segment", counted)
    settings = {
        "detect.backend": "none",
        "segment.weights": folder,
        "segment.points_per_side": 2,
        "segment.min_predicted_iou": -99,
        "segment.min_stability": 0,
        "track.weights": folder,
        "track.max_area": 1,
        "encode.weights": tiny_encoders.save_siglip(tmp_path),
    }
    options = Options.load("base", settings)
    tick = Fraction(1, 1000)
    # Eleven frames, five a second: masks are wanted at 0 and at 2 s. Nothing starts a shot.
    still = [(pictures[0] // 8 + image // 64 + 90).astype(np.uint8) for image in pictures[:11]]
    frames = [Frame(image, 200 * i, 200 * i + 200, tick, i == 0) for i, image in enumerate(still)]
    info = VideoInfo("film", Fraction(0), 2.2, 160, 90, 5.0, "h264", 0, tick, False, None)
    kinds = dict.fromkeys(("scene", "object", "action"), "key")
    batches = decompose(
        frames, kinds, options, Models.load(options), info, start_s=0.0, video_id="film"
    )
    found = Counter(kind for batch in batches for kind in batch.tokens.kinds.tolist())
    assert found["object"] > 0
    assert len(searched) == 2
    assert sum(embedded) == len(frames)
    # Eight frames at once, and what is left.
    assert embedded == [8, 3]
