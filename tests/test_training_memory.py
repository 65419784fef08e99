"""Training that fits: layers computed again, weights in shards, of 4 bits, of half precision.

Networks are tiny; several processes are those of `accelerate launch`, on the CPU.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import DistributedType
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

import tiny_answerer
from seal.answer.local import LocalAnswerer
from seal.answer.processor import ends_of
from seal.answer.train import Adapter, Whole, _Batches, train
from seal.config import HfAnswer, SnagOptions, TuneOptions
from seal.errors import BackendError, OptionError
from seal.ground.batches import HeadBatch, collate
from seal.ground.networks import network
from seal.ground.train import Localisation
from seal.training import loop
from seal.training.memory import recomputing
from seal.weights import locate
from test_answer_train import ANSWERS, curve, folder, lessons, tune
from test_ground_train import TINY, composites

__all__ = ["folder"]

MANY = {"dropout": 0.0, "steps": 4, "save_every": 2, "ema": 0.5}
"""So many examples for each step that two processes see what one does."""


def gradients(task: Any, batch: Any) -> tuple[dict[str, torch.Tensor], int]:
    """The gradients of one batch, and how many bytes were kept for the way back."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in task.network.parameters()}
    task.network.train()
    task.network.zero_grad()
    torch.manual_seed(5)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = task.losses(task.network, batch)["loss"]
    loss.backward()
    found = {n: p.grad for n, p in task.network.named_parameters() if p.grad is not None}
    return found, sum(size for place, size in kept.items() if place not in own)


def same_gradients_for_less(task: Any, batch: Any) -> float:
    """The share of what was kept that is kept where layers are computed again."""
    usual, before = gradients(task, batch)
    usual = {name: gradient.clone() for name, gradient in usual.items()}
    recomputing(task.network)
    again, after = gradients(task, batch)
    assert usual
    assert usual.keys() == again.keys()
    for name, gradient in usual.items():
        assert torch.equal(gradient, again[name]), name
    return after / before


@pytest.mark.parametrize("made", [Adapter, Whole])
@pytest.mark.parametrize("family", tiny_answerer.FAMILIES)
def test_layers_computed_again_give_the_same_gradients(
    folder: Path, tmp_path: Path, family: str, made: type[Adapter | Whole]
) -> None:
    weights = locate(str(tiny_answerer.save(tmp_path, family)), "main")
    # With dropout: what is left out the second time is what was left out the first time.
    task = made(HfAnswer(model=str(tmp_path)), weights, TuneOptions(dropout=0.5, part="all"))
    batch = _Batches(lessons(folder), "tiny", weights, ends_of(task.network))[0]
    assert same_gradients_for_less(task, batch) < 0.6


@pytest.mark.parametrize("sizes", [TINY, SnagOptions(dimension=TINY.dimension, width=16, heads=2)])
def test_layers_of_localisation_heads_computed_again(sizes: Any) -> None:
    torch.manual_seed(0)
    task = Localisation(network(sizes))
    examples = composites()
    batch: HeadBatch = collate([examples[i] for i in range(2)])
    assert same_gradients_for_less(task, batch) < 1


def test_a_run_may_go_on_with_layers_computed_again(folder: Path, tmp_path: Path) -> None:
    """The option changes no step."""
    tune(folder, tmp_path / "plain")

    def stop(step: Any) -> None:
        if step.number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(folder, tmp_path / "other", stop)
    tune(folder, tmp_path / "other", recompute=True)
    assert curve(tmp_path / "other") == curve(tmp_path / "plain")


def test_half_precision_learns_nearly_the_same(folder: Path, tmp_path: Path) -> None:
    for precision in ("no", "bf16"):
        # accelerate keeps the first one for the whole process.
        AcceleratorState._reset_state(reset_partial_state=True)
        tune(folder, tmp_path / precision, precision=precision, dropout=0.0)
    plain, half = ([step["loss"] for step in curve(tmp_path / name)] for name in ("no", "bf16"))
    assert half == pytest.approx(plain, rel=0.05)
    assert half != plain
    AcceleratorState._reset_state(reset_partial_state=True)


