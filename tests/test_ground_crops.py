"""TimeSformer over the crops of actions, as a part of the localisation head."""

import io
import json
import pickle
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch.nn import functional as F  # noqa: N812 (its usual name)
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    TimesformerModel,
)

import test_ground_train as made_up
from filmed import write_film
from seal.cli import main
from seal.config import DecodeOptions, HeadOptions, TrainOptions
from seal.errors import BackendError, DataError, OptionError
from seal.ground.batches import collate
from seal.ground.checkpoint import load
from seal.ground.composites import Composites, Footage, sheets
from seal.ground.crops import Crops, started
from seal.ground.examples import ACTION, HeadExample, HeadQuestion, Timeline
from seal.ground.localise import localise
from seal.ground.losses import loss
from seal.ground.model import Head, Spans
from seal.ground.strips import strips
from seal.ground.train import train
from seal.types import Tokens

D = made_up.D
FRAMES, SIDE = 3, 8
TINY = replace(made_up.TINY, crops=FRAMES, crop_px=SIDE, patch_px=4)


def moving(right: bool, rng: np.random.Generator) -> np.ndarray:
    """A bright bar that goes through the pictures, from one side to the other."""
    pictures = rng.integers(0, 60, (FRAMES, SIDE, SIDE, 3))
    for i, picture in enumerate(pictures if right else pictures[::-1]):
        picture[:, i * 3 : i * 3 + 2] += 180
    return pictures.astype(np.uint8)


def with_crops(each: Footage, right: bool, seed: int = 0) -> Footage:
    rng = np.random.default_rng(seed)
    actions = int((each.tokens.kinds == "action").sum())
    crops = np.array([moving(right, rng) for _ in range(actions)], np.uint8)
    return replace(each, crops=crops.reshape(-1, FRAMES, SIDE, SIDE, 3))


FILMS = tuple(with_crops(film, bool(i), i) for i, film in enumerate(made_up.FILMS))
CLIPS = tuple(with_crops(clip, bool(i % 2), i) for i, clip in enumerate(made_up.CLIPS))


def composites(options: HeadOptions = TINY) -> Composites:
    return Composites(FILMS, CLIPS, options, made_up.CALIBRATION)


def answer(head: Head, examples: list[HeadExample]) -> Spans:
    batch = collate(examples)
    with torch.no_grad():
        return head.eval()(batch.video, batch.queries)


def trained(head: Head, seed: int = 0) -> Head:
    """As if it had been: the part of the crops says something."""
    torch.manual_seed(seed)
    assert head.crops is not None
    torch.nn.init.normal_(head.crops.out.weight)
    return head


def test_it_computes_what_the_library_does() -> None:
    torch.manual_seed(0)
    theirs = TimesformerModel(
        TimesformerConfig(
            image_size=SIDE,
            patch_size=4,
            num_frames=FRAMES,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
        )
    ).eval()
    ours = Crops(TINY).eval()
    ours.model.load_state_dict(theirs.state_dict())
    torch.nn.init.normal_(ours.out.weight)
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(np.stack([moving(True, rng), moving(False, rng)]))
    stored = torch.randn(2, 3, D)
    actions = torch.tensor([[False, True, False], [False, False, True]])
    with torch.no_grad():
        pixels = (crops.movedim(-1, 2) / 255 - 0.45) / 0.225
        added = ours.out(theirs(pixels).last_hidden_state[:, 0]) / D**0.5
        got = ours(stored, actions, crops)
    torch.testing.assert_close(got[actions], stored[actions] + added)
    assert (got[~actions] == stored[~actions]).all()


def test_untrained_it_changes_nothing_and_then_every_weight_learns() -> None:
    torch.manual_seed(1)
    head = Head.of(TINY)
    torch.manual_seed(1)
    plain = Head.of(made_up.TINY)
    shown = [composites()[i] for i in range(2)]
    torch.testing.assert_close(answer(head, shown), answer(plain, shown), rtol=0, atol=0)
    batch = collate(shown)
    for _ in range(2):
        head.zero_grad()
        loss(head(batch.video, batch.queries), batch.truth).total.backward()
        torch.optim.SGD(head.parameters(), 0.1).step()
    still = [n for n, p in head.named_parameters() if not (p.grad.abs() > 0).any()]
    assert still == []


