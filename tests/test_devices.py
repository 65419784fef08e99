"""Where networks run, and how: what is chosen, what is refused, and what each choice changes."""

import dataclasses
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seal import encode, segment
from seal.config import ClipEncode, Options, Sam2Segment, SiglipEncode, deciding
from seal.errors import BackendError, OptionError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
import tiny_encoders  # noqa: E402
from seal.devices import Runtime, count_devices, resolve_device  # noqa: E402
from seal.weights import locate  # noqa: E402

import tiny_sam  # noqa: E402  # isort: skip

KINDS = ("cuda", "xpu", "mps")
Machine = Any


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Has torch find so many devices of each kind."""

    def found(**counts: int) -> None:
        for kind in KINDS:
            count = counts.get(kind, 0)
            here = torch.backends.mps if kind == "mps" else getattr(torch, kind)
            monkeypatch.setattr(here, "is_available", lambda count=count: count > 0)
            monkeypatch.setattr(getattr(torch, kind), "device_count", lambda count=count: count)

    empty = torch.empty
    # The devices are not there: what is put on one is put nowhere.
    monkeypatch.setattr(torch, "empty", lambda *size, device="cpu": empty(*size, device="meta"))
    return found


@pytest.mark.parametrize(
    ("counts", "chosen"),
    [
        ({}, "cpu"),
        ({"mps": 1}, "mps"),
        ({"xpu": 2}, "xpu"),
        ({"cuda": 1}, "cuda"),
        ({"cuda": 1, "xpu": 1, "mps": 1}, "cuda"),
        ({"xpu": 1, "mps": 1}, "xpu"),
    ],
)
def test_auto_takes_what_is_there(machine: Machine, counts: dict[str, int], chosen: str) -> None:
    machine(**counts)
    assert resolve_device("auto") == chosen
    assert {kind: count_devices(kind) for kind in KINDS} == dict.fromkeys(KINDS, 0) | counts
    assert count_devices("cpu") == 1


@pytest.mark.parametrize("device", ["cpu", *KINDS, "cuda:1", "xpu:1"])
def test_a_device_that_is_there_is_taken(machine: Machine, device: str) -> None:
    machine(cuda=2, xpu=2, mps=1)
    assert resolve_device(device) == device


@pytest.mark.parametrize("device", [*KINDS, "cuda:0"])
def test_a_device_that_is_not_there_is_refused(machine: Machine, device: str) -> None:
    machine()
    kind = device.partition(":")[0]
    with pytest.raises(BackendError, match=f"'{device}' cannot be used here .*no {kind} device"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda:2", "xpu:2"])
def test_a_device_beyond_the_last_is_refused(machine: Machine, device: str) -> None:
    machine(cuda=2, xpu=2)
    with pytest.raises(BackendError, match=r"finds 2 of its kind.*valid: \"auto\""):
        resolve_device(device)


@pytest.mark.parametrize("device", ["gpu", "cuda:first", "", "tpu"])
def test_a_device_that_nobody_knows_is_refused(device: str) -> None:
    with pytest.raises(BackendError, match='valid: "auto"'):
        resolve_device(device)


def test_a_torch_without_a_kind_has_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "xpu")
    assert count_devices("xpu") == 0
    with pytest.raises(BackendError, match="no xpu device"):
        resolve_device("xpu")


@pytest.mark.parametrize(
    ("counts", "masks", "embeddings"),
    [
        ({}, "float32", "float32"),
        ({"mps": 1}, "float32", "float32"),
        ({"cuda": 1}, "bfloat16", "float16"),
        ({"xpu": 1}, "bfloat16", "float16"),
    ],
)
def test_the_precision_that_is_right_for_a_device(
    machine: Machine, counts: dict[str, int], masks: str, embeddings: str
) -> None:
    machine(**counts)
    assert Runtime.of(Sam2Segment()).dtype == masks
    assert Runtime.of(SiglipEncode(), half="float16").dtype == embeddings
    assert Runtime.of(Sam2Segment(dtype="float32")).dtype == "float32"


def test_what_decides_tokens() -> None:
    """A precision that is asked for does, and where and how fast they are made does not."""
    plain = deciding(Sam2Segment())
    assert "dtype" not in plain
    assert deciding(Sam2Segment(device="cpu", attention="eager", compile=True)) == plain
    assert deciding(Sam2Segment(dtype="bfloat16")) == {**plain, "dtype": "bfloat16"}


@pytest.mark.parametrize("setting", ["segment.dtype=float64", "track.attention=fast"])
def test_other_precisions_and_attentions_are_refused(setting: str) -> None:
    with pytest.raises(OptionError, match=setting.partition("=")[0]):
        Options.load("base", [setting])


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_encoders.save_siglip(tmp_path_factory.mktemp("siglip")))


def embedded(folder: str, **options: Any) -> np.ndarray:
    encoder = encode.load(SiglipEncode(weights=folder, **options))
    return encoder.encode_images(tiny_encoders.pictures())


def test_pictures_in_batches_are_those_one_at_a_time(siglip: str) -> None:
    np.testing.assert_allclose(
        embedded(siglip, batch_size=4), embedded(siglip, batch_size=1), atol=1e-4
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_are_near_and_not_the_same(siglip: str, dtype: str) -> None:
    exact, near = embedded(siglip), embedded(siglip, dtype=dtype)
    assert 1e-6 < np.abs(exact - near).max() < 0.1
    assert near.dtype == np.float32


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_that_is_asked_for_runs(siglip: str, attention: str) -> None:
    encoder = encode.load(SiglipEncode(weights=siglip, attention=attention))
    found = encoder.encode_images(tiny_encoders.pictures())
    assert encoder._vision.config._attn_implementation == attention
    np.testing.assert_allclose(found, embedded(siglip), atol=1e-4)


def test_an_attention_that_is_not_installed_is_refused(siglip: str) -> None:
    with pytest.raises(BackendError, match="FlashAttention2"):
        embedded(siglip, attention="flash_attention_2")


# torch.compile itself uses what torch has deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["siglip", "clip"])
def test_a_compiled_network_gives_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(getattr(tiny_encoders, f"save_{name}")(tmp_path))
    options = {"siglip": SiglipEncode, "clip": ClipEncode}[name](weights=folder)
    pictures = tiny_encoders.pictures()[:4]
    plain = encode.load(options).encode_images(pictures)
    runs: list[Any] = []
    # Traced, and run as traced: to write and build C++ takes minutes.
    eager = torch._dynamo.lookup_backend("eager")

    def traced(graph: Any, inputs: Any) -> Any:
        runs.append(graph)
        return eager(graph, inputs)

    compiling = partialmethod(torch.nn.Module.compile, backend=traced)
    monkeypatch.setattr(torch.nn.Module, "compile", compiling)
    compiled = encode.load(dataclasses.replace(options, compile=True))
    np.testing.assert_allclose(compiled.encode_images(pictures), plain, atol=1e-4)
    assert runs
    runs.clear()
    compiled.encode_texts(["a dog"])
    assert not runs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiling_is_asked_of_the_network_that_looks_at_pictures(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tiny_sam.save("sam2", tmp_path_factory.mktemp("sam2"))
    for wanted in (True, False):
        model = segment.load(Sam2Segment(weights=folder, compile=wanted))._model
        assert (model.vision_encoder._compiled_call_impl is not None) == wanted


def test_products_in_sixteen_bits_end_with_the_block(siglip: str) -> None:
    runtime = Runtime("cpu", "bfloat16", "auto", compile=False)
    layer = runtime.load("SiglipVisionModel", locate(siglip, "main")).post_layernorm
    linear = torch.nn.Linear(layer.normalized_shape[0], 2)
    rows = torch.ones(1, layer.normalized_shape[0])
    with runtime.running():
        assert linear(rows).dtype == torch.bfloat16
        assert not linear(rows).requires_grad
    assert linear(rows).dtype == torch.float32


def test_the_doctor_lists_every_device(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    from seal import diagnosis

    machine(cuda=1, xpu=2, mps=1)
    for kind in ("cuda", "xpu"):
        monkeypatch.setattr(getattr(torch, kind), "get_device_name", lambda number: f"No. {number}")
    found, broken = diagnosis._devices()
    assert broken is None
    assert found == ("cuda:0 (No. 0)", "xpu:0 (No. 0)", "xpu:1 (No. 1)", "mps", "cpu")
