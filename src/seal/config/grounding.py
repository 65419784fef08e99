"""The localisation head: its sizes, and how it is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from seal.config.querying import AttentionOptions
from seal.config.training import FitOptions
from seal.settings import check

PositionRule = Literal["nearby", "paper"]

_PUBLISHED = ("alpha", "s_min")
"""Options of the published objective."""


@dataclass(frozen=True)
class HeadOptions:
    """The localisation head: what it looks at, and its sizes. They are part of a checkpoint."""

    positions: Literal["tokens", "frames"] = "tokens"
    """What the budget is spent on: semantic tokens, or uniformly sampled frames as in SnAG."""
    budget: int = 450
    """How many positions it sees of a video."""
    select: PositionRule = "nearby"
    """How the tokens are chosen that the budget is spent on. nearby: a quarter of the budget for
    scenes an equal time apart, the rest for the most relevant tokens and those near them. paper:
    greedy on the published objective."""
    alpha: float = AttentionOptions.alpha
    """Paper: the weight of relevance against diversity, in [0, 1]."""
    s_min: float = AttentionOptions.s_min
    """Paper: similarities are clipped to [s_min, 1]."""
    encoder: str = ""
    """The fingerprint of the encoder that made its embeddings."""
    dimension: int = 256
    """d of the stored embeddings."""
    stream_s: float | None = None
    """See `SelectOptions.stream_s`: training chooses from all tokens at once."""
    width: int = 96
    """Channels of the backbone, which sees the video once."""
    heads: int = 4
    layers: int = 2
    """Blocks of divided space-time attention."""
    window: int = 16
    """Attention over time is within blocks of so many positions and the two blocks beside."""
    levels: int = 4
    """Of the temporal pyramid; each has half the positions of the one below."""
    fused: int = 24
    """Channels after a query has come in: what every further query costs grows with it."""
    dropout: float = 0.1
    crops: int = 0
    """From so many pictures of each action TimeSformer adds to its stored embedding; 0 for none."""
    crop_px: int = 64
    """Their side."""
    patch_px: int = 16
    """TimeSformer sees them in patches of this side."""

    def __post_init__(self) -> None:
        for name in ("budget", "dimension", "width", "heads", "window", "levels", "fused"):
            check(self, getattr(self, name) >= 1, f"{name} must be at least 1")
        # A quarter of a head turns with a token's start, and as much with its end.
        whole = self.width % (4 * self.heads) == 0
        check(self, whole, "width must be a multiple of four times heads")
        check(self, self.fused % self.heads == 0, "fused must be a multiple of heads")
        check(self, self.layers >= 0, "layers must be at least 0")
        check(self, 0 <= self.dropout < 1, "dropout must lie in [0, 1)")
        check(self, self.crops >= 0, "crops must be at least 0")
        if self.crops:
            check(self, self.positions == "tokens", "positions must be tokens to have crops")
            check(self, self.layers >= 1, "layers must be at least 1 to see crops")
            check(self, self.patch_px >= 1, "patch_px must be at least 1")
            whole = self.crop_px >= 1 and self.crop_px % self.patch_px == 0
            check(self, whole, "crop_px must be a multiple of patch_px")
        if self.stream_s is not None:
            check(self, self.stream_s >= 1, "stream_s must be at least 1")
        if self.select == "paper":
            check(self, self.positions == "tokens", "positions must be tokens to select them")
            _ = self.attention  # Which checks the numbers.
        else:
            for name in _PUBLISHED:
                unset = getattr(self, name) == getattr(AttentionOptions, name)
                check(self, unset, f"{name} has no effect: it is for select=paper")

    def deciding(self) -> dict[str, Any]:
        """The options that decide what it computes."""
        unused = self.unused(self.crops, self.select)
        return {key: value for key, value in asdict(self).items() if key not in unused}

    @staticmethod
    def unused(crops: object, select: object) -> set[str]:
        """The options that have no effect on a head with these values of two others."""
        names = {"stream_s"} if crops else {"stream_s", "crops", "crop_px", "patch_px"}
        # Checkpoints that are older than `select` were trained with its default.
        return names if select == "paper" else {*names, "select", *_PUBLISHED}

    @property
    def attention(self) -> AttentionOptions:
        """The published objective and its solver, for the positions within the budget."""
        return AttentionOptions(
            self.budget, objective="paper", solver="greedy", alpha=self.alpha, s_min=self.s_min
        )


@dataclass(frozen=True)
class SelectOptions:
    """How a trained head chooses the tokens that it looks at, where a query says so."""

    select: Literal["trained", PositionRule] = "trained"
    """As in `HeadOptions.select`; trained: as the head was trained. A head of frames always looks
    at frames an equal time apart."""
    alpha: float = AttentionOptions.alpha
    """Paper: the weight of relevance against diversity, in [0, 1]."""
    s_min: float = AttentionOptions.s_min
    """Paper: similarities are clipped to [s_min, 1]."""

    stream_s: float | None = None
    """Choose window by window of so many seconds, as a stream does, instead of all at once."""

    def __post_init__(self) -> None:
        if self.stream_s is not None:
            check(self, self.stream_s >= 1, "stream_s must be at least 1")
        AttentionOptions(alpha=self.alpha, s_min=self.s_min)  # Which checks the numbers.

    def on(self, head: HeadOptions) -> HeadOptions:
        """The options of a head that chooses in this way."""
        if head.positions == "frames":
            return head
        head = replace(head, stream_s=self.stream_s)
        if self.select == "trained":
            return head
        return replace(head, select=self.select, alpha=self.alpha, s_min=self.s_min)


@dataclass(frozen=True)
class DecodeOptions:
    """From scored spans to moments."""

    top: int = 5
    """How many moments are returned at most."""
    candidates: int = 200
    """So many spans, the best ones, go into suppression."""
    sigma: float = 0.4
    """Soft suppression: a span that overlaps a better one by IoU loses exp(-IoU^2 / sigma)."""

    def __post_init__(self) -> None:
        check(self, self.top >= 1, "top must be at least 1")
        check(self, self.candidates >= self.top, "candidates must be at least top")
        check(self, self.sigma > 0, "sigma must be above 0")


@dataclass(frozen=True)
class TrainOptions(FitOptions):
    """How the localisation head is trained."""

    steps: int = 2000
    accumulate: int = 1
    learning_rate: float = 1.5e-3
    warmup: int = 100
    weight_decay: float = 0.05
    ema: float = 0.995
    save_every: int = 200
    batch_size: int = 4
    """Videos for each batch; of a composite up to four questions are asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.batch_size >= 1, "batch_size must be at least 1")