def test_crops_follow_their_actions_through_composites_and_batches() -> None:
    crops_of = {
        embedding.tobytes(): crops
        for each in (*FILMS, *CLIPS)
        for embedding, crops in zip(
            each.tokens.embeddings[each.tokens.kinds == "action"], each.crops, strict=True
        )
    }
    # As they come to the processes that make examples.
    made = pickle.loads(pickle.dumps(composites()))
    shown = [made[i] for i in range(4)]
    assert len({len(each.crops) for each in shown}) > 1
    for each in shown:
        actions = each.video.embeddings[each.video.kinds == ACTION]
        for embedding, crops in zip(actions, each.crops, strict=True):
            assert (crops_of[embedding.tobytes()] == crops).all()
    head = trained(Head.of(TINY))
    together = answer(head, shown)
    for i, each in enumerate(shown):
        alone = answer(head, [each])
        wanted = alone.logits[0][:, alone.real[0]]
        got = together.logits[i, : len(each.questions)][:, together.real[i]]
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_a_video_without_actions_is_answered() -> None:
    shown = composites()[0]
    rows = np.flatnonzero(shown.video.kinds != ACTION)
    asked = [replace(each, relevance=each.relevance[rows]) for each in shown.questions]
    still = HeadExample(shown.video.take(rows), tuple(asked), shown.crops[:0])
    head = trained(Head.of(TINY))
    assert answer(head, [still]).logits.isfinite().all()
    batch = collate([still])
    loss(head(batch.video, batch.queries), batch.truth).total.backward()
    # Several processes wait for each other's gradients, zero or not.
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


def test_it_learns_which_way_things_move() -> None:
    """From the order alone: there and back the pictures are the same."""
    torch.manual_seed(0)
    net = Crops(replace(TINY, width=32))
    rng = np.random.default_rng(0)
    adam = torch.optim.AdamW(net.parameters(), 1.5e-3)
    stored, actions = torch.zeros(1, 16, D), torch.ones(1, 16).bool()
    losses = []
    for _ in range(80):
        right = rng.integers(0, 2, 16)
        crops = torch.from_numpy(np.stack([moving(bool(each), rng) for each in right]))
        says = D * net(stored, actions, crops)[0, :, 0]
        wrong = F.binary_cross_entropy_with_logits(says, torch.from_numpy(right).float())
        adam.zero_grad()
        wrong.backward()
        adam.step()
        losses.append(wrong.item())
    assert losses[0] == pytest.approx(np.log(2))
    assert np.mean(losses[-10:]) < 0.1


class Twins:
    """Two actions of one embedding, a red and a blue one. The query means the red one."""

    def __getitem__(self, number: int) -> HeadExample:
        rng = np.random.default_rng(number)
        kinds, at = np.zeros(12, np.int64), 4.0 * np.arange(12)
        rows = rng.choice(np.arange(1, 11), 2, replace=False)
        kinds[rows] = ACTION
        spans = np.stack([at, at + np.where(kinds == ACTION, 3.0, 0.0)], 1)
        boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (12, 1))
        crops = rng.integers(0, 60, (2, FRAMES, SIDE, SIDE, 3))
        # In the order of their times; the first of the rows is the one that is meant.
        for which, each in zip(np.argsort(rows), crops, strict=True):
            each[..., 2 * which] += 180
        word = np.eye(D, dtype=np.float32)[3:4]
        asked = HeadQuestion(word, np.zeros(12, np.float32), spans[rows[:1]])
        line = Timeline(np.eye(D, dtype=np.float32)[kinds], kinds, spans, boxes)
        return HeadExample(line, (asked,), crops.astype(np.uint8))


def test_crops_tell_what_stored_embeddings_do_not(tmp_path: Path) -> None:
    sizes = HeadOptions(dimension=D, width=32, heads=2, layers=1, levels=1, window=12, dropout=0.0)
    sizes = replace(sizes, crops=FRAMES, crop_px=SIDE, patch_px=4)
    options = TrainOptions(steps=100, batch_size=8, warmup=10, workers=0, learning_rate=5e-3)
    train(Twins(), sizes, replace(options, ema=0.9), tmp_path, {})
    head = load(str(tmp_path / "head"))

    def hit(shown: HeadExample) -> bool:
        said = answer(head, [shown])
        best = said.spans[0, 0, said.logits[0, 0].argmax()].mean().item()
        ((start_s, end_s),) = shown.questions[0].moments
        return start_s <= best <= end_s

    unseen = [Twins()[number] for number in range(10**6, 10**6 + 40)]
    assert np.mean([hit(each) for each in unseen]) > 0.85
    # With the crops of the other one each, all else being the same, the other one is found.
    assert np.mean([hit(replace(each, crops=each.crops[::-1].copy())) for each in unseen]) < 0.15


