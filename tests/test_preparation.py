"""`seal doctor` and `seal prepare`, with a hub of tiny models on loopback."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forked import python
from hub_server import Hub, serve
from seal import preparation
from seal.config import PROFILES, Options
from seal.dependencies import Dependency, dependency, stated
from seal.diagnosis import ProfileState, StageState, diagnose
from seal.errors import BackendError, OptionError
from seal.preparation import Need, needs, options_for, size
from seal.weights import check_whole
from small_disk import mounted

pytest.importorskip("transformers")

MODELS = {"segment": "tiny/segmenter", "track": "tiny/tracker", "encode": "tiny/encoder"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models as they are published, with files beside them that nobody loads."""
    import tiny_encoders
    import tiny_sam

    folder = tmp_path_factory.mktemp("saved")
    tiny_sam.save("sam2", folder / "segmenter")
    tiny_sam.save("sam2_video", folder / "tracker")
    encoder = tiny_encoders.save_siglip(folder / "encoder")
    for name in ("pytorch_model.bin", "model.pt", "modeling_tiny.py", "README.md"):
        (encoder / name).write_bytes(b"not to be loaded")
    (encoder / "onnx").mkdir()
    (encoder / "onnx" / "config.json").write_text("{}")
    return folder


@pytest.fixture
def hub(saved: Path) -> Iterator[Hub]:
    with serve(Hub({f"tiny/{path.name}": path for path in saved.iterdir()})) as running:
        yield running


Seal = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """No hub but this, and a cache of its own."""
    changed = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    dropped = ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN")
    return {key: value for key, value in os.environ.items() if key not in dropped} | changed


@pytest.fixture
def seal(environment: dict[str, str]) -> Seal:
    """The command, without a terminal."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*python(), "-m", "seal.cli", *arguments], env=environment | more,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return run


def setting(models: dict[str, str] | None = None) -> list[str]:
    return [f"--set={stage}.weights={name}" for stage, name in (models or MODELS).items()]


def one_line(run: subprocess.CompletedProcess[str]) -> str:
    """The complaint of a run that failed with one."""
    assert run.returncode == 1, run.stderr
    complaints = [line for line in run.stderr.splitlines() if line.startswith("seal: ")]
    assert len(complaints) == 1
    assert run.stderr.splitlines()[-1] == complaints[0]
    assert "Traceback" not in run.stderr
    return complaints[0]


def test_sizes_come_first_and_nothing_is_fetched_without_consent(
    seal: Seal, hub: Hub, saved: Path, tmp_path: Path
) -> None:
    run = seal("prepare", "base", *setting())
    assert run.returncode == 2
    assert not hub.fetched()
    assert not [path for path in (tmp_path / "home").rglob("*") if path.suffix == ".safetensors"]
    for name in MODELS.values():
        assert f"{name} (revision main, {hub.commit(name)})" in run.stdout
    loaded = [
        path for path in saved.rglob("*")
        if path.suffix in (".json", ".safetensors") and path.parent.name != "onnx"
    ]  # fmt: skip
    total = size(sum(path.stat().st_size for path in loaded))
    assert run.stdout.splitlines()[0] == (
        f"base: {total} in all, 0 B already here, {total} to download"
    )
    assert f"{total} to download: confirm with --yes" in run.stderr


@pytest.mark.parametrize("answer", ["n", "y"])
def test_a_terminal_is_asked(answer: str, hub: Hub, environment: dict[str, str]) -> None:
    terminal, end = pty.openpty()
    command = [*python(), "-m", "seal.cli", "prepare", "base", *setting()]
    os.write(terminal, f"{answer}\n".encode())
    run = subprocess.run(
        command, env=environment, stdin=end, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    os.close(end)
    os.close(terminal)
    assert "Download 4.9 MB? [y/N]" in run.stderr
    assert run.returncode == (0 if answer == "y" else 1)
    assert bool(hub.fetched()) == (answer == "y")


def test_what_is_downloaded_loads_without_a_network(
    seal: Seal, hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    first = seal("prepare", "base", *setting(), "--yes", "--json")
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert (result["profile"], result["complete"], result["missing_bytes"]) == ("base", True, 0)
    assert {model["name"] for model in result["models"]} == {*MODELS.values()}
    listed = [file["name"] for model in result["models"] for file in model["files"]]
    assert sorted(hub.fetched()) == sorted(listed)
    kept = {path.name for path in (tmp_path / "home").rglob("*")}
    assert not kept & {"pytorch_model.bin", "model.pt", "modeling_tiny.py", "README.md", "onnx"}
    # The real back ends load them where no connection can be opened.
    code = """
