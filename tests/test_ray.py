"""The engine ray, on a cluster of two nodes of one CPU each."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seal.store import Store
from seal.types import Tokens
from synthetic import write_video
from test_engines import IN_PARTS, indexed, made_up, same

if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed (extra [ray])", allow_module_level=True)

TESTS = Path(__file__).parent
PATIENCE_S = 300
NO_DETECTOR = "detect.backend=none"


class Nodes:
    """A cluster of processes."""

    def __init__(self) -> None:
        token = os.urandom(16).hex()
        environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        self._process = subprocess.Popen(
            [sys.executable, TESTS / "ray_nodes.py", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment | findable(),
        )
        address = self._said("address:")
        self.environment = environment | findable() | {"RAY_ADDRESS": address}

    def _said(self, word: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise AssertionError("the cluster did not start")

    def kill_one(self) -> None:
        """One node dies, and another one comes."""
        assert self._process.stdin
        print("kill", file=self._process.stdin, flush=True)
        self._said("killed")

    def close(self) -> None:
        self._process.communicate()


def findable() -> dict[str, str]:
    """Tasks find what these tests find."""
    return {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", range(0, 24_000, 40), gop=50)


@pytest.fixture(scope="module")
def wanted(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return indexed(clip, tmp_path_factory.mktemp("wanted") / "store", made_up())


SCRIPT = """
import json, sys, time
from pathlib import Path
import seal
from made_up import CentreTracker, ColourEncoder, MoodySegmenter
path, store, dies, *options = sys.argv[1:]
seen = []
video = seal.open(store).index(
    path,
    engine="ray",
    options=options,
    on_progress=seen.append,
    **({} if dies == "-" else dict(
        segmenter=MoodySegmenter(dies=Path(dies), pause_s=0.5),
        tracker=CentreTracker(),
        encoder=ColourEncoder(),
    )),
)
print(json.dumps([max(len(progress.workers) for progress in seen), seen[-2].done_s]))
"""


def by_ray(nodes: Nodes, path: Path, store: Path, dies: Path | str, *options: str) -> list[float]:
    """The largest number of workers at a time, and the seconds done."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, store, dies, *IN_PARTS, *options],
        env=nodes.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[float] = json.loads(done.stdout)
    return found


def tokens_in(store: Path) -> Tokens:
    opened = Store(store)
    (record,) = opened.videos()
    assert opened.unfinished() == []
    return opened.tokens(record.id)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port"])
def test_an_address_where_nothing_answers_is_an_error_at_once(
    clip: Path, tmp_path: Path, address: str
) -> None:
    command = [sys.executable, "-m", "seal.cli", "index", clip, "--store", tmp_path / "store"]
    done = subprocess.run(
        [*command, "--engine", "ray", "--set", f"engine.address={address}"],
        env=os.environ | findable(),
        capture_output=True,
        text=True,
        # Ray itself takes two minutes.
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"no Ray cluster answers at {address} (" in line


def test_two_nodes_make_the_tokens_of_one_process(
    nodes: Nodes, clip: Path, wanted: Tokens, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    workers, done_s = by_ray(nodes, clip, tmp_path / "store", tmp_path / "none")
    # A node has one CPU, and a task takes one.
    assert workers == 2
    assert done_s == pytest.approx(24, abs=0.5)
    same(tokens_in(tmp_path / "store"), wanted)


def test_killed_workers_and_nodes_cost_nothing_but_time(
    nodes: Nodes, clip: Path, wanted: Tokens, tmp_path: Path
) -> None:
    (tmp_path / "dies").mkdir()
    for number in range(2):
        (tmp_path / "dies" / str(number)).touch()
    command = [sys.executable, "-c", SCRIPT, clip, tmp_path / "store", tmp_path / "dies", *IN_PARTS]
    process = subprocess.Popen(
        command, env=nodes.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + PATIENCE_S
    while list((tmp_path / "dies").iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    nodes.kill_one()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    same(tokens_in(tmp_path / "store"), wanted)


def test_model_servers_give_the_tokens_of_models_in_the_process(
    nodes: Nodes, clip: Path, tmp_path: Path
) -> None:
    tiny = pytest.importorskip("tiny_encoders")
    folder = tiny.save_clip(tmp_path / "clip")
    settings = [
        *("encode.backend=clip", f"encode.weights={folder}", "encode.device=cpu"),
        *("segment.backend=classical", "track.backend=motion", NO_DETECTOR),
    ]
    by_ray(nodes, clip, tmp_path / "served", "-", *settings, "engine.servers=1")
    import seal

    library = seal.open(tmp_path / "local")
    video = library.index(clip, jobs=1, options=[*IN_PARTS, *settings])
    served = tokens_in(tmp_path / "served")
    assert served.ids.tolist() == video.tokens.ids.tolist()
    same(served, video.tokens)
