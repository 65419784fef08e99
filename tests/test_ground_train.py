"""Training of the localisation head: composites are exact, runs go on where they were killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from filmed import write_film
from seal.cli import main
from seal.config import DecodeOptions, HeadOptions, TrainOptions
from seal.encode.calibration import Calibration
from seal.errors import BackendError, DataError, OptionError
from seal.evaluate.composites import Material, gather, hits, mean_iou, measure
from seal.ground import checkpoint
from seal.ground.batches import collate
from seal.ground.checkpoint import load
from seal.ground.composites import (
    GRID_S,
    ClipLibrary,
    Composites,
    Footage,
    Stretch,
    sheets,
    spliced,
)
from seal.ground.examples import (
    SCENE,
    HeadQuestion,
    Timeline,
    chosen,
    evenly,
    example,
    lent,
    varied,
)
from seal.ground.localise import Localiser, localise
from seal.ground.model import Head
from seal.ground.train import train
from seal.opening import open_library
from seal.store import Store
from seal.training.state import State
from seal.types import Moment, Span, Tokens

D = 8
TINY = HeadOptions(dimension=D, width=16, heads=2, layers=1, levels=2, window=4, fused=4, budget=24)
QUICK = TrainOptions(steps=6, batch_size=2, warmup=2, workers=0, save_every=2)


def dense(seconds: float, seed: int, offset_s: float = 0.0) -> Tokens:
    """Scenes at 5 Hz, two objects at 2 Hz, an action for every ten seconds."""
    rng = np.random.default_rng(seed)
    scenes, keys = np.arange(0, seconds, 0.2), np.arange(0, seconds, 0.5)
    actions = np.arange(0, seconds - 3, 10.0)
    start = np.concatenate([scenes, np.repeat(keys, 2), actions]) + offset_s
    length = np.repeat([0.04, 0.04, 3.0], [len(scenes), 2 * len(keys), len(actions)])
    kinds = np.repeat(["scene", "object", "action"], [len(scenes), 2 * len(keys), len(actions)])
    n = len(kinds)
    # Footage looks like itself.
    unit = rng.normal(0, 1, D) + rng.normal(0, 0.3, (n, D))
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    return Tokens.of(
        kinds,
        np.rint(np.stack([start, start + length], 1) * 1000),
        Fraction(1, 1000),
        unit[:, None],
        ids=[f"{kind}-{i}" for i, kind in enumerate(kinds)],
        video_id=f"video-{seed}",
    )


def footage(seconds: float, seed: int, offset_s: float = 0.0, texts: int = 0) -> Footage:
    tokens = dense(seconds, seed, offset_s)
    queries = tokens.embeddings[:texts]
    return Footage(f"video-{seed}", tokens, Span(offset_s, offset_s + seconds), queries)


FILMS = (footage(60, 0), footage(40, 1, offset_s=7.0))
CLIPS = tuple(footage(4 + i, 10 + i, offset_s=i, texts=2 if i % 2 else 0) for i in range(4))
CALIBRATION = Calibration(
    texts=np.zeros(D, np.float32),
    pictures=np.zeros(D, np.float32),
    covariance=np.eye(D, dtype=np.float32),
    general=np.zeros((1, D), np.float32),
    slope=1.0,
    bias=0.0,
    peak=0.0,
    named=0.0,
    absent=0.0,
)


def composites(options: HeadOptions = TINY, seed: int = 0) -> Composites:
    return Composites(FILMS, CLIPS, options, CALIBRATION, seed)


def test_stretches_follow_each_other_at_exact_times() -> None:
    library = ClipLibrary([*FILMS, *CLIPS])
    stretches = [
        Stretch(0, Span(0.0, 10.3)),
        Stretch(3, Span(1.0, 4.5)),
        Stretch(1, Span(7.0, 20.0)),
    ]
    tokens, spans = library.compose(stretches, phase_s=0.7)
    assert spans == [Span(0, 10.3), Span(10.3, 13.8), Span(13.8, 26.8)]
    line = Timeline.of(tokens)
    # Scenes and objects lie on one grid over all, at the first dense picture after each tick.
    for kind, step_s in ((0, 0.2), (1, 0.5)):
        times_s = np.unique(line.spans[line.kinds == kind, 0])
        assert ((times_s - 0.7 + 1e-6) % GRID_S < step_s).all()
        # Where a stretch ends right after a tick, it may have no picture any more.
        assert len(np.arange(0.7, 26.8, GRID_S)) - len(times_s) <= 1
    # Tracklets end where their stretch does; what is left of a second, too short, is dropped.
    actions = line.spans[line.kinds == 2]
    assert actions.tolist() == [[0, 3], [10.3, 13.3], [13.8, 16.8], [23.8, 26.8]]
    # Every token is one of the stretch that it is shown in.
    for stretch, span in zip(stretches, spans, strict=True):
        inside = (line.spans.mean(1) > span.start_s) & (line.spans.mean(1) < span.end_s)
        assert set(tokens.video_ids[inside]) == {f"video-{[0, 1, 10, 11][stretch.source]}"}


def test_frames_are_all_pictures_of_the_dense_index() -> None:
    library = ClipLibrary([*FILMS, *CLIPS])
    tokens, _ = library.compose([Stretch(0, Span(2.0, 4.0)), Stretch(2, Span(0.0, 3.0))], 0.3, True)
    assert set(tokens.kinds) == {"scene"}
    assert tokens.start_s == pytest.approx(np.arange(0, 5, 0.2))


def test_splicing_keeps_all_hay_and_every_clip() -> None:
    rng = np.random.default_rng(0)
    hay = [Stretch(0, Span(5.0, 9.0)), Stretch(1, Span(7.0, 8.0))]
    clips = [Stretch(2, Span(0.0, 2.0)), Stretch(3, Span(1.0, 3.5)), Stretch(4, Span(2, 3))]
    for _ in range(50):
        stretches, places = spliced(hay, clips, rng)
        assert [stretches[place] for place in places] == clips
        rest = [each for each in stretches if each.source < 2]
        assert sum(each.span.duration_s for each in rest) == pytest.approx(5.0)
        assert [each.source for each in rest] == sorted(each.source for each in rest)


@pytest.mark.parametrize("positions", ["tokens", "frames"])
def test_an_example_is_always_the_same_and_within_its_budget(positions: str) -> None:
    options = HeadOptions(dimension=D, positions=positions, budget=24)
    for number in range(8):
        one, again = composites(options)[number], composites(options)[number]
        other = composites(options, seed=1)[number]
        assert (one.video.spans == again.video.spans).all()
        assert (one.questions[0].relevance == again.questions[0].relevance).all()
        assert (
            one.video.spans.shape != other.video.spans.shape
            or (one.video.spans != other.video.spans).any()
        )
        assert 4 <= len(one.video) <= 24
        assert (np.diff(one.video.spans.mean(1)) >= 0).all()
        if positions == "frames":
            assert (one.video.kinds == SCENE).all()
        for question in one.questions:
            ((start_s, end_s),) = question.moments
            assert 1.5 <= end_s - start_s <= 10
            assert len(question.relevance) == len(one.video)


def test_a_sheet_has_every_clip_once_at_the_time_it_says() -> None:
    for sheet in sheets(FILMS, CLIPS, 3):
        for clip, span in zip(CLIPS, sheet.spans, strict=True):
            for tokens in (sheet.tokens, sheet.frames):
                mine = tokens.video_ids == clip.tokens.video_ids[0]
                assert mine.any()
                assert tokens.start_s[mine].min() >= span.start_s - 1e-6
                assert tokens.end_s[mine].max() <= span.end_s + 1e-6
            assert span.duration_s == pytest.approx(min(10, clip.span.duration_s))


def test_the_budget_goes_to_the_relevant_and_some_to_everything() -> None:
    line = Timeline.of(dense(120, 5))
    relevance = np.zeros(len(line), np.float32)
    relevance[np.abs(line.spans.mean(1) - 50) < 1] = 0.5
    rows = chosen(line, relevance[None], HeadOptions(dimension=D, budget=60))
    times_s = line.spans[rows].mean(1)
    assert len(set(rows.tolist())) == 60
    assert (np.abs(times_s - 50) < 8).sum() >= 40
    assert times_s.min() < 10
    assert times_s.max() > 110


def test_pictures_are_instants_whatever_the_rate_of_their_file() -> None:
    line = Timeline.of(dense(20, 5))
    lasting = line.spans[:, 1] - line.spans[:, 0]
    assert (lasting[line.kinds != 2] == 0).all()
    assert lasting[line.kinds == 2] == pytest.approx(3)


def test_lent_relevance_is_that_of_the_slow_reference() -> None:
    rng = np.random.default_rng(0)
    times_s, scores = rng.uniform(0, 60, 40), rng.normal(0, 0.2, 40).astype(np.float32)
    want = (scores[None] - 0.03 * np.abs(times_s[:, None] - times_s[None])).max(1)
    assert lent(times_s, scores) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("count", [1, 5, 24, 39, 40, 99])
def test_even_frames_are_different_ones_and_as_many_as_asked_for(count: int) -> None:
    rng = np.random.default_rng(count)
    # Half of the frames crowd into one second.
    times_s = np.concatenate([rng.uniform(0, 60, 20), rng.uniform(30, 31, 20)])
    rows = evenly(np.arange(40), times_s, count)
    assert len(set(rows.tolist())) == len(rows) == min(count, 40)
    assert (np.diff(times_s[rows]) >= 0).all()
    regular = evenly(np.arange(40), np.arange(40.0), count)
    if count < 40:
        want = (np.arange(count) + 0.5) * 39 / count
        assert np.abs(regular - want).max() <= 0.5


def test_a_head_over_frames_does_not_look_at_fewer_silently() -> None:
    line = Timeline.of(dense(30, 5))
    frames = HeadOptions(dimension=D, positions="frames", budget=150)
    nothing = np.zeros((1, len(line)), np.float32)
    assert len(chosen(line, nothing, frames)) == 150
    with pytest.raises(OptionError, match=r"looks at 151 .* has 150 .* scenes\.count=151"):
        chosen(line, nothing, replace(frames, budget=151))
    # A head over tokens sees all of them: there is nothing more to see.
    assert len(chosen(line, nothing, HeadOptions(dimension=D, budget=10**4))) == len(line)


def test_one_head_is_trained_for_all_budgets_down_to_a_fifth() -> None:
    rng = np.random.default_rng(0)
    budgets = [varied(HeadOptions(budget=450), rng).budget for _ in range(300)]
    assert 90 <= min(budgets) < 100
    assert 430 < max(budgets) <= 450
    assert np.median(budgets) == pytest.approx((90 * 450) ** 0.5, rel=0.15)
    assert varied(HeadOptions(budget=1), rng).budget == 1


def asked(line: Timeline, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """So many queries about a video, and their relevance."""
    queries = [line.embeddings[7 * i] for i in range(count)]
    return queries, [line.embeddings @ query for query in queries]


@pytest.mark.parametrize(
    ("sizes", "encodings"),
    [
        (replace(TINY, positions="frames"), 1),
        (replace(TINY, budget=10**4), 1),
        (replace(TINY, budget=24), 12),
    ],
)
def test_a_video_is_encoded_once_for_all_that_look_at_the_same(
    sizes: HeadOptions, encodings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    head, tokens = Head.of(sizes).eval(), dense(40, 3)
    queries, relevance = asked(Timeline.of(tokens), 12)
    one_by_one = [
        localise(head, tokens, [query], [scores], DecodeOptions())[0]
        for query, scores in zip(queries, relevance, strict=True)
    ]
    encode, calls = head.encode, []
    monkeypatch.setattr(head, "encode", lambda video: calls.append(1) or encode(video))
    localiser = Localiser.of(head, tokens)
    assert localiser(queries, relevance, DecodeOptions()) == one_by_one
    assert len(calls) == encodings
    assert localiser(queries, relevance, DecodeOptions()) == one_by_one
    assert len(calls) == encodings


def test_examples_side_by_side_are_filled_up() -> None:
    line = Timeline.of(dense(4, 5))
    line = line.take(np.arange(5))
    question = HeadQuestion(
        np.ones((1, D), np.float32), np.ones(5, np.float32), np.array([[1.0, 2.0]])
    )
    two = example(line, [question, question], TINY)
    one = example(
        line.take(np.arange(3)), [HeadQuestion(question.query, np.ones(3, np.float32))], TINY
    )
    batch = collate([two, one])
    assert batch.video.real.sum(1).tolist() == [5, 3]
    assert batch.queries.words[:, :, 0].tolist() == [[True, True], [True, False]]
    assert batch.truth[0, :, 0].tolist() == [[1, 2], [1, 2]]
    assert batch.truth[1].isnan().all()


def test_what_cannot_be_asked_is_named() -> None:
    with pytest.raises(DataError, match="at least one film and one clip"):
        Composites(FILMS, (), TINY, CALIBRATION)
    line = Timeline.of(dense(4, 5))
    objects = line.take(np.flatnonzero(line.kinds == 1))
    with pytest.raises(OptionError, match="no scene tokens"):
        chosen(objects, np.zeros((1, len(objects)), np.float32), TINY)


def curve(folder: Path) -> list[str]:
    return (folder / "curve.jsonl").read_text().splitlines()


def test_a_run_leaves_a_head_a_curve_and_what_it_was_made_with(tmp_path: Path) -> None:
    steps = []
    figures = train(composites(), TINY, QUICK, tmp_path, {"film": "abc"}, steps.append)
    assert [step.number for step in steps] == list(range(1, 7))
    assert len(curve(tmp_path)) == 6
    assert json.loads(curve(tmp_path)[-1])["loss"] == figures["loss"] == steps[-1].loss
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["data"] == {"film": "abc"}
    assert manifest["head"]["budget"] == 24
    assert manifest["train"]["seed"] == 0
    assert manifest["made_with"]["versions"]["torch"] == torch.__version__
    assert manifest["finished"]["seconds"] > 0
    assert list(tmp_path.glob("events*"))
    head = load(str(tmp_path / "head"))
    assert head.sizes == TINY
    # Started again it has nothing to do, and says the same.
    again = train(composites(), TINY, QUICK, tmp_path, {"film": "abc"})
    assert again["loss"] == figures["loss"]


def test_the_loss_falls(tmp_path: Path) -> None:
    options = TrainOptions(steps=60, batch_size=4, warmup=5, workers=0, learning_rate=5e-3)
    train(composites(), TINY, options, tmp_path, {})
    losses = [json.loads(line)["loss"] for line in curve(tmp_path)]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:10])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_stopped_goes_on_to_the_last_digit(tmp_path: Path, accumulate: int) -> None:
    options = TrainOptions(
        steps=6, batch_size=2, warmup=2, workers=0, save_every=2, accumulate=accumulate
    )
    train(composites(), TINY, options, tmp_path / "whole", {})

    class StopError(Exception):
        pass

    def stop(step) -> None:
        if step.number == 5:
            raise StopError

    with pytest.raises(StopError):
        train(composites(), TINY, options, tmp_path / "parts", {}, stop)
    train(composites(), TINY, options, tmp_path / "parts", {})
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    for name in ("state.safetensors", "head/model.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path) -> None:
    for name in ("head.new", "head.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    train(composites(), TINY, QUICK, tmp_path, {})
    assert {path.name for path in (tmp_path / "head").iterdir()} == {
        "config.json",
        "model.safetensors",
    }
    assert not list(tmp_path.glob("head.*"))


BESIDE = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

KILLED = """
import sys, time
import test_ground_train as t
from seal.config import TrainOptions

