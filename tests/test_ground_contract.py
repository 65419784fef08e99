"""What every network that finds moments does: SEAL's head, and the baseline SnAG."""

from typing import Any

import pytest
import torch

from seal.config import HeadOptions, SnagOptions
from seal.ground.model import Positions, Queries, Spans
from seal.ground.networks import LOSSES, Network, network

SIZES = {
    "seal": HeadOptions(dimension=12, width=32, heads=4, layers=2, levels=3, window=4, fused=8),
    "snag": SnagOptions(
        dimension=12, width=16, heads=2, levels=3, window=4, layers=1, text_layers=1
    ),
}


@pytest.fixture(params=SIZES)
def made(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(1)
    return network(SIZES[request.param])


def videos(n: int, m: int = 2, t: int = 2, b: int = 2, seed: int = 0) -> tuple[Positions, Queries]:
    """Random ones; b videos of n positions, m queries of t words for each."""
    torch.manual_seed(seed)
    start = torch.rand(b, n).mul(60).sort(1)[0]
    spans = torch.stack([start, start + torch.rand(b, n) * 3], -1)
    boxes = torch.rand(b, n, 2, 2).sort(2)[0].flatten(2)
    kinds = torch.randint(0, 3, (b, n))
    video = Positions(torch.randn(b, n, 12), kinds, spans, boxes, torch.ones(b, n).bool())
    words = torch.ones(b, m, t).bool()
    return video, Queries(torch.randn(b, m, t, 12), words, torch.rand(b, m, n) * 0.3)


def uniform(n: int, **given: int) -> tuple[Positions, Queries]:
    """As `videos`, with a position every second."""
    video, queries = videos(n, **given)
    at = torch.arange(n, dtype=torch.float32).expand(len(video.spans), n)
    return video._replace(spans=torch.stack([at, at], -1)), queries


def answer(asked: Network, video: Positions, queries: Queries) -> Spans:
    with torch.no_grad():
        found: Any = asked.eval()(video, queries)
    return found


def test_gradients_reach_every_weight(made: Network) -> None:
    truth = torch.tensor([[4.0, 7.0], [8.0, 9.0]]).expand(2, 2, 2)[:, :, None]
    LOSSES[type(made)](made.train()(*videos(21)), truth).total.backward()
    untouched = [
        name for name, weight in made.named_parameters() if not (weight.grad.abs() > 0).any()
    ]
    assert untouched == []


@pytest.mark.parametrize("n", [1, 3, 4, 21])
def test_padding_changes_nothing(made: Network, n: int) -> None:
    video, queries = uniform(n)
    alone = answer(made, video, queries)
    junk, more = videos(7, t=3, seed=1)
    padded = Positions(*(torch.cat(parts, 1) for parts in zip(video[:5], junk[:5], strict=True)))
    padded.real[:, n:] = False
    asked = Queries(
        torch.cat([queries.embeddings, more.embeddings], 2),
        torch.cat([queries.words, torch.zeros_like(more.words)], 2),
        torch.cat([queries.relevance, more.relevance], 2),
    )
    filled = answer(made, padded, asked)
    kept, wanted = filled.real[0], alone.real[0]
    assert kept.sum() == wanted.sum()
    for got, want in ((filled.logits, alone.logits), (filled.spans, alone.spans)):
        torch.testing.assert_close(got[:, :, kept], want[:, :, wanted], atol=1e-4, rtol=1e-4)


def test_videos_and_queries_of_a_batch_are_answered_each_for_itself(made: Network) -> None:
    video, queries = uniform(21, m=3)
    together = answer(made, video, queries)
    for i, j in ((0, 0), (1, 2)):
        one = Positions(*(column[i : i + 1] for column in video[:5]))
        ask = Queries(*(column[i : i + 1, j : j + 1] for column in queries))
        alone = answer(made, one, ask)
        torch.testing.assert_close(alone.logits[0, 0], together.logits[i, j], atol=1e-4, rtol=1e-4)


def test_a_query_asked_later_gets_the_same_answer(made: Network) -> None:
    """A video is encoded before any query."""
    video, queries = uniform(21)
    with torch.no_grad():
        levels = made.eval().encode(video)
        later = made.answer(levels, queries)
    assert torch.equal(later.logits, answer(made, video, queries).logits)