import sys
def refuse(event, arguments):
    assert event not in ("socket.connect", "socket.getaddrinfo"), arguments
sys.addaudithook(refuse)
from seal import encode, segment, track
from seal.config import Options
options = Options.load("base", sys.argv[1:])
segmenter = segment.load(options.segment)
track.load(options.track, segmenter)
print(encode.load(options.encode).encode_texts(["a dog"]).shape)
"""
    settings = [option.removeprefix("--set=") for option in setting()]
    run = subprocess.run(
        [sys.executable, "-c", code, *settings], env=environment | {"HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.stdout == "(1, 32)\n", run.stderr
    # Nothing is left to do, so nothing is asked.
    hub.requests.clear()
    again = seal("prepare", "base", *setting())
    assert again.returncode == 0
    assert not hub.fetched()
    assert "0 B to download" in again.stdout


def big_model(folder: Path, megabytes: int = 22) -> Path:
    """A model that the hub's client reads in several chunks (of 10 MB)."""
    from safetensors.numpy import save_file

    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"w": np.zeros(megabytes << 20, np.uint8)}, folder / "model.safetensors")
    return folder


def test_a_broken_connection_goes_on_where_it_broke(seal: Seal, hub: Hub, tmp_path: Path) -> None:
    hub.models["tiny/big"] = big_model(tmp_path / "big")
    hub.breaks["model.safetensors"] = 1
    run = seal("prepare", "mini", "--set=find.head=tiny/big", "--yes")
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    asked = [each.range for each in hub.requests if each.path.endswith("/model.safetensors")
             and each.method == "GET"]  # fmt: skip
    assert asked == [None, "bytes=10485760-"]


def test_a_second_run_fetches_only_what_the_first_did_not_finish(seal: Seal, hub: Hub) -> None:
    hub.breaks["tokenizer.json"] = 1_000
    message = one_line(seal("prepare", "base", *setting(), "--yes"))
    assert "tiny/encoder: the download" in message
    assert "run the same command again" in message
    finished = {name for name in hub.fetched() if name != "tokenizer.json"}
    hub.breaks.clear()
    hub.requests.clear()
    again = seal("prepare", "base", *setting(), "--yes")
    assert again.returncode == 0, again.stderr
    assert hub.fetched() == ["tokenizer.json"]
    assert "model.safetensors" in finished


def test_an_interrupted_update_leaves_the_older_commit_usable(
    seal: Seal, hub: Hub, tmp_path: Path
) -> None:
    model = hub.models["tiny/big"] = big_model(tmp_path / "big", 1)
    arguments = ("prepare", "mini", "--set=find.head=tiny/big", "--yes")
    assert seal(*arguments).returncode == 0
    before = hub.commit("tiny/big")
    (model / "vocab.json").write_text('{"new": 1}')
    hub.breaks["vocab.json"] = 1_000
    one_line(seal(*arguments))
    refs = tmp_path / "home" / "hub" / "models--tiny--big" / "refs" / "main"
    assert refs.read_text() == before
    hub.breaks.clear()
    hub.requests.clear()
    assert seal(*arguments).returncode == 0
    assert refs.read_text() == hub.commit("tiny/big") != before
    assert hub.fetched() == ["vocab.json"]


def test_a_file_that_was_cut_off_in_the_cache_is_fetched_again(
    seal: Seal, hub: Hub, tmp_path: Path
) -> None:
    arguments = ("prepare", "base", *setting(), "--yes")
    assert seal(*arguments).returncode == 0
    cached = next((tmp_path / "home" / "hub").glob("models--tiny--tracker/**/model.safetensors"))
    os.truncate(cached, 1000)
    hub.requests.clear()
    run = seal(*arguments)
    assert run.returncode == 0, run.stderr
    assert hub.fetched() == ["model.safetensors"]


