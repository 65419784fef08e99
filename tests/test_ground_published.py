"""Published features in place of tokens: read, trained on and evaluated by commands alone."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from seal.cli import main
from seal.config import HeadOptions
from seal.errors import DataError, OptionError
from seal.ground.checkpoint import load
from seal.ground.data import Features, Sample, SplitPart
from seal.ground.data.families import FAMILIES, split_family
from seal.ground.published import PublishedExamples, timeline
from seal.ground.words import QueryWords
from seal.types import Span

RATE_HZ = 30 / 16
CLIP_S = 32.0
CLIPS = ("clip-a", "clip-b")
SMALL = [
    *("--set", "train.steps=2", "--set", "train.batch_size=2", "--set", "train.warmup=1"),
    *("--set", "train.workers=0"),
]
TINY = [*("--set", "head.width=16", "--set", "head.heads=2", "--set", "head.fused=4")]


def seal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def annotations(folder: Path) -> Path:
    """Two clips of one video with two queries each, as Ego4D publishes them."""
    clips = []
    for number, uid in enumerate(CLIPS):
        asked = [
            {"query": "where was it?", "clip_start_sec": 3.0, "clip_end_sec": 9.0},
            {"query": "what did I cut?", "clip_start_sec": 20.0, "clip_end_sec": 24.0},
        ]
        clips.append(
            {
                "clip_uid": uid,
                "video_start_sec": number * CLIP_S,
                "video_end_sec": (number + 1) * CLIP_S,
                "clip_start_sec": 0,
                "clip_end_sec": CLIP_S,
                "annotations": [{"annotation_uid": f"ann-{uid}", "language_queries": asked}],
            }
        )
    folder.mkdir(exist_ok=True)
    file = {"version": "1", "videos": [{"video_uid": "video", "clips": clips}]}
    for split in ("train", "val"):
        (folder / f"nlq_{split}.json").write_text(json.dumps(file))
    return folder


def rows(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, dimension)).astype(np.float32)


def slowfast(folder: Path) -> Path:
    """As Ego4D distributes it: whole videos, a tensor each, in a folder of the network's name."""
    path = folder / "slowfast8x8_r101_k400"
    path.mkdir()
    torch.save(torch.from_numpy(rows(round(2 * CLIP_S * RATE_HZ), 2304)), path / "video.pt")
    return path


def omnivore(folder: Path) -> Path:
    path = folder / "omnivore_video_swinl_fp16"
    path.mkdir()
    half = torch.from_numpy(rows(round(2 * CLIP_S * RATE_HZ), 1536)).half()
    torch.save(half, path / "video.pt")
    return path


def egovlp(folder: Path) -> Path:
    """Of clips, in a folder of arrays."""
    path = folder / "egovlp"
    path.mkdir()
    for seed, uid in enumerate(CLIPS):
        np.save(path / f"{uid}.npy", rows(round(CLIP_S * RATE_HZ), 256, seed))
    return path


def internvideo(folder: Path) -> Path:
    """Of clips, in one file."""
    path = folder / "internvideo.h5"
    with h5py.File(path, "w") as file:
        for seed, uid in enumerate(CLIPS):
            file[uid] = rows(round(CLIP_S * RATE_HZ), 2048, seed)
    return path


WRITERS = {
    "slowfast": slowfast,
    "omnivore": omnivore,
    "egovlp": egovlp,
    "internvideo": internvideo,
}


def words(folder: Path, dimension: int = 512) -> Path:
    """The words of each query, as arrays beside their end-of-text vector."""
    path = folder / "nlq_clip_token_features"
    path.mkdir()
    for uid in CLIPS:
        for index, count in enumerate((4, 5)):
            tokens, end = rows(count, dimension), rows(1, dimension)[0]
            name = path / f"ann-{uid}_{index}.npz"
            np.savez(name, token_features=tokens, eot_features=end)
    return path


def test_every_family_is_written_here_as_it_is_published() -> None:
    assert WRITERS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("has_words", [True, False])
def test_a_head_is_trained_and_evaluated_on_published_features(
    tmp_path: Path, family: str, has_words: bool
) -> None:
    data, path = annotations(tmp_path / "ego4d"), WRITERS[family](tmp_path)
    common = ["--dataset", "ego4d-nlq-v2", "--data", data, "--features", f"{family}:{path}"]
    common += ["--words", words(tmp_path)] if has_words else []
    trained = seal("train", "ground", *common, "-o", tmp_path / "run", *TINY, *SMALL, "--json")
    assert trained.exit_code == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert np.isfinite(result["loss"])
    head = load(result["head"])
    assert head.sizes.encoder == f"features:{family}"
    assert head.sizes.dimension in FAMILIES[family].dimensions
    assert head.sizes.query_dimension == (512 if has_words else 256)
    assert (head.sizes.words == "published") == has_words
    asked = seal("eval", "nlq", *common, "--head", result["head"], "--json")
    assert asked.exit_code == 0, asked.stderr
    evaluated = json.loads(asked.stdout)
    assert list(evaluated["methods"]) == ["head"]
    assert evaluated["methods"]["head"]["official"]["evaluated"] == 4
    assert evaluated["methods"]["head"]["missing"] == 0
    few = seal(
        *("eval", "nlq", *common, "--head", result["head"], "--set", "find.head_budget=8"),
        *("--log", tmp_path / "log.jsonl"),
    )
    assert few.exit_code == 0, few.stderr
    for line in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines()):
        times_s = np.array(line["predicted_times"])
        assert ((times_s >= 0) & (times_s <= CLIP_S)).all()