def slow(step):
    print(step.number, flush=True)
    time.sleep(float(sys.argv[2]))

if __name__ == "__main__":
    options = TrainOptions(steps=8, batch_size=2, warmup=2, workers=int(sys.argv[3]), save_every=2)
    t.train(t.composites(), t.TINY, options, sys.argv[1], {}, slow)
"""


def test_a_killed_run_goes_on_to_the_last_digit(tmp_path: Path) -> None:
    """SIGKILL in the middle, with a worker process that makes examples; then on without one."""
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    env = os.environ | {"PYTHONPATH": BESIDE}
    command = [sys.executable, str(script), str(tmp_path / "killed"), "0.3", "1"]
    run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, start_new_session=True)
    with run:
        assert run.stdout is not None
        for line in run.stdout:
            if int(line) == 5:
                break
        os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    options = TrainOptions(steps=8, batch_size=2, warmup=2, workers=0, save_every=2)
    for folder in ("killed", "whole"):
        train(composites(), TINY, options, tmp_path / folder, {})
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert len(curve(tmp_path / "whole")) == 8
    for name in ("state.safetensors", "head/model.safetensors"):
        killed, whole = (tmp_path / place / name for place in ("killed", "whole"))
        assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("ema", [0.0, 0.6])
def test_the_result_has_the_running_mean_of_trained_weights(ema: float) -> None:
    network = torch.nn.Linear(3, 2)
    network.bias.requires_grad_(False)
    state = State(network, torch.optim.AdamW([network.weight]), ema)
    mean = network.weight.detach().numpy().astype(np.float64)
    for step in range(20):
        with torch.no_grad():
            network.weight += torch.randn(2, 3)
        state.follow(step)
        decay = min(ema, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * network.weight.detach().numpy()
    trained = network.weight.detach().clone()
    with state.averaged():
        np.testing.assert_allclose(network.weight.detach().numpy(), mean, rtol=1e-5, atol=1e-6)
    assert torch.equal(network.weight, trained)
    assert state.tensors(keep=True).keys() == {
        "weights.weight",
        *(["average.weight"] if ema else []),
    }


def test_the_warm_up_shrinks_with_the_steps_unless_it_is_set() -> None:
    assert [TrainOptions(steps=steps).warmup_steps for steps in (2000, 400, 60, 1)] == [
        100, 100, 15, 0,
    ]  # fmt: skip
    assert TrainOptions(steps=60, warmup=60).warmup_steps == 60
    assert TrainOptions().deciding()["warmup"] == 100


def test_others_may_read_a_head_where_the_umask_lets_them(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        train(composites(), TINY, QUICK, tmp_path, {})
    finally:
        os.umask(mask)
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "head").iterdir()}
    assert modes == {"config.json": 0o644, "model.safetensors": 0o644}


def test_other_options_or_a_damaged_state_are_named(tmp_path: Path) -> None:
    train(composites(), TINY, QUICK, tmp_path, {})
    with pytest.raises(OptionError, match=r"a run with train\.steps=6 \(here 7\): go on"):
        train(composites(), TINY, replace(QUICK, steps=7), tmp_path, {})
    with pytest.raises(OptionError, match=r'a run with data\.film=null \(here "other"\): go on'):
        train(composites(), TINY, QUICK, tmp_path, {"film": "other"})
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(BackendError, match="damaged"):
        train(composites(), TINY, QUICK, tmp_path, {})
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(DataError, match="not that of a run"):
        train(composites(), TINY, QUICK, tmp_path, {})
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        train(composites(), TINY, QUICK, tmp_path, {})


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="file is a file; a run is a folder"):
        train(composites(), TINY, QUICK, tmp_path / "file", {})
    with pytest.raises(DataError, match="cannot be written: Not a directory"):
        train(composites(), TINY, QUICK, tmp_path / "file" / "run", {})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film and three described clips, and an index of the film."""
    root = tmp_path_factory.mktemp("data")
    (root / "videos").mkdir()
    write_film(root / "videos" / "film.mp4", 0, 20.0, (160, 90), 10)
    needles = []
    for i in range(3):
        write_film(root / "videos" / f"clip{i}.mp4", i + 1, 3.0, (160, 90), 10)
        file = f"videos/clip{i}.mp4"
        needles.append({"id": f"clip{i}", "file": file, "queries": ["a red ball", "a blue car"]})
    (root / "videos" / "needles.json").write_text(json.dumps({"needles": needles}))
    return root


