"""How questions are answered: what a prompt shows of the evidence, and which model reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from seal.config.training import FitOptions
from seal.settings import check


@dataclass(frozen=True)
class NoAnswer:
    """No model: questions are answered with moments and evidence."""

    backend: ClassVar[str] = "none"
    margin: float = 0.25
    """How much of its surroundings an object's or action's picture shows; a share of its size."""
    strip: int = 3
    """How many frames of an action are shown side by side, in one picture."""
    cause_share: float = 0.4
    """The share of the budget that goes, if the question asks why, to what came before."""
    cause_s: float = 60.0
    """How long before its effect a cause is looked for."""
    follow_up: int = 7
    """How much of the budget each turn of a dialogue after the first may spend on new evidence."""
    dialogue: int = 80
    """The budget of a whole dialogue."""
    query: Literal["phrase", "question"] = "phrase"
    """What evidence is looked for by: the phrase of a question that says what a picture shows, or
    the whole question, as in the paper."""
    intent: Literal["on", "off"] = "on"
    """Whether words of time and cause in a question decide where evidence is looked for. With off,
    the whole budget goes to the tokens that attention selects, as in the paper."""

    def __post_init__(self) -> None:
        check(self, self.margin >= 0, "margin must be at least 0")
        check(self, self.strip >= 1, "strip must be at least 1")
        check(self, 0 <= self.cause_share < 1, "cause_share must lie in [0, 1)")
        check(self, self.cause_s > 0, "cause_s must be above 0")
        check(self, self.follow_up >= 0, "follow_up must be at least 0")
        check(self, self.dialogue >= 1, "dialogue must be at least 1")

    @property
    def by(self) -> Literal["letter", "likelihood"]:
        """How one of several options is chosen."""
        return "letter"

    @property
    def at_once(self) -> int:
        """How many questions can be asked together."""
        return 1


@dataclass(frozen=True)
class ModelAnswer(NoAnswer):
    """What all models have."""

    max_tokens: int = 512
    """The longest answer."""
    together: int = 4
    """How many questions of a benchmark it is asked at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.max_tokens >= 1, "max_tokens must be at least 1")
        check(self, self.together >= 1, "together must be at least 1")

    @property
    def at_once(self) -> int:
        return self.together


@dataclass(frozen=True)
class OpenAIAnswer(ModelAnswer):
    """A model behind an OpenAI-compatible endpoint: vLLM, SGLang, Ollama, llama.cpp, hosted ones.

    The key comes from the environment, as OPENAI_API_KEY.
    """

    backend: ClassVar[str] = "openai"
    model: str = ""
    """As the server calls it."""
    base_url: str | None = None
    """Where it is, such as http://localhost:8000/v1; by default OPENAI_BASE_URL, or OpenAI."""
    timeout_s: float = 60.0
    """A server that sends nothing for this long has failed."""
    retries: int = 3
    """How often a request is sent again that met a busy, broken or silent server."""
    temperature: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.timeout_s > 0, "timeout_s must be above 0")
        check(self, self.retries >= 0, "retries must be at least 0")
        check(self, self.temperature >= 0, "temperature must be at least 0")


@dataclass(frozen=True)
class HfAnswer(ModelAnswer):
    """A local model with a chat template: Qwen-VL, InternVL, LLaVA, ..."""

    backend: ClassVar[str] = "hf"
    model: str = "Qwen/Qwen3-VL-2B-Instruct"
    """A name on the hub, or a folder."""
    revision: str = "main"
    device: str = "auto"
    device_map: Literal["none", "auto", "balanced", "balanced_low_0", "sequential"] = "none"
    """How its layers are spread over all devices, as accelerate does it; none puts the whole model
    on `device`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What it computes in; auto is float32 on a CPU, otherwise bfloat16."""
    choice: Literal["letter", "likelihood"] = "letter"
    """How one of several options is chosen: by the letter that the model writes, or by how likely
    each letter is as the first thing it writes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = self.device_map == "none" or self.device == "auto"
        check(self, whole, "device_map spreads a model over all devices: leave device at auto")

    @property
    def by(self) -> Literal["letter", "likelihood"]:
        return self.choice

    @property
    def at_once(self) -> int:
        # How likely an answer is, is asked one by one.
        return 1 if self.choice == "likelihood" else self.together


@dataclass(frozen=True)
class TuneOptions(FitOptions):
    """How a local model is trained to answer. A batch is one example: pictures differ in number."""

    steps: int = 500
    accumulate: int = 8
    learning_rate: float = 1e-4
    """Of LoRA; with `method=full` a tenth of it is usual."""
    usual_warmup: ClassVar[int] = 10
    weight_decay: float = 0.0
    ema: float = 0.0
    save_every: int = 50
    method: Literal["lora", "full"] = "lora"
    """Whether few weights are added and trained (LoRA), or all change."""
    part: Literal["language", "all"] = "language"
    """What is trained: the language model, or also the network that sees pictures."""
    rank: int = 16
    """LoRA: of the matrices added."""
    alpha: float = 32.0
    """LoRA: what is added counts alpha / rank times."""
    dropout: float = 0.05
    """LoRA: how much of what is added is left out at random in training."""
    quantize: Literal["none", "nf4", "fp4"] = "none"
    """LoRA: how the weights that stay as they are are kept, in 4 bits (QLoRA) by bitsandbytes."""
    targets: str = "all-linear"
    """LoRA: the layers that get something added, such as q_proj,v_proj."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.rank >= 1, "rank must be at least 1")
        check(self, self.alpha > 0, "alpha must be above 0")
        check(self, 0 <= self.dropout < 1, "dropout must lie in [0, 1)")
        fits = self.method == "lora" or self.quantize == "none"
        check(self, fits, "quantize is for method=lora: weights of 4 bits cannot learn themselves")
