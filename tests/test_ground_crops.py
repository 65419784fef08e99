"""TimeSformer over crops: the library's own forward, on tracks of any length and size."""

import numpy as np
import pytest
import torch
from transformers import TimesformerConfig, TimesformerModel

from seal.config import CropOptions
from seal.errors import OptionError
from seal.ground.crops import CropBackbone, prepare

TINY = CropOptions(dimension=12, side_px=16, patch_px=8, frames=3, width=16, heads=2, layers=2)


def track(length: int, height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(length)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(length)]


def test_it_computes_what_the_library_does() -> None:
    torch.manual_seed(0)
    theirs = TimesformerModel(
        TimesformerConfig(
            image_size=16,
            patch_size=8,
            num_frames=3,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
        )
    ).eval()
    ours = CropBackbone(TINY).eval()
    ours.model.load_state_dict(theirs.state_dict())
    crops = prepare([track(3, 16, 16), track(3, 16, 16)], TINY)
    with torch.no_grad():
        want = ours.out(theirs(crops).last_hidden_state[:, 0])
        got = ours(crops)
    torch.testing.assert_close(got, want / want.norm(dim=-1, keepdim=True))
    assert got.shape == (2, 12)


def test_crops_are_scaled_and_spread_over_the_track() -> None:
    crops = [np.full((5, 9, 3), value, np.uint8) for value in (0, 50, 100, 150, 200, 250)]
    (clip,) = prepare([crops], TINY)
    assert clip.shape == (3, 3, 16, 16)
    assert (clip[:, 0, 0, 0] * 0.225 + 0.45).tolist() == pytest.approx(
        [50 / 255, 150 / 255, 250 / 255]
    )
    (short,) = prepare([crops[:1]], TINY)
    assert (short == short[0]).all()


def test_the_order_of_crops_counts_and_every_weight_learns() -> None:
    torch.manual_seed(0)
    net = CropBackbone(TINY).eval()
    with torch.no_grad():
        # Started at zero, as in the library: then no picture's time would be told apart.
        net.model.embeddings.time_embeddings.normal_()
    crops = prepare([track(3, 20, 30)], TINY)
    there, back = net(crops), net(crops.flip(1))
    assert (there - back).abs().max() > 1e-4
    (there * torch.arange(12)).sum().backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


def test_what_is_no_track_is_named() -> None:
    with pytest.raises(OptionError, match="at least one crop"):
        prepare([[]], TINY)
    with pytest.raises(OptionError, match="must be RGB uint8"):
        prepare([[np.zeros((4, 4), np.uint8)]], TINY)
    with pytest.raises(OptionError, match="multiple of patch_px"):
        CropOptions(side_px=60)