@pytest.mark.parametrize("family", WRITERS)
def test_a_dimension_that_differs_is_named(tmp_path: Path, family: str) -> None:
    """In all files, in one of them, and against the head."""
    data = annotations(tmp_path / "ego4d")
    folder = tmp_path / "wrong"
    folder.mkdir()
    for uid in CLIPS:
        np.save(folder / f"{uid}.npy", rows(60, 77))
    common = ["--dataset", "ego4d-nlq-v2", "--data", data]
    run = ("-o", tmp_path / "run", *TINY, *SMALL)
    wrong = seal("train", "ground", *common, "--features", f"{family}:{folder}", *run)
    assert wrong.exit_code == 1
    dimension = FAMILIES[family].dimensions[0]
    assert "have 77 dimensions; those of" in wrong.stderr
    assert str(dimension) in wrong.stderr
    np.save(folder / "clip-a.npy", rows(60, dimension))
    one = seal("train", "ground", *common, "--features", f"{family}:{folder}", *run)
    assert one.exit_code == 1
    assert f"clip-b.npy: the features have 77 dimensions, not {dimension}" in one.stderr
    np.save(folder / "clip-b.npy", rows(60, dimension))
    good = seal("train", "ground", *common, "--features", f"{family}:{folder}", *run)
    assert good.exit_code == 0, good.stderr
    np.save(folder / "clip-b.npy", rows(60, 77))
    asked = ("eval", "nlq", *common, "--features", f"{family}:{folder}")
    late = seal(*asked, "--head", tmp_path / "run" / "head")
    assert late.exit_code == 1
    assert f"clip-b.npy: the features have 77 dimensions, not {dimension}" in late.stderr


def test_words_of_another_kind_than_the_head_s_are_refused(tmp_path: Path) -> None:
    data, path = annotations(tmp_path / "ego4d"), egovlp(tmp_path)
    common = ["--dataset", "ego4d-nlq-v2", "--data", data, "--features", f"egovlp:{path}"]
    given = words(tmp_path)
    run = ("-o", tmp_path / "run", *TINY, *SMALL)
    trained = seal("train", "ground", *common, "--words", given, *run)
    assert trained.exit_code == 0, trained.stderr
    head = ("--head", tmp_path / "run" / "head")
    without = seal("eval", "nlq", *common, *head)
    assert without.exit_code == 1
    assert "was trained with words of published, these are of mini-" in without.stderr
    np.savez(given / "ann-clip-b_1.npz", token_features=rows(3, 11))
    other = seal("eval", "nlq", *common, "--words", given, *head)
    assert other.exit_code == 1
    assert "the words of query ann-clip-b_1 have 11 dimensions, not 512" in other.stderr
    (given / "ann-clip-b_1.npz").unlink()
    missing = seal("eval", "nlq", *common, "--words", given, *head)
    assert missing.exit_code == 1
    assert "no features of the words of query ann-clip-b_1" in missing.stderr


def test_features_need_a_data_set_a_head_and_a_known_family(tmp_path: Path) -> None:
    data, path = annotations(tmp_path / "ego4d"), egovlp(tmp_path)
    for text in ("i3d:x", "egovlp", "egovlp:"):
        with pytest.raises(OptionError, match="slowfast, omnivore, egovlp, internvideo"):
            split_family(text)
    common = ("--data", data, "--features", f"egovlp:{path}")
    alone = seal("train", "ground", *common, "-o", tmp_path / "run")
    assert alone.exit_code == 2
    assert "give --dataset" in alone.stderr
    headless = seal("eval", "nlq", *common)
    assert headless.exit_code == 2
    assert "--features are what --head looks at" in headless.stderr
    known = ("train", "ground", "--dataset", "ego4d-nlq-v2", "-o", tmp_path / "run")
    gone = seal(*known, *common[:3], "egovlp:/gone")
    assert gone.exit_code == 1
    assert "there are no features at /gone" in gone.stderr
    for each in path.iterdir():
        each.unlink()
    none = seal(*known, *common)
    assert none.exit_code == 1
    assert "none of the 4 queries has times and features of its video" in none.stderr


def sample(index: int, **changes: Any) -> Sample:
    values = {
        "video": CLIPS[0],
        "duration_s": CLIP_S,
        "query": "where was it?",
        "spans": (Span(3, 9),),
        "annotation": f"ann-{CLIPS[0]}",
        "index": index,
        "split": "train",
    }
    return Sample(**values | changes)


def test_rows_are_positions_of_equal_stretches_of_the_clip(tmp_path: Path) -> None:
    features = Features(slowfast(tmp_path), 2304, RATE_HZ)
    part = SplitPart("video", Span(CLIP_S, 2 * CLIP_S))
    line = timeline(sample(0, part_of=part), features)
    whole = Features(features.path, 2304).of(sample(0, video="video"))
    np.testing.assert_array_equal(line.embeddings, whole[60:])
    assert line.spans[0].tolist() == [0, CLIP_S / 60]
    assert line.spans[-1, 1] == CLIP_S


def test_queries_of_one_video_share_an_example(tmp_path: Path) -> None:
    features, asked = Features(egovlp(tmp_path), 256), QueryWords(Features(words(tmp_path)))
    options = HeadOptions(dimension=256, query_dimension=512, positions="frames", budget=20)
    samples = [sample(0), sample(1, spans=(Span(20, 24),)), sample(2, video="gone")]
    examples = PublishedExamples(samples, features, asked, options)
    assert examples.missing == 1
    for number in range(4):
        one, again = examples[number], examples[number]
        assert 4 <= len(one.video) <= 20
        assert (one.video.spans == again.video.spans).all()
        assert sorted(len(question.query) for question in one.questions) == [4, 5]
        truth = {len(each.query): each.moments.tolist() for each in one.questions}
        assert truth == {4: [[3, 9]], 5: [[20, 24]]}
    with pytest.raises(DataError, match="none of the 1 queries"):
        PublishedExamples(samples[2:], features, asked, options)
