"""The localisation head: what it computes, what it learns from, what it answers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from seal.config import DecodeOptions, HeadOptions
from seal.errors import BackendError, OptionError
from seal.ground.checkpoint import load
from seal.ground.decode import agreed, decode, soft_nms
from seal.ground.layers import AttentionWindow, PositionRow, WindowAttention
from seal.ground.losses import assign, diou, focal
from seal.ground.model import Head, Spans
from seal.types import Span
from test_ground_contract import SIZES, answer, videos

TINY = SIZES["seal"]


def test_only_differences_of_times_count() -> None:
    head = Head.of(TINY)
    video, queries = videos(21)
    early = answer(head, video, queries)
    late = answer(head, video._replace(spans=video.spans + 512), queries)
    torch.testing.assert_close(late.logits, early.logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(late.spans - 512, early.spans, atol=1e-2, rtol=1e-3)


def test_windowed_attention_is_attention_with_a_mask() -> None:
    """Against every position looking at all others, where those out of reach are left out."""
    torch.manual_seed(0)
    n, size, heads, width = 14, 4, 4, 32
    video, _ = videos(n, b=1)
    row = PositionRow(
        video.spans, torch.nn.functional.normalize(video.embeddings, dim=-1), video.real
    )
    layer = WindowAttention(width, heads, 0.0).eval()
    x = torch.randn(1, n, width)
    got = layer(x, AttentionWindow.of(row, size, width // heads))
    wide = AttentionWindow.of(row, n, width // heads)
    block = torch.arange(n) // size
    near = (block[:, None] - block[None]).abs() <= 1
    allowed = torch.zeros(1, 1, 1, n, 3 * n).bool()
    allowed[..., n : 2 * n] = near
    torch.testing.assert_close(got, layer(x, wide._replace(allowed=allowed)))


def test_at_one_time_only_what_overlaps_is_seen() -> None:
    spans = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [2.0, 2.0], [0.0, 3.0]]])
    row = PositionRow(spans, torch.ones(1, 4, 2), torch.ones(1, 4).bool())
    seen = AttentionWindow.of(row, 4, 8).at_once(row).allowed[0, 0, 0, :, 4:8]
    want = [[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    assert seen.int().tolist() == want


def test_distance_iou_by_hand() -> None:
    spans = torch.tensor([[0.0, 4.0], [0.0, 2.0], [0.0, 1.0], [3.0, 5.0]])
    truth = torch.tensor([[0.0, 4.0], [1.0, 3.0], [3.0, 4.0], [0.0, 8.0]])
    # Equal; 1 of 3 s shared; nothing shared, the middles 3 of 4 s apart; 2 of 8 s, in the middle.
    want = [0.0, 1 - 1 / 3 + 1 / 9, 1 + 9 / 16, 1 - 2 / 8]
    assert diou(spans, truth).tolist() == pytest.approx(want)


def test_focal_loss_by_hand() -> None:
    logits = torch.logit(torch.tensor([0.9, 0.9]))
    logits = logits.repeat(2)[:3]
    got = focal(logits, torch.tensor([1.0, 0.0, 0.5]))
    half = -0.5 * (np.log(0.9) + np.log(0.1))
    want = [-(0.1**2) * np.log(0.9), -(0.9**2) * np.log(0.1), 0.4**2 * half]
    assert got.tolist() == pytest.approx(want, rel=1e-5)


def asked(at_s: list[float], level: list[int], moments: list[list[float]]) -> tuple[Spans, ...]:
    p = len(at_s)
    spans = Spans(
        torch.zeros(1, 1, p),
        torch.zeros(1, 1, p, 2),
        torch.tensor([at_s]),
        torch.tensor(level),
        torch.tensor([[time_s < 100 for time_s in at_s]]),
    )
    return assign(spans, torch.tensor([[moments]]))


def test_positions_inside_answer_at_the_level_that_fits() -> None:
    at_s = [*range(16), *(2 * i + 0.5 for i in range(8))]
    level = [0] * 16 + [1] * 8
    # Four positions of the finest level fit it, eight the next.
    positive, moment = asked(at_s, level, [[2.0, 5.0]])
    assert positive[0, 0].nonzero().flatten().tolist() == [2, 3, 4, 5]
    assert moment[0, 0, 3].tolist() == [2, 5]
    positive, _ = asked(at_s, level, [[2.0, 9.0]])
    assert [at_s[i] for i in positive[0, 0].nonzero().flatten()] == [2.5, 4.5, 6.5, 8.5]


def test_a_moment_between_positions_is_answered_by_the_nearest() -> None:
    positive, moment = asked([0.0, 4.0, 999.0], [0, 0, 0], [[2.5, 3.0]])
    assert positive[0, 0].tolist() == [False, True, False]
    assert moment[0, 0, 1].tolist() == [2.5, 3.0]


def test_of_several_moments_each_is_answered_and_none_where_there_is_none() -> None:
    nan = float("nan")
    positive, moment = asked([0.0, 4.0, 8.0], [0, 0, 0], [[3.0, 9.0], [3.5, 4.5], [nan, nan]])
    assert positive[0, 0].tolist() == [False, True, True]
    assert moment[0, 0, 1:].tolist() == [[3.5, 4.5], [3, 9]]


def slow_soft_nms(spans: list, scores: list, sigma: float, top: int) -> list:
    left, found = dict(enumerate(scores)), []
    while left and len(found) < top:
        best = max(left, key=lambda i: (left[i], -i))
        found.append((best, left.pop(best)))
        for i in left:
            left[i] *= np.exp(-(Span(*spans[i]).iou(Span(*spans[best])) ** 2) / sigma)
    return found


@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(1, 6))
def test_soft_suppression_is_that_of_the_slow_reference(seed: int, n: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 20, n)
    spans = np.stack([start, start + rng.uniform(0.1, 9, n)], 1)
    scores = rng.uniform(0, 1, n)
    rows, kept = soft_nms(spans, scores, 0.4, top)
    want = slow_soft_nms(spans.tolist(), scores.tolist(), 0.4, top)
    assert rows.tolist() == [row for row, _ in want]
    assert kept == pytest.approx([score for _, score in want])


def test_moments_lie_within_the_video_best_first() -> None:
    spans = np.array([[-5.0, 4.0], [90.0, 120.0], [100.0, 130.0], [3.0, 3.0]])
    scores, options = np.array([0.2, 0.9, 1.0, 1.0]), DecodeOptions(top=3)
    for agree in (False, True):
        moments = decode(spans, scores, Span(0, 100), options, agree)
        assert [moment.span for moment in moments] == [Span(90, 100), Span(0, 4)]
        found = [moment.score for moment in moments]
        assert found == (pytest.approx([0.9, 0.2]) if agree else [0.9, 0.2])


@given(st.integers(0, 10**6), st.integers(0, 20))
def test_spans_agree_as_in_the_slow_reference(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 20, n)
    spans = np.stack([start, start + rng.uniform(0.1, 9, n)], 1)
    scores = rng.uniform(0.001, 1, n)
    pooled, said = agreed(spans, scores)
    for i in range(n):
        mine = Span(*spans[i])
        evidence = [(scores[j] * mine.iou(Span(*spans[j]))) ** 2 for j in range(n)]
        assert said[i] == pytest.approx((1 - math.prod(1 - each for each in evidence)) ** 0.5)
        assert pooled[i] == pytest.approx(np.average(spans, axis=0, weights=evidence))


def test_two_that_agree_come_before_a_better_one_alone() -> None:
    spans = np.array([[0.0, 10.0], [50.0, 60.0], [51.0, 61.0]])
    scores, within, options = np.array([0.6, 0.5, 0.5]), Span(0, 100), DecodeOptions()
    assert decode(spans, scores, within, options, agree=False)[0].span == Span(0, 10)
    first = decode(spans, scores, within, options, agree=True)[0].span
    assert 50 < first.start_s < 51
    assert 60 < first.end_s < 61


def test_a_head_comes_back_as_it_was_saved(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    head = Head.of(TINY)
    head.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    assert again.sizes == TINY
    assert capsys.readouterr().out == ""
    assert torch.equal(answer(again, *videos(9)).logits, answer(head, *videos(9)).logits)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".md"}


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def of_other_sizes(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(sizes | {"fused": 16}))


def of_another_model(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "timesformer"}))


def with_a_wrong_value(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(sizes | {"width": 33}))


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("fuse.gain")
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated, "damaged"),
        (of_other_sizes, "size mismatch"),
        (of_another_model, "is not that of a localisation head"),
        (with_a_wrong_value, "width must be a multiple"),
        (without_a_weight, "fuse.gain"),
    ],
)
def test_a_checkpoint_that_is_none_is_named(tmp_path: Path, damage, says: str) -> None:
    Head.of(TINY).save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(BackendError, match=says) as error:
        load(str(tmp_path))
    assert str(tmp_path) in str(error.value)


def test_a_head_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="there is no head '/nope': it is no folder and no name"):
        load("/nope")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackendError) as error:
        load(str(tmp_path))
    assert "there is no head" not in str(error.value)


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(OptionError, match="fused must be a multiple of heads"):
        HeadOptions(fused=30)