SMALL = [
    *("--set", "head.width=16", "--set", "head.heads=2", "--set", "head.fused=4"),
    *("--set", "train.steps=2", "--set", "train.batch_size=2", "--set", "train.warmup=1"),
    *("--set", "train.workers=0"),
]


def seal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_head_is_trained_and_finds(data: Path) -> None:
    """From videos to moments, by commands alone."""
    run = data / "run"
    common = ("train", "ground", "--data", data, "--film", "videos/film.mp4", "-o", run)
    trained = seal(*common, "--store", data / "dense", *SMALL, "--json")
    assert trained.exit_code == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result.keys() == {"head", "steps", "loss", "waited"}
    store = ("--store", data / "store")
    assert seal("index", data / "videos" / "film.mp4", *store).exit_code == 0
    film = data / "videos" / "film.mp4"
    found = seal("find", film, "a red ball", "--head", result["head"], "--top", 3, *store, "--json")
    assert found.exit_code == 0, found.stderr
    plain = seal("find", film, "a red ball", *store, "--json")
    moments = json.loads(found.stdout)["moments"]
    assert json.loads(found.stdout).keys() == json.loads(plain.stdout).keys()
    assert len(moments) == 3
    for moment in moments:
        assert moment.keys() == {"video", "start_s", "end_s", "score", "token"}
        assert 0 <= moment["start_s"] < moment["end_s"] <= 20.1
    scores = [moment["score"] for moment in moments]
    assert scores == sorted(scores, reverse=True)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["head"]["encoder"].startswith("mini-")
    assert str(film) in manifest["data"]
    annotated = {"clip_uid": "film", "annotations": [{"annotation_uid": "a"}]}
    annotated["annotations"][0]["language_queries"] = [
        {"query": "a red ball", "clip_start_sec": 0.0, "clip_end_sec": 20.0}
    ]
    file = {"version": "1", "videos": [{"video_uid": "v", "clips": [annotated]}]}
    (data / "nlq.json").write_text(json.dumps(file))
    asked = ("eval", "nlq", "--annotations", data / "nlq.json", "--head", result["head"], *store)
    evaluated = seal(*asked, "--log", data / "log.jsonl", "--submission", data / "s.json", "--json")
    assert evaluated.exit_code == 0, evaluated.stderr
    methods = json.loads(evaluated.stdout)["methods"]
    assert list(methods) == ["head", "find"]
    assert "first_ahead" in methods["find"]
    lines = [json.loads(line) for line in (data / "log.jsonl").read_text().splitlines()]
    spans = [[moment["start_s"], moment["end_s"]] for moment in moments]
    np.testing.assert_allclose(lines[0]["predicted_times"][:3], spans)
    assert lines[1]["predicted_times"] != lines[0]["predicted_times"]
    submitted = json.loads((data / "s.json").read_text())["results"][0]["predicted_times"]
    np.testing.assert_allclose(submitted[:3], spans)
    # A hundred queries load the head once, and encode the video once where all see all of it.
    with pytest.MonkeyPatch.context() as patch:
        calls, loads = [], []
        encode, network = Head.encode, checkpoint.network
        patch.setattr(Head, "encode", lambda *given: calls.append(1) or encode(*given))
        patch.setattr(checkpoint, "network", lambda sizes: loads.append(1) or network(sizes))
        video = open_library(data / "store").video(film)
        few = {"find.head_budget": 4, "find.device": "cpu"}
        for number in range(100):
            video.find(f"a red ball {number}", head=result["head"])
        assert (len(calls), len(loads)) == (1, 0)
        assert video.find("a red ball", head=result["head"], top=3).moments == [
            Moment(
                Span(each["start_s"], each["end_s"]), each["score"], each["video"], each["token"]
            )
            for each in moments
        ]
        other = video.find("a red ball", head=result["head"], top=3, options=few).moments
        assert len(calls) == 2
        assert [each["start_s"] for each in moments] != [each.span.start_s for each in other]
        with pytest.raises(BackendError, match="device 'abacus' cannot be used"):
            video.find("x", head=result["head"], options={"find.device": "abacus"})
    # A head of another encoder is none for this video.
    config = Path(result["head"]) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"encoder": "clip-1"}))
    other = seal("find", film, "a red ball", "--head", result["head"], *store)
    assert other.exit_code == 1
    assert "was trained with tokens of clip-1" in other.stderr
    none = seal("find", film, "a red ball", "--set", "find.device=cpu", *store)
    assert none.exit_code == 1
    assert "find.device=cpu has no effect without a trained head" in none.stderr
    missing = seal("find", film, "a red ball", "--head", data / "nowhere", *store)
    assert missing.exit_code == 1
    assert "nowhere" in missing.stderr