def test_a_run_that_stopped_goes_on_to_the_last_digit(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(step) -> None:
        if step.number == 5:
            raise StopError

    train(composites(), TINY, made_up.QUICK, tmp_path / "whole", {})
    with pytest.raises(StopError):
        train(composites(), TINY, made_up.QUICK, tmp_path / "parts", {}, stop)
    train(composites(), TINY, made_up.QUICK, tmp_path / "parts", {})
    for name in ("curve.jsonl", "state.safetensors", "head/model.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    head = load(str(tmp_path / "whole" / "head"))
    assert head.sizes == TINY
    config = tmp_path / "whole" / "head" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"patch_px": 2}))
    with pytest.raises(BackendError, match="does not load"):
        load(str(config.parent))
    # It is another head than one without.
    with pytest.raises(OptionError, match=r"head\.crops=3 "):
        train(composites(), made_up.TINY, made_up.QUICK, tmp_path / "whole", {})


def test_heads_without_crops_are_kept_as_ever(tmp_path: Path) -> None:
    Head.of(made_up.TINY).save_pretrained(tmp_path)
    assert not json.loads((tmp_path / "config.json").read_text()).keys() & {"crops", "crop_px"}
    assert load(str(tmp_path)).sizes == made_up.TINY


def test_what_has_no_crops_is_named() -> None:
    assert next(sheets(FILMS, CLIPS, 1)).look is not None
    assert next(sheets(FILMS, made_up.CLIPS, 1)).look is None
    with pytest.raises(DataError, match="video-11 came without"):
        Composites(FILMS, [CLIPS[0], made_up.CLIPS[1]], TINY, made_up.CALIBRATION)
    tokens = made_up.dense(4, 5)
    with pytest.raises(OptionError, match="needs the video's pictures"):
        localise(
            Head.of(TINY),
            tokens,
            [np.ones(D, np.float32)],
            [np.zeros(len(tokens), np.float32)],
            DecodeOptions(),
        )
    with pytest.raises(OptionError, match="multiple of patch_px"):
        HeadOptions(crops=4, crop_px=60)
    with pytest.raises(OptionError, match="positions must be tokens"):
        HeadOptions(crops=4, positions="frames")


