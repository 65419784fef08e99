"""Nothing is fetched that a file names and the user does not, and no code of a model is run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import seal
from forked import python
from hub_server import Hub, serve
from seal.answer.local import LocalAnswerer
from seal.config import HfAnswer, SiglipEncode
from seal.encode import load
from seal.errors import BackendError
from seal.store import Store
from synthetic import write_video

pytest.importorskip("transformers")

ASKING = """
import sys
from click.testing import CliRunner
from seal.cli import main
film, store, count = sys.argv[1:]
tried = (
    ["find", film, "a cat"], ["select", film, "a cat"], ["ask", film, "a cat"],
    ["show", film, "a cat", "-o", "page.html"], ["find", "--all", "a cat"],
    ["list"], ["tokens", film], ["remove", film],
)
for words in tried[: int(count)]:
    run = CliRunner().invoke(main, [*words, "--store", store])
    print(words[0], run.exit_code, run.stderr.splitlines()[-1] if run.exit_code else "-")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_encoders

    return tiny_encoders.save_siglip(tmp_path_factory.mktemp("saved") / "encoder")


@pytest.fixture
def hub(saved: Path) -> Iterator[Hub]:
    with serve(Hub({"tiny/encoder": saved})) as running:
        yield running


def printed(hub: Hub, home: Path, *arguments: str) -> str:
    """What a Python prints that knows this hub alone, and has its cache in `home`."""
    dropped = ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    run = subprocess.run(
        [*python(), *arguments], env=environment, cwd=home.parent, check=False, timeout=300,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_store_of_someone_else_fetches_nothing_without_consent(
    hub: Hub, saved: Path, tmp_path: Path
) -> None:
    film, other = str(write_video(tmp_path / "film.mp4", range(0, 800, 80))), tmp_path / "other"
    settings = ["encode.backend=siglip", f"encode.weights={saved}", "video.short_side_px=64"]
    video = seal.open(other).index(film, options=settings)
    # As if it had been indexed with the model of the hub.
    named = {**video.record.encoder_options, "weights": "tiny/encoder"}
    encoder = f"siglip tiny/encoder@{hub.commit('tiny/encoder')}"
    record = replace(video.record, encoder_options=named, encoder=encoder)
    Store(other).finish(record, record.keys)
    store = shutil.copytree(other, tmp_path / "store")

    lines = printed(hub, tmp_path / "ours", "-c", ASKING, film, str(other), "8").splitlines()
    assert hub.requests == []
    remedy = (
        "seal prepare mini --set encode.backend=siglip --set encode.weights=tiny/encoder"
        " --set encode.revision=main"
    )
    *asked, listed, tokens, removed = lines
    assert [line.split()[0] for line in asked] == ["find", "select", "ask", "show", "find"]
    for line in asked:
        assert line.split()[1] == "1"
        assert "seal: no weights 'tiny/encoder'" in line
        assert line.endswith(f"If you want them: {remedy}")
    assert [listed, tokens, removed] == ["list 0 -", "tokens 0 -", "remove 0 -"]

    # The command that the error names is the consent, and afterwards nothing is asked of the hub.
    printed(hub, tmp_path / "ours", "-m", "seal.cli", *shlex.split(remedy)[1:], "--yes")
    assert "model.safetensors" in hub.fetched()
    hub.requests.clear()
    lines = printed(hub, tmp_path / "ours", "-c", ASKING, film, str(store), "1").splitlines()
    assert lines == ["find 0 -"]
    assert hub.requests == []


def test_an_adapter_does_not_fetch_its_base(hub: Hub, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"base_model_name_or_path": "tiny/encoder", "revision": None}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    code = f"""
from seal.answer.local import LocalAnswerer
from seal.config import HfAnswer
from seal.errors import BackendError
from seal.store import Store
try:
    LocalAnswerer(HfAnswer(model={str(adapter)!r}))
except BackendError as error:
    print(error)
"""
    said = printed(hub, tmp_path / "home", "-c", code)
    assert "seal prepare mini --set answer.backend=hf --set answer.model=tiny/encoder" in said
    assert hub.requests == []


def needing_code(folder: Path, mark: Path) -> Path:
    """A model that transformers loads with Python files of the model alone."""
    folder.mkdir()
    auto = {
        "AutoConfig": "odd.OddConfig", "AutoModelForImageTextToText": "odd.OddModel",
        "AutoProcessor": "odd.OddProcessor", "AutoTokenizer": ["odd.OddTokenizer", None],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({"model_type": "odd", "auto_map": auto}))
    (folder / "odd.py").write_text(f"open({str(mark)!r}, 'w')")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


def test_a_model_that_needs_code_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is asked, either.
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    mark = tmp_path / "was-run"
    folder = needing_code(tmp_path / "odd", mark)
    with pytest.raises(BackendError) as caught:
        LocalAnswerer(HfAnswer(model=str(folder), device="cpu"))
    message = str(caught.value)
    assert "needs Python code that comes with the model, and SEAL never runs such code" in message
    assert "trust_remote_code" not in message
    assert "torchvision" not in message
    assert not mark.exists()


def test_code_beside_a_model_that_is_known_is_not_run(saved: Path, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    folder = Path(shutil.copytree(saved, tmp_path / "encoder"))
    (folder / "odd.py").write_text(f"open({str(mark)!r}, 'w')")
    for name, auto in (("config", "AutoConfig"), ("tokenizer_config", "AutoTokenizer")):
        settings = json.loads((folder / f"{name}.json").read_text())
        classes = ["odd.Odd", None] if auto == "AutoTokenizer" else "odd.Odd"
        settings["auto_map"] = {auto: classes}
        (folder / f"{name}.json").write_text(json.dumps(settings))
    rows = load(SiglipEncode(weights=str(folder), device="cpu")).encode_texts(["a cat"])
    assert rows.shape == (1, 32)
    assert not mark.exists()