def test_it_learns_from_a_data_set_of_indexed_videos(data: Path) -> None:
    folder = data / "charades"
    (folder / "annotations").mkdir(parents=True)
    lines = ["film 1.0 5.0##a red ball", "film 9.0 12.0##a blue car", "other 1.0 2.0##a dog"]
    for split in ("train", "test"):
        (folder / "annotations" / f"charades_sta_{split}.txt").write_text("\n".join(lines))
        table = "id,length\nfilm,20.0\nother,9.0\n"
        (folder / "annotations" / f"Charades_v1_{split}.csv").write_text(table)
    store = ("--store", data / "store2")
    common = ("train", "ground", "--dataset", "charades-sta", "--data", folder, "-o", data / "run2")
    empty = seal(*common, *store, *SMALL)
    assert empty.exit_code == 1
    assert "run seal index" in empty.stderr
    assert seal("index", data / "videos" / "film.mp4", *store).exit_code == 0
    frames = seal(*common, *store, *SMALL, "--set", "head.positions=frames")
    assert frames.exit_code == 1
    assert "1 of 1 videos have fewer scene tokens than head.budget=450" in frames.stderr
    trained = seal(*common, *store, *SMALL)
    assert trained.exit_code == 0, trained.stderr
    assert "1 queries left out: video not indexed" in trained.stderr
    manifest = json.loads((data / "run2" / "manifest.json").read_text())
    assert manifest["data"]["dataset"] == "charades-sta"


