"""The baseline SnAG: it computes what its publication says, learns, and stands beside the head."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import test_ground_train as made_up
from seal.config import DecodeOptions, SnagOptions, TrainOptions
from seal.errors import BackendError, OptionError
from seal.ground.checkpoint import load
from seal.ground.composites import Composites, Footage
from seal.ground.localise import Localiser
from seal.ground.losses import diou
from seal.ground.snag import Attention, Snag, assign_points, snag_loss
from seal.ground.train import train
from test_ground_contract import SIZES, answer, uniform

TINY = SIZES["snag"]


def test_kinds_boxes_and_relevance_are_not_looked_at_but_words_and_their_order_are() -> None:
    network = Snag.of(TINY)
    video, queries = uniform(21)
    plain = answer(network, video, queries)
    other = video._replace(kinds=1 - video.kinds.clamp(max=1), boxes=video.boxes / 2)
    blind = answer(network, other, queries._replace(relevance=-queries.relevance))
    assert torch.equal(blind.logits, plain.logits)
    swapped = answer(network, video, queries._replace(embeddings=queries.embeddings.flip(2)))
    assert (swapped.logits - plain.logits).abs().max() > 1e-4


def test_windowed_attention_is_attention_with_a_mask() -> None:
    torch.manual_seed(0)
    n, size = 14, 4
    layer, wide = Attention(TINY, size).eval(), Attention(TINY).eval()
    wide.load_state_dict(layer.state_dict())
    x, real = torch.randn(2, n, TINY.width), torch.ones(2, n).bool()
    got = layer(x, real)
    block = torch.arange(n) // size
    for i in range(n):
        near = (block - block[i]).abs() <= 1
        alone = wide(x[:, near], real[:, near])
        torch.testing.assert_close(got[:, i], alone[:, int(near[:i].sum())], atol=1e-5, rtol=1e-5)


def test_points_learn_moments_of_their_level_near_the_middle() -> None:
    """Against the rule, point by point."""
    network = Snag.of(TINY)
    video, queries = uniform(32, b=1, m=3)
    found = answer(network, video, queries)
    truth = torch.tensor([[2.0, 5.0], [1.0, 14.0], [0.0, 31.0]])[None, :, None]
    positive, moment = assign_points(found, truth)
    for q, (start, end) in enumerate(truth[0, :, 0].tolist()):
        for p, (at, level) in enumerate(
            zip(found.at_s[0].tolist(), found.level.tolist(), strict=True)
        ):
            stride = 2.0**level
            farther = max(at - start, end - at)
            low = 0.0 if level == 0 else 1.0 * stride
            high = np.inf if level == 2 else 4.0 * stride
            inside = start <= at <= end and abs(at - (start + end) / 2) <= 1.5 * stride
            assert positive[0, q, p] == (inside and low <= farther < high)
        assert (moment[0, q][positive[0, q]] == torch.tensor([start, end])).all()
    assert sorted({int(level) for level in found.level[positive[0, 2]]}) == [2]


def test_a_moment_between_two_points_is_learned_by_the_nearest_one_and_none_by_none() -> None:
    network = Snag.of(TINY)
    found = answer(network, *uniform(32, b=1, m=2))
    truth = torch.tensor([[10.2, 10.4], [float("nan")] * 2])[None, :, None]
    positive, _ = assign_points(found, truth)
    assert positive[0, 0].nonzero().flatten().tolist() == [10]
    assert not positive[0, 1].any()
    parts = snag_loss(found, truth)
    assert parts.span.item() == pytest.approx(
        float(diou(found.spans[0, 0, 10], truth[0, 0, 0])), rel=1e-5
    )
    assert parts.total.item() == pytest.approx(float(parts.score + parts.span))


CLIPS = tuple(
    Footage(
        each.id,
        each.tokens,
        each.span,
        each.queries,
        # The whole, then words: here other tokens of the clip.
        words=tuple(each.tokens.embeddings[i : i + 3] for i in range(len(each.queries))),
    )
    for each in made_up.CLIPS
)
SIZES = SnagOptions(
    dimension=made_up.D, width=16, heads=2, levels=4, window=4, layers=1, text_layers=1, budget=60
)


def composites() -> Composites:
    return Composites(made_up.FILMS, CLIPS, SIZES, made_up.CALIBRATION)


def test_it_learns_goes_on_and_loads(tmp_path: Path) -> None:
    queries = [question.query for i in range(4) for question in composites()[i].questions]
    assert {len(query) for query in queries} == {1, 3}
    options = TrainOptions(steps=60, batch_size=4, warmup=5, workers=0, learning_rate=5e-3)
    train(composites(), SIZES, options, tmp_path, {})
    losses = [json.loads(line)["loss"] for line in made_up.curve(tmp_path)]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:10])
    network = load(str(tmp_path / "head"))
    assert isinstance(network, Snag)
    assert network.sizes == SIZES
    config = json.loads((tmp_path / "head" / "config.json").read_text())
    assert config["design"] == "snag"
    tokens = made_up.dense(40, 3)
    localiser = Localiser.of(network, tokens)
    nothing = [np.zeros(len(tokens), np.float32)]
    moments = localiser([tokens.embeddings[:3]], nothing, DecodeOptions(top=3))[0]
    assert len(moments) == 3
    assert all(0 <= each.span.start_s < each.span.end_s <= 40.1 for each in moments)
    with pytest.raises(OptionError, match="looks at 60 frames, and the video has 50"):
        Localiser.of(network, made_up.dense(10, 3))(
            [tokens.embeddings[:3]], [np.zeros(75, np.float32)], DecodeOptions()
        )
    weights = load_file(tmp_path / "head" / "model.safetensors")
    save_file(
        {name: weights[name] for name in list(weights)[1:]}, tmp_path / "head" / "model.safetensors"
    )
    with pytest.raises(BackendError, match="does not load as a localisation head"):
        load(str(tmp_path / "head"))


@pytest.mark.parametrize("wrong", [{"width": 15}, {"levels": 0}, {"dropout": 1.0}, {"budget": 0}])
def test_sizes_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        SnagOptions(**wrong)


data = made_up.data


def test_it_is_trained_and_asked_beside_the_head_by_commands(data: Path) -> None:
    seal, small = made_up.seal, [each.replace("head.", "snag.") for each in made_up.SMALL[:4]]
    common = ("train", "ground", "--data", data, "--film", "videos/film.mp4")
    common += ("--store", data / "dense")
    snag = seal(
        *(*common, "--design", "snag", "-o", data / "snag", *small, *made_up.SMALL[6:]),
        *("--set", "snag.budget=8", "--json"),
    )
    assert snag.exit_code == 0, snag.stderr
    odd = seal(*common, "--design", "snag", "-o", data / "odd", "--set", "head.width=16")
    assert odd.exit_code == 1
    assert "unknown option 'head.width'; valid: snag.budget" in odd.stderr
    head = seal(*common, "-o", data / "head", *made_up.SMALL, "--json")
    assert head.exit_code == 0, head.stderr
    heads = [json.loads(run.stdout)["head"] for run in (head, snag)]
    film, store = data / "videos" / "film.mp4", ("--store", data / "store")
    assert seal("index", film, *store).exit_code == 0
    found = seal("find", film, "a red ball", "--head", heads[1], *store, "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["moments"]
    (data / "nlq").mkdir()
    lines = ["film 1.0 5.0##a red ball", "film 9.0 12.0##a blue car"]
    (data / "nlq" / "charades_sta_test.txt").write_text("\n".join(lines))
    (data / "nlq" / "Charades_v1_test.csv").write_text("id,length\nfilm,20.0\n")
    asked = ("eval", "nlq", "--dataset", "charades-sta", "--data", data / "nlq", "--split", "test")
    both = seal(
        *(*asked, *store, "--head", heads[0], "--head", heads[1]),
        *("--set", "find.head_budget=6", "--json"),
    )
    assert both.exit_code == 0, both.stderr
    result = json.loads(both.stdout)
    assert list(result["methods"]) == [*heads, "find"]
    assert "first_ahead" in result["methods"][heads[1]]
    ran = result["settings"]["options"]
    assert [ran[name]["mini"]["find"]["head_budget"] for name in heads] == [6, 6]
    assert ran["find"]["mini"]["find"]["head_budget"] is None
