"""Weights load from a folder or the hub's cache, and what is missing is named."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from seal.errors import BackendError
from seal.weights import Weights, load_model, locate, require

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP text tower with random weights, as the library saves it."""
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8, projection_dim=4,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tiny-clip")
    transformers.CLIPTextModelWithProjection(config).save_pretrained(path)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache and no network."""
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_folder_loads_with_the_weights_it_holds(folder: Path) -> None:
    model = load_model("CLIPTextModelWithProjection", locate(str(folder), "main"), "cpu")
    expected = transformers.CLIPTextModelWithProjection.from_pretrained(folder).state_dict()
    assert not model.training
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        np.testing.assert_array_equal(value.numpy(), expected[name].numpy())


def test_half_precision_checkpoints_become_float32(folder: Path, tmp_path: Path) -> None:
    model = transformers.CLIPTextModelWithProjection.from_pretrained(folder).half()
    model.save_pretrained(tmp_path)
    loaded = load_model("CLIPTextModelWithProjection", locate(str(tmp_path), "main"), "cpu")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_the_fingerprint_follows_the_contents(folder: Path, copy: Path) -> None:
    def of(path: Path) -> str:
        return locate(str(path), "main").fingerprint.partition("@")[2]

    before = of(copy)
    assert before == of(folder)
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    assert of(copy) != before


def test_the_cache_of_the_hub_is_used_without_a_network(folder: Path, offline_cache: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = offline_cache / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    weights = locate("someone/tiny", "main")
    assert weights.fingerprint == f"someone/tiny@{commit}"
    load_model("CLIPTextModelWithProjection", weights, "cpu")


@pytest.mark.parametrize("name", ["someone/tiny", "/no/such/folder", "not a name"])
def test_weights_that_are_nowhere_say_what_to_do(name: str, offline_cache: Path) -> None:
    with pytest.raises(BackendError, match="set `weights` to their folder") as caught:
        locate(name, "main")
    assert name in str(caught.value)
    assert str(offline_cache) in str(caught.value)


def test_pickles_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(BackendError, match="no pickles") as caught:
        locate(str(copy), "main")
    assert "pytorch_model.bin" in str(caught.value)


def test_a_network_with_random_layers_is_refused(folder: Path) -> None:
    with pytest.raises(BackendError, match=r"no CLIPVisionModelWithProjection: .* not there"):
        load_model("CLIPVisionModelWithProjection", locate(str(folder), "main"), "cpu")


def test_damaged_files_are_an_error(copy: Path) -> None:
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(BackendError, match="does not load as CLIPTextModel"):
        load_model("CLIPTextModelWithProjection", locate(str(copy), "main"), "cpu")


def test_an_unknown_model_class_is_an_error(folder: Path) -> None:
    with pytest.raises(BackendError, match="cannot give Sam9Model"):
        load_model("Sam9Model", Weights(folder, ""), "cpu")


def test_a_missing_extra_says_how_to_install_it() -> None:
    with pytest.raises(BackendError, match=r'pip install "seal-video\[models\]"'):
        require("a_module_that_is_not_there")


def test_model_files_as_values(folder: Path) -> None:
    weights = locate(str(folder), "main")
    assert weights.json("config.json")["hidden_size"] == 8
    assert weights.json("preprocessor_config.json") == {}
