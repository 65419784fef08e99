"""The localisation heads: their sizes, and how they are trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

from seal.config.querying import AttentionOptions
from seal.config.training import FitOptions
from seal.settings import check

PositionRule = Literal["nearby", "paper"]

_PUBLISHED = ("alpha", "s_min")
"""Options of the published objective."""


@dataclass(frozen=True)
class InputOptions:
    """What a head that finds moments takes in. The options of a head are part of its checkpoint."""

    budget: int = 450
    """How many positions it sees of a video."""
    encoder: str = ""
    """The fingerprint of the encoder that made its embeddings, or the name of published features.
    """
    dimension: int = 256
    """d of the embeddings of positions."""
    words: str = ""
    """What made the embeddings of the words of queries, where that is not `encoder`."""
    query_dimension: int | None = None
    """d of these words, where it is not `dimension`."""

    by_words = False
    """Whether it reads a query word by word; otherwise as one embedding, unless words are given."""

    def __post_init__(self) -> None:
        check(self, self.budget >= 1, "budget must be at least 1")
        check(self, self.dimension >= 1, "dimension must be at least 1")
        enough = self.query_dimension is None or self.query_dimension >= 1
        check(self, enough, "query_dimension must be at least 1")

    @property
    def words_dimension(self) -> int:
        """d of the words of queries."""
        return self.query_dimension or self.dimension

    def deciding(self) -> dict[str, Any]:
        """The options that decide what it computes."""
        unused = [key for key in ("words", "query_dimension") if not getattr(self, key)]
        return {key: value for key, value in asdict(self).items() if key not in unused}


@dataclass(frozen=True)
class HeadOptions(InputOptions):
    """SEAL's localisation head: what it looks at, and its sizes."""

    positions: Literal["tokens", "frames"] = "tokens"
    """What the budget is spent on: semantic tokens, or uniformly sampled frames as in SnAG."""
    select: PositionRule = "nearby"
    """How the tokens are chosen that the budget is spent on. The rule "nearby" spends a quarter of
    the budget on scenes an equal time apart, and the rest on the most relevant tokens and those
    near them. The rule "paper" is greedy on the published objective."""
    alpha: float = AttentionOptions.alpha
    """Paper: the weight of relevance against diversity, in [0, 1]."""
    s_min: float = AttentionOptions.s_min
    """Paper: similarities are clipped to [s_min, 1]."""
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
    crop_weights: str = ""
    """What TimeSformer starts from: a folder or a name on the hub; random weights by default."""
    crop_width: int | None = None
    """Channels of TimeSformer, where they are not those of the backbone; so are the next two."""
    crop_layers: int | None = None
    crop_heads: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "heads", "window", "levels", "fused"):
            check(self, getattr(self, name) >= 1, f"{name} must be at least 1")
        # A quarter of a head turns with a token's start, and as much with its end.
        whole = self.width % (4 * self.heads) == 0
        check(self, whole, "width must be a multiple of four times heads")
        check(self, self.fused % self.heads == 0, "fused must be a multiple of heads")
        check(self, self.layers >= 0, "layers must be at least 0")
        check(self, 0 <= self.dropout < 1, "dropout must lie in [0, 1)")
        check(self, self.crops >= 0, "crops must be at least 0")
        for name in ("crop_width", "crop_layers", "crop_heads"):
            given = getattr(self, name)
            known = given is None or (given >= 1 and self.crop_weights != "")
            check(self, known, f"{name} is that of the network in crop_weights")
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
        unused = ["stream_s"]
        if self.select != "paper":
            # Checkpoints that are older than `select` were trained with its default.
            unused += ["select", *_PUBLISHED]
        if not self.crops:
            unused += ["crops", "crop_px", "patch_px"]
        if not (self.crops and self.crop_weights):
            unused += ["crop_weights", "crop_width", "crop_layers", "crop_heads"]
        return {key: value for key, value in super().deciding().items() if key not in unused}

    @property
    def attention(self) -> AttentionOptions:
        """The published objective and its solver, for the positions within the budget."""
        return AttentionOptions(
            self.budget, objective="paper", solver="greedy", alpha=self.alpha, s_min=self.s_min
        )


@dataclass(frozen=True)
class SnagOptions(InputOptions):
    """The baseline SnAG (`seal.ground.snag`). Its numbers of layers are the published ones for
    Ego4D, its channels fewer (128 for 512), for a CPU."""

    width: int = 128
    """Channels of everything."""
    heads: int = 4
    layers: int = 0
    """Blocks of local attention before the pyramid."""
    window: int = 9
    """Attention is within blocks of so many positions and the two blocks beside."""
    levels: int = 8
    """Of the pyramid; each has half the positions of the one below."""
    text_layers: int = 1
    """Blocks of its text encoder."""
    fusion_layers: int = 2
    """How often the points of a level look at the words."""
    dropout: float = 0.1

    # What it looks at is not for choice.
    positions: ClassVar[Literal["frames"]] = "frames"
    select: ClassVar[PositionRule] = "nearby"
    crops = crop_px = 0
    by_words = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "heads", "window", "levels", "fusion_layers"):
            check(self, getattr(self, name) >= 1, f"{name} must be at least 1")
        whole = self.width % (2 * self.heads) == 0
        check(self, whole, "width must be a multiple of two times heads")
        check(self, self.layers >= 0, "layers must be at least 0")
        check(self, self.text_layers >= 0, "text_layers must be at least 0")
        check(self, 0 <= self.dropout < 1, "dropout must lie in [0, 1)")

    def deciding(self) -> dict[str, Any]:
        return {"design": "snag", **super().deciding()}


NetworkOptions = HeadOptions | SnagOptions


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

    def on(self, head: NetworkOptions) -> NetworkOptions:
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
    usual_warmup: ClassVar[int] = 100
    weight_decay: float = 0.05
    ema: float = 0.995
    save_every: int = 200
    batch_size: int = 4
    """Videos for each batch; of a composite up to four questions are asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.batch_size >= 1, "batch_size must be at least 1")