SCRIPT = """
import os, sys
from pathlib import Path
from accelerate.state import PartialState
from accelerate.utils import DistributedType
import test_answer_train as t
from test_training_memory import MANY

def stop(step):
    if step.number == 3 and "STOP" in os.environ:
        os._exit(3)

if __name__ == "__main__":
    PartialState(cpu=True)
    if os.environ.get("ACCELERATE_USE_FSDP"):
        # accelerate knows FSDP for accelerators alone: it is told that these processes have some.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    for method in ("lora", "full"):
        place = Path(sys.argv[2]) / method
        t.tune(Path(sys.argv[1]), place, stop, **MANY, method=method, accumulate=2)
"""
FSDP = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
machine_rank: 0
num_machines: 1
num_processes: 2
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_reshard_after_forward: true
"""


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both trainings by one process, which sees twice as many examples a step."""
    place = tmp_path_factory.mktemp("alone")
    for method in ("lora", "full"):
        tune(folder, place / method, **MANY, method=method, accumulate=4)
    return place


def launched(folder: Path, place: Path, *launcher: str, **environment: str) -> int:
    script = place / "run.py"
    script.write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    command = [sys.executable, "-m", *launcher, str(script), str(folder), str(place)]
    ran = subprocess.run(command, env=env | environment, capture_output=True, text=True)
    assert "STOP" in environment or ran.returncode == 0, ran.stderr[-3000:]
    return ran.returncode


def check_equal(place: Path, alone: Path) -> None:
    """The same losses and weights as those of one process, but for rounding."""
    for method, file in (("lora", "adapter/adapter_model"), ("full", "model/model")):
        ours, theirs = place / method, alone / method
        for one, other in zip(curve(ours), curve(theirs), strict=True):
            assert one == pytest.approx(other, rel=1e-4)
        for name in (f"{file}.safetensors", "state.safetensors"):
            found, wanted = load_file(ours / name), load_file(theirs / name)
            assert found.keys() == wanted.keys()
            for key, value in wanted.items():
                torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4, msg=key)


def test_two_processes_learn_what_one_does(folder: Path, alone: Path, tmp_path: Path) -> None:
    launched(folder, tmp_path, "torch.distributed.run", "--nproc_per_node=2", "--standalone")
    check_equal(tmp_path, alone)


def test_weights_in_shards_learn_the_same_and_go_on_after_a_stop(
    folder: Path, alone: Path, tmp_path: Path
) -> None:
    config = tmp_path / "fsdp.yaml"
    config.write_text(FSDP)
    launch = ("accelerate.commands.launch", "--config_file", str(config))
    assert launched(folder, tmp_path, *launch, STOP="1") != 0
    assert len(curve(tmp_path / "lora")) < MANY["steps"]
    assert not (tmp_path / "full").exists()
    launched(folder, tmp_path, *launch)
    check_equal(tmp_path, alone)
    # What comes out needs no shards.
    answerer = LocalAnswerer(HfAnswer(model=str(tmp_path / "lora" / "adapter"), max_tokens=4))
    assert answerer.answer(lessons(folder)[0].prompt)


class SetUp:
    """An `Accelerator` as a configuration sets it up."""

    def __init__(self, kind: str, version: int = 2, again: bool = False) -> None:
        self.distributed_type = DistributedType[kind]
        plugin = SimpleNamespace(fsdp_version=version, activation_checkpointing=again)
        self.state = SimpleNamespace(fsdp_plugin=plugin)


def test_a_precision_that_accelerate_alone_is_told_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setattr(loop, "Accelerator", lambda **_: SetUp("NO"))
    with pytest.raises(BackendError, match="set precision=bf16 as well"):
        loop._accelerator(TuneOptions())
    loop._accelerator(TuneOptions(precision="bf16"))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (SetUp("DEEPSPEED"), "set up for DEEPSPEED: set it up for FSDP"),
        (SetUp("FSDP", version=1), "set fsdp_version: 2"),
        (SetUp("FSDP", again=True), "fsdp_activation_checkpointing gives wrong gradients"),
    ],
    ids=["deepspeed", "fsdp1", "checkpointing"],
)
def test_what_accelerate_is_set_up_for_and_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, found: SetUp, message: str
) -> None:
    monkeypatch.setattr(loop, "Accelerator", lambda **_: found)
    with pytest.raises(BackendError, match=message):
        loop._accelerator(TuneOptions())