def test_a_model_that_lacks_a_file_is_found_out_afterwards(
    seal: Seal, hub: Hub, tmp_path: Path
) -> None:
    model = hub.models["tiny/big"] = big_model(tmp_path / "big", 1)
    index = {"weight_map": {"w": "model-00001-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    message = one_line(seal("prepare", "mini", "--set=find.head=tiny/big", "--yes"))
    assert "mini is not ready" in message
    assert "model-00001-of-00002.safetensors is missing" in message


def test_the_base_of_an_adapter_is_downloaded_after_it(
    seal: Seal, hub: Hub, tmp_path: Path
) -> None:
    hub.models["tiny/base"] = big_model(tmp_path / "base", 1)
    adapter = hub.models["tiny/adapter"] = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny/base"}')
    weights = (tmp_path / "base" / "model.safetensors").read_bytes()
    (adapter / "adapter_model.safetensors").write_bytes(weights)
    choice = ("--set=answer.backend=hf", "--set=answer.model=tiny/adapter")
    run = seal("prepare", "mini", *choice, "--yes", "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert [model["name"] for model in result["models"]] == ["tiny/adapter", "tiny/base"]
    assert result["complete"] is True
    assert sorted(hub.fetched()) == [
        "adapter_config.json", "adapter_model.safetensors", "config.json", "model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda hub: {"encode": "tiny/nothing"}, r"no model tiny/nothing.*hf auth login"),
        (lambda hub: hub.gated.add("tiny/encoder"), r"tiny/encoder is gated.*hf auth login"),
        (lambda hub: hub.refusing.add("tiny/encoder"), r"refuses access to tiny/encoder.*HF_TOKEN"),
        (lambda hub: {"encode": "not a name"}, r"'not a name' is neither a folder nor a name"),
    ],
    ids=["missing", "gated", "refused", "no name"],
)
def test_a_model_that_the_hub_does_not_give(
    prepare: Callable[[Hub], Any], expected: str, seal: Seal, hub: Hub
) -> None:
    models = MODELS | (prepare(hub) or {})
    message = one_line(seal("prepare", "base", *setting(models), "--yes"))
    assert re.search(expected, message), message
    assert not hub.fetched()


def test_a_revision_that_does_not_exist(seal: Seal, hub: Hub) -> None:
    run = seal("prepare", "base", *setting(), "--set=encode.revision=v9", "--yes")
    assert "tiny/encoder has no revision 'v9'" in one_line(run)
    assert not hub.fetched()


def test_a_hub_that_cannot_be_reached(seal: Seal) -> None:
    nowhere = "http://127.0.0.1:9"
    message = one_line(seal("prepare", "base", "--yes", HF_ENDPOINT=nowhere))
    assert nowhere in message
    assert "check the network" in message
    assert "HF_HUB_OFFLINE is set" in one_line(seal("prepare", "base", HF_HUB_OFFLINE="1"))


def test_a_model_of_pickles_alone_is_refused(seal: Seal, hub: Hub, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    hub.models["tiny/pickled"] = pickled
    run = seal("prepare", "base", *setting(MODELS | {"encode": "tiny/pickled"}), "--yes")
    message = one_line(run)
    assert "pytorch_model.bin" in message
    assert "reads no pickles" in message
    assert not hub.fetched()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB of its own."""
    with mounted(tmp_path / "small", megabytes=2) as place:
        yield place


def test_a_disk_that_is_too_small_is_said_before_the_download(
    seal: Seal, hub: Hub, small_disk: Path
) -> None:
    message = one_line(seal("prepare", "base", *setting(), "--yes", HF_HOME=str(small_disk)))
    assert "2.1 MB free and 4.9 MB are needed" in message
    assert not hub.fetched()


def test_a_disk_that_fills_up_during_the_download(
    seal: Seal, hub: Hub, small_disk: Path, tmp_path: Path
) -> None:
    hub.models["tiny/big"] = big_model(tmp_path / "big", 1)
    arguments = ("prepare", "mini", "--set=find.head=tiny/big", "--yes")
    ballast = small_disk / "ballast"

    def fill(name: str) -> None:
        if name == "model.safetensors":
            ballast.write_bytes(bytes(1_800_000))

    hub.on_file = fill
    message = one_line(seal(*arguments, HF_HOME=str(small_disk)))
    assert str(small_disk) in message
    assert "is full" in message
    ballast.unlink()
    hub.on_file = lambda _: None
    hub.requests.clear()
    assert seal(*arguments, HF_HOME=str(small_disk)).returncode == 0
    assert hub.fetched() == ["model.safetensors"]


def test_models_in_folders_are_listed_and_not_downloaded(seal: Seal, hub: Hub, saved: Path) -> None:
    folders = {stage: str(saved / name.split("/")[1]) for stage, name in MODELS.items()}
    run = seal("prepare", "base", *setting(folders))
    assert run.returncode == 0, run.stderr
    assert f"encode: {folders['encode']} (a folder)" in run.stdout
    assert not hub.requests


def test_mini_needs_nothing_and_opens_no_connection(seal: Seal, hub: Hub) -> None:
    run = seal("prepare", "mini")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "mini needs no download: its models are in the package\n"
    assert json.loads(seal("prepare", "mini", "--json").stdout) == {
        "profile": "mini", "complete": True, "size_bytes": 0, "missing_bytes": 0, "models": [],
    }  # fmt: skip
    assert not hub.requests


@pytest.mark.parametrize("wrong", ["encode.batch_size=2", "actions.min_length_s=1"])
def test_a_setting_that_changes_no_model_is_an_error(wrong: str) -> None:
    with pytest.raises(OptionError, match="does not change which models"):
        options_for("base", [wrong])


def test_every_stage_with_a_model_says_so() -> None:
    for profile in PROFILES:
        options = Options.load(profile)
        found = {need.stage: need for need in needs(options)}
        for stage in ("segment", "track", "encode", "answer"):
            need = found[stage]
            named = getattr(getattr(options, stage), "weights", None)
            assert need.model == named
            assert (need.extra == "models") == (named is not None)
    chosen = options_for("mini", ["answer.backend=hf", "answer.revision=v1"])
    assert needs(chosen)[-1].model == "Qwen/Qwen3-VL-2B-Instruct"
    assert needs(chosen)[-1].revision == "v1"
    assert needs(options_for("mini", ["answer.backend=openai"]))[-1].extra == "answer"
    found = {need.stage: need for need in needs(options_for("mini", ["read.backend=rapidocr"]))}
    assert (found["read"].extra, found["read"].model) == ("read", None)


def test_an_adapter_needs_its_base_as_well(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "tiny/base"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    found = needs(options_for("mini", ["answer.backend=hf", f"answer.model={adapter}"]))[-2:]
    assert [(each.model, each.extra) for each in found] == [
        (str(adapter), "train"), ("tiny/base", "train"),
    ]  # fmt: skip


WATCHED = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("connection", arguments, file=sys.stderr)
        sys.stderr.flush()
        import os
        os._exit(99)
sys.addaudithook(refuse)
from seal.cli import main
try:
    main(sys.argv[1:])
finally:
    # It reports to its maker as soon as it is imported, from code that the hook does not see.
    assert "onnxruntime" not in sys.modules
"""


def test_doctor_opens_no_connection(hub: Hub, environment: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WATCHED, "doctor", "--json"], env=environment, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert not hub.requests
    assert result["python"] == sys.version.split()[0]
    assert result["ffmpeg"][0].isdigit()
    assert "cpu" in result["devices"]
    torch = next(each for each in result["packages"] if each["package"] == "torch")
    assert torch["version"] == importlib.metadata.version("torch")
    # What every profile can do with and without, the server and words for example, is listed too.
    extras = {each["extra"] for each in result["packages"]}
    assert {"serve", "export", "speech", "read", "multilingual", "answer", "cloud"} <= extras
    states = {each["profile"]: each for each in result["profiles"]}
    assert states.keys() == PROFILES.keys()
    assert states["mini"]["ready"] is True
    assert states["base"]["ready"] is False
    assert states["base"]["remedies"] == ["seal prepare base"]
    encode = next(each for each in states["base"]["stages"] if each["stage"] == "encode")
    assert encode["model"] == "google/siglip2-base-patch16-224"
    assert encode["problems"] == ["the model is not here"]


def test_doctor_names_the_processor_where_torch_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = importlib.metadata.version

    def without(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr("importlib.metadata.version", without)
    said = str(diagnose(["mini"]))
    assert "devices: cpu (torch, which finds GPUs, is not installed" in said


def test_doctor_says_what_is_there_and_what_is_damaged(
    seal: Seal, hub: Hub, saved: Path, tmp_path: Path
) -> None:
    base = Options.load("base")
    for stage, name in (("segment", base.segment.weights), ("encode", base.encode.weights)):
        hub.models[name] = saved / MODELS[stage].split("/")[1]
    assert seal("doctor", "base").returncode == 1
    assert seal("prepare", "base", "--set=track.backend=motion", "--yes").returncode == 0
    run = seal("doctor", "base")
    assert run.returncode == 0
    assert "encode: siglip, google/siglip2-base-patch16-224 (main), 217 kB: ready" in run.stdout
    cached = next((tmp_path / "home" / "hub").glob("models--google--*/**/model.safetensors"))
    for length, problem in ((100_000, "it has 100,000 bytes of"), (1000, "within its header")):
        os.truncate(cached, length)
        damaged = seal("doctor", "base", "--json")
        assert damaged.returncode == 1
        state = json.loads(damaged.stdout)["profiles"][0]
        (encode,) = (stage for stage in state["stages"] if stage["stage"] == "encode")
        assert problem in encode["problems"][0]
        assert state["remedies"] == ["seal prepare base"]
    assert seal("prepare", "base", "--yes").returncode == 0
    assert seal("doctor", "base").returncode == 0


def test_an_unknown_profile_is_wrong_use(seal: Seal) -> None:
    for command in ("doctor", "prepare"):
        run = seal(command, "huge")
        assert run.returncode == 2
        assert all(name in run.stderr for name in PROFILES)


def test_packages_are_those_of_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = dependency("torch", "models")
    assert torch in stated("models")
    assert torch.minimum
    assert f"torch>={torch.minimum}; extra == 'models'" in importlib.metadata.requires("seal-video")
    assert {each.package for each in stated()} >= {"av", "numpy", "onnxruntime"}
    assert not {each.package for each in stated()} & {each.package for each in stated("models")}
    assert dependency("huggingface_hub", "models").minimum is None


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        (Dependency("no-such-package", "1.0", "models"), r'pip install "seal-video\[models\]"'),
        (Dependency("numpy", "999", "train"), r'pip install -U "seal-video\[train\]"'),
        (Dependency("numpy", "999"), r"needs numpy>=999, and version .* pip install -U seal-video"),
    ],
)
def test_a_missing_or_old_package_says_what_to_run(needed: Dependency, expected: str) -> None:
    assert not needed.is_met
    with pytest.raises(BackendError, match=expected) as caught:
        needed.require("training")
    assert str(caught.value).startswith("training needs ")


def test_a_package_in_reach_is_imported() -> None:
    assert Dependency("numpy", "1.0").require("this", "numpy.linalg") is np.linalg


def test_progress_is_a_line_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "_REPORT_EVERY_S", 0.01)
    monkeypatch.setattr(preparation, "_cache_of", lambda name: tmp_path)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "older").write_bytes(bytes(500))
    file = preparation.PlannedFile("model.safetensors", 2000, False)
    model = preparation.PlannedModel(("encode",), "tiny/big", "main", "0123", (file,))
    lines: list[str] = []
    come = threading.Event()

    def say(line: str) -> None:
        lines.append(line)
        if line == "tiny/big: 1.0 kB of 2.0 kB":
            come.set()

    with preparation._reporting(model, say):
        while len(lines) < 2:  # The older file is counted before the new one is there.
            time.sleep(0.01)
        (tmp_path / "blobs" / "new.incomplete").write_bytes(bytes(1000))
        assert come.wait(10)
    assert lines[:2] == ["tiny/big: downloading 2.0 kB", "tiny/big: 0 B of 2.0 kB"]


def test_remedies_begin_with_packages() -> None:
    states = tuple(
        StageState(Need("encode", "siglip"), None, ("a problem",), lines)
        for lines in (("seal prepare base",), ("pip install x", "seal prepare base"))
    )
    state = ProfileState("base", states)
    assert state.remedies == ["pip install x", "seal prepare base"]
    assert "run: pip install x" in str(state)


def test_a_model_in_pieces_needs_all_of_them(tmp_path: Path) -> None:
    folder = big_model(tmp_path / "big", 1)
    check_whole(folder)
    index = {"weight_map": {"w": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BackendError, match=r"model-00001-of-00002\.safetensors is missing"):
        check_whole(folder)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_600, "100 kB"), (999_600, "1.0 MB"),
     (2_560_000_000, "2.6 GB"), (5 * 10**15, "5000 TB")],
)  # fmt: skip
def test_sizes_as_people_read_them(count: int, text: str) -> None:
    assert size(count) == text