def test_strips_are_of_the_box_and_spread_over_the_time() -> None:
    tokens = made_up.dense(15, 0)
    tokens = tokens.take(tokens.kinds == "action")
    boxes = np.tile(np.array([0.5, 0.5, 1, 1], np.float32), (len(tokens), 1))

    def pictures(each: Tokens, at: np.ndarray) -> list[bytes]:
        """Frames as grey as their time is late, in one corner."""
        files = []
        for time_s in each.start_s + at * (each.end_s - each.start_s):
            frame = np.zeros((40, 60, 3), np.uint8)
            frame[20:, 30:] = round(10 * time_s)
            files.append(io.BytesIO())
            Image.fromarray(frame).save(files[-1], "PNG")
        return [file.getvalue() for file in files]

    cut = strips(pictures, replace(tokens, boxes=boxes), FRAMES, SIDE)
    assert cut.shape == (2, FRAMES, SIDE, SIDE, 3)
    for strip, start_s in zip(cut, (0.0, 10.0), strict=True):
        for picture, time_s in zip(strip, start_s + np.array([0.5, 1.5, 2.5]), strict=True):
            assert (picture == round(10 * time_s)).all()
    assert strips(pictures, tokens.take([]), FRAMES, SIDE).shape == (0, FRAMES, SIDE, SIDE, 3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film, two described clips, a photo with a caption, and an index of the film."""
    root = tmp_path_factory.mktemp("data")
    (root / "videos").mkdir()
    (root / "encoder").mkdir()
    for i, seconds in enumerate((8.0, 2.0, 2.0)):
        write_film(root / "videos" / f"{i}.mp4", i, seconds, (160, 90), 10)
    needles = [{"id": f"{i}", "file": f"videos/{i}.mp4", "queries": ["a red ball"]} for i in (1, 2)]
    (root / "videos" / "needles.json").write_text(json.dumps({"needles": needles}))
    image = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    with tarfile.open(root / "encoder" / "photos.tar", "w") as tar:
        for name in ("a.webp", "a.json"):
            file = root / name
            if name.endswith(".json"):
                file.write_text(json.dumps({"captions": ["a ball"]}))
            else:
                Image.fromarray(image).save(file)
            tar.add(file, name)
    assert seal("index", root / "videos" / "0.mp4", "--store", root / "store").exit_code == 0
    return root


SMALL = [
    *("--set", "head.width=16", "--set", "head.heads=2", "--set", "head.fused=4"),
    *("--set", "head.crops=2", "--set", "head.crop_px=16"),
    *("--set", "train.steps=2", "--set", "train.batch_size=2", "--set", "train.warmup=1"),
    *("--set", "train.workers=0"),
]


def seal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_head_is_trained_and_finds(data: Path) -> None:
    """From videos to moments, by commands alone; a data set's videos do as well."""
    film, store = data / "videos" / "0.mp4", ("--store", data / "store")
    common = ("train", "ground", "--data", data, "--film", "videos/0.mp4", "--json", *SMALL)
    made = seal(*common, "--store", data / "dense", "-o", data / "run")
    assert made.exit_code == 0, made.stderr
    charades = data / "charades" / "annotations"
    charades.mkdir(parents=True)
    (charades / "charades_sta_train.txt").write_text("0 1.0 5.0##a red ball")
    (charades / "Charades_v1_train.csv").write_text("id,length\n0,8.0\n")
    common = ("train", "ground", "--dataset", "charades-sta", "--data", data / "charades", "--json")
    learnt = seal(*common, *store, *SMALL, "-o", data / "run2")
    assert learnt.exit_code == 0, learnt.stderr
    for result in (made, learnt):
        folder = json.loads(result.stdout)["head"]
        assert load(folder).crops is not None
        found = seal("find", film, "a red ball", "--head", folder, *store, "--json")
        assert found.exit_code == 0, found.stderr
        assert json.loads(found.stdout)["moments"]


def published(folder: Path, **changes: object) -> Path:
    """A tiny TimeSformer as the published ones are: with a classifier, of another width."""
    sizes = {"image_size": SIDE, "patch_size": 4, "num_frames": FRAMES, "hidden_size": 24}
    sizes |= {"num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 96}
    torch.manual_seed(7)
    config = TimesformerConfig(**sizes | changes)
    TimesformerForVideoClassification(config).save_pretrained(folder)
    return folder


def test_timesformer_starts_from_published_weights(tmp_path: Path) -> None:
    """Saved and loaded by the library's own path; a step of rate 0 leaves them as they were."""
    weights = published(tmp_path / "k400")
    options = started(replace(TINY, crop_weights=str(weights)))
    assert (options.crop_width, options.crop_layers, options.crop_heads) == (24, 3, 3)
    still = TrainOptions(steps=1, batch_size=2, warmup=0, workers=0, learning_rate=1e-12, ema=0)
    train(composites(options), options, still, tmp_path / "run", {})
    head = load(str(tmp_path / "run" / "head"))
    assert head.sizes == options
    want = TimesformerModel.from_pretrained(weights).state_dict()
    for name, weight in head.crops.model.state_dict().items():
        torch.testing.assert_close(weight, want[name], atol=1e-6, rtol=0)
    # The head has all it needs: the published weights are not looked for again.
    shutil.rmtree(weights)
    assert load(str(tmp_path / "run" / "head")).sizes == options


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    weights = published(tmp_path / "k400")
    with pytest.raises(OptionError, match=r"sees 3 pictures of 8 pixels .* set head\.crops=3"):
        started(replace(made_up.TINY, crop_weights=str(weights)))
    other = published(tmp_path / "joint", attention_type="joint_space_time")
    with pytest.raises(BackendError, match="is no TimeSformer with divided space-time attention"):
        started(replace(TINY, crop_weights=str(other)))
    narrow = published(tmp_path / "narrow", intermediate_size=48)
    with pytest.raises(BackendError, match="has 48 channels between its 24"):
        started(replace(TINY, crop_weights=str(narrow)))
    with pytest.raises(BackendError, match="no weights 'nobody/none'"):
        started(replace(TINY, crop_weights="nobody/none"))
    with pytest.raises(OptionError, match="crop_width is that of the network in crop_weights"):
        replace(TINY, crop_width=32)
    told = CliRunner().invoke(
        main,
        [
            *("train", "ground", "--data", str(tmp_path), "-o", str(tmp_path / "run")),
            *("--set", f"head.crop_weights={weights}"),
        ],
    )
    assert told.exit_code == 1
    assert "set head.crops=3, head.crop_px=8 and head.patch_px=4" in told.stderr