# 4 bits


@pytest.fixture
def wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model whose layers are as wide as one block of quantised weights."""
    monkeypatch.setattr(tiny_answerer, "_WIDTH", 64)
    sizes = {"hidden_size": 64, "intermediate_size": 64}
    monkeypatch.setattr(tiny_answerer, "_TEXT", tiny_answerer._TEXT | sizes)
    monkeypatch.setattr(tiny_answerer, "_VISION", sizes)
    return tiny_answerer.save(tmp_path / "wide")


def test_an_adapter_is_trained_on_weights_of_four_bits(
    folder: Path, wide: Path, tmp_path: Path
) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weights = locate(str(wide), "main")
    model, options = HfAnswer(model=str(wide)), TuneOptions(quantize="nf4")
    small = Adapter(model, weights, options).network
    layers = {n: m for n, m in small.named_modules() if isinstance(m, bitsandbytes.nn.Linear4bit)}
    assert any("language_model" in name for name in layers)
    assert {layer.weight.quant_state.quant_type for layer in layers.values()} == {"nf4"}
    task = Adapter(model, weights, TuneOptions())
    name = next(name for name in layers if "language_model" in name)
    restored = bitsandbytes.functional.dequantize_4bit(
        layers[name].weight.data, layers[name].weight.quant_state
    )
    original = task.network.get_submodule(name).weight
    assert 0 < (restored - original).abs().mean() < 0.15 * original.abs().mean()
    quick = {"steps": 12, "accumulate": 8, "warmup": 1, "workers": 0, "learning_rate": 1e-2}
    chosen = TuneOptions(**quick, quantize="nf4", recompute=True)
    train(lessons(folder), model, chosen, tmp_path / "run")
    losses = [step["loss"] for step in curve(tmp_path / "run")]
    assert len(ANSWERS) == quick["accumulate"]
    assert losses[-1] < 0.8 * losses[0]
    # The adapter serves the model whose weights are whole.
    learned = LocalAnswerer(HfAnswer(model=str(tmp_path / "run" / "adapter")))._model
    batch = _Batches(lessons(folder), "tiny", weights, ends_of(task.network))[0]
    with torch.no_grad():
        before, after = (task.losses(each, batch)["loss"] for each in (task.network, learned))
    assert after < 0.8 * before


def test_the_form_of_the_weights_reaches_the_library(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without bitsandbytes: what transformers is asked for."""
    import transformers

    import seal.answer.train as module

    class AskedError(Exception):
        pass

    def from_pretrained(folder: Path, **more: Any) -> None:
        raise AskedError(more)

    monkeypatch.setattr(module, "require", lambda package, extra: None)
    monkeypatch.setattr(
        transformers.AutoModelForImageTextToText, "from_pretrained", from_pretrained
    )
    weights = locate(str(folder / "model"), "main")
    with pytest.raises(BackendError) as raised:
        Adapter(HfAnswer(model="tiny"), weights, TuneOptions(quantize="nf4"))
    more = raised.value.__cause__.args[0]
    assert more["device_map"] == {"": 0 if torch.cuda.is_available() else "cpu"}
    config = json.loads(more["quantization_config"].to_json_string(use_diff=False))
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    assert {key: config[key] for key in config if "4bit" in key} == {
        "load_in_4bit": True,
        "_load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": dtype,
        "bnb_4bit_quant_storage": dtype,
    }


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    weights = locate(str(folder / "model"), "main")
    with pytest.raises(BackendError) as raised:
        Adapter(HfAnswer(model="tiny"), weights, TuneOptions(quantize="nf4"))
    said = str(raised.value)
    assert "training on 4-bit weights needs bitsandbytes" in said
    assert 'pip install "seal-video[quantize]"' in said
    assert "\n" not in said


def test_weights_of_four_bits_do_not_learn() -> None:
    with pytest.raises(OptionError, match="quantize is for method=lora"):
        TuneOptions(method="full", quantize="nf4")
