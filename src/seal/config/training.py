"""How something is trained, whatever it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from seal.settings import check

# Options that change how fast and how safely a run gets to where it goes, but not where.
_WITHOUT_EFFECT = ("workers", "save_every", "recompute")


@dataclass(frozen=True)
class FitOptions:
    """What all trainings have; those without a default here have one in each."""

    steps: int
    accumulate: int
    """Batches for each change of the weights, in each process."""
    learning_rate: float
    weight_decay: float
    ema: float
    """The weights kept are this running mean of those trained; 0 keeps these themselves."""
    save_every: int
    """Steps from checkpoint to checkpoint; an interrupted run goes on from the last one."""
    usual_warmup: ClassVar[int]
    warmup: int | None = None
    """Steps until the learning rate is reached; then it falls to 0 as a cosine does. By default 100
    for a head and 10 for an answerer, and never more than a quarter of the steps."""
    clip_norm: float = 1.0
    """Longer gradients are shortened to this."""
    precision: Literal["no", "fp16", "bf16"] = "no"
    recompute: bool = False
    """Activations inside the layers are computed again for the gradients (gradient checkpointing):
    less memory, and about a third more time."""
    workers: int = 1
    """Processes that make samples; 0 makes them in between."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "save_every"):
            check(self, getattr(self, name) >= 1, f"{name} must be at least 1")
        check(self, self.learning_rate > 0, "learning_rate must be above 0")
        check(
            self,
            0 <= self.warmup_steps <= self.steps,
            f"warmup must lie between 0 and {self.steps} steps",
        )
        check(self, self.weight_decay >= 0, "weight_decay must be at least 0")
        check(self, self.clip_norm > 0, "clip_norm must be above 0")
        check(self, 0 <= self.ema < 1, "ema must lie in [0, 1)")
        check(self, self.workers >= 0, "workers must be at least 0")

    @property
    def warmup_steps(self) -> int:
        """The warm-up that was set, or the default for so many steps."""
        return min(self.usual_warmup, self.steps // 4) if self.warmup is None else self.warmup

    def deciding(self) -> dict[str, Any]:
        """The options that decide what comes out."""
        values = asdict(self) | {"warmup": self.warmup_steps}
        return {key: value for key, value in values.items() if key not in _WITHOUT_EFFECT}