def test_wrong_settings_of_training_are_named(data: Path) -> None:
    common = ("train", "ground", "--data", data, "--store", data / "s", "-o", data / "x")
    wrong = seal(*common, "--set", "head.depth=3")
    assert wrong.exit_code == 1
    assert "unknown option 'head.depth'; valid: head.budget" in wrong.stderr
    few = seal(*common, "--film", "*.avi")
    assert few.exit_code == 1
    assert "has 3 described clips and 0 films; needed are at least two clips" in few.stderr
    assert few.stderr.rstrip().endswith("and a film: *.avi")
    for pattern in ("", "/films/*"):
        wrong = seal(*common, "--film", pattern)
        assert wrong.exit_code == 1
        assert "films are given by patterns below" in wrong.stderr


def test_unseen_clips_are_measured_one_by_one() -> None:
    described = tuple(clip for clip in CLIPS if len(clip.queries))
    material = Material(FILMS, CLIPS, (), FILMS, described, None, {})

    def perfect(sheet, asked):
        return [[Moment(sheet.spans[described.index(asked)], 1.0)] for _ in asked.queries]

    def blind(sheet, asked):
        return [[] for _ in asked.queries]

    def second(sheet, asked):
        return [[Moment(Span(-2.0, -1.0), 1.0), *best] for best in perfect(sheet, asked)]

    finders = {"perfect": perfect, "blind": blind, "second": second}
    found = measure(material, finders, count=3)
    assert [len(of_clip) for of_clip in found["perfect"]] == [6, 6]
    assert hits(found["perfect"], 0.5) == mean_iou(found["perfect"]) == [1, 1]
    assert hits(found["blind"], 0.5, top=5) == mean_iou(found["blind"]) == [0, 0]
    assert hits(found["second"], 0.5) == mean_iou(found["second"]) == [0, 0]
    assert hits(found["second"], 0.5, top=2) == [1, 1]
    other = measure(material, {"perfect": perfect}, count=3, mismatched=True)
    assert hits(other["perfect"], 0.5) == [0, 0]


def test_training_and_test_material_share_no_clip_and_no_scene(data: Path) -> None:
    store = Store(data / "dense", create=True)
    first, second = (
        gather(data, store, fold=fold, films=["videos/film.mp4"], jobs=1) for fold in (0, 1)
    )
    assert [clip.id for clip in first.clips] == ["clip1", "clip2"]
    assert [clip.id for clip in first.test_clips] == ["clip0"]
    assert [clip.id for clip in second.clips] == ["clip0", "clip2"]
    assert first.films[0].span.end_s == first.test_films[0].span.start_s
    assert first.checksums.keys() == second.checksums.keys()
    assert len(first.checksums) == 4


def test_a_folder_of_the_user_s_clips_is_enough(data: Path, tmp_path: Path) -> None:
    """Films and undescribed clips are found by their length, descriptions in folders."""
    empty = seal("train", "ground", "--data", tmp_path, "-o", tmp_path / "run")
    assert empty.exit_code == 1
    assert "0 described clips and 0 films" in empty.stderr
    assert '"queries": ["a dog on grass"]' in empty.stderr
    assert "a video of 60 s or more that is not described" in empty.stderr
    for i in range(3):
        shutil.copy(data / "videos" / f"clip{i}.mp4", tmp_path / f"mine{i}.mp4")
    needles = [{"id": f"m{i}", "file": f"mine{i}.mp4", "queries": ["a ball"]} for i in range(2)]
    (tmp_path / "needles.json").write_text(json.dumps({"needles": needles}))
    more = tmp_path / "more"
    shutil.copytree(data / "videos", more / "videos")
    write_film(tmp_path / "long.mp4", 9, 62.0, (64, 36), 5)
    found = gather(tmp_path, Store(tmp_path / "dense", create=True), jobs=1)
    assert [film.span.end_s for film in found.films] == [pytest.approx(31, abs=0.2)]
    assert [clip.id for clip in found.test_clips] == ["m0", "clip1"]
    assert [clip.id for clip in found.clips] == ["m1", "clip0", "clip2", "mine2", "film"]


def test_two_processes_train_one_head(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    env = os.environ | {"PYTHONPATH": BESIDE, "ACCELERATE_USE_CPU": "true"}
    both = tmp_path / "both"
    subprocess.run([*command, str(script), str(both), "0", "0"], env=env, check=True, timeout=240)
    # A batch each is a batch of both: the first loss is the mean of what one process sees in two.
    twice = TrainOptions(steps=8, batch_size=2, warmup=2, workers=0, accumulate=2)
    train(composites(), TINY, twice, tmp_path / "one", {})
    first, want = (json.loads(curve(run)[0]) for run in (both, tmp_path / "one"))
    assert len(curve(both)) == 8
    assert first["span"] == pytest.approx(want["span"], rel=0.2)
    assert load(str(both / "head")).sizes == TINY
