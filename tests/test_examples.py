"""Every file of examples/ runs as its page says, in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import seal
from filmed import write_film
from forked import python
from test_answer_endpoint import Server as Model
from test_answer_endpoint import says, server

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest needs it there.
    import tomli as tomllib

__all__ = ["server"]

EXAMPLES = Path(__file__).parents[1] / "examples"
BALLOON = "an orange hot-air balloon"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an indexed film whose first scene shows a balloon."""
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "film.mp4", 0, 16.0)
    seal.open(folder / ".seal").index(folder / "film.mp4", jobs=1)
    return folder


def run(example: str, *arguments: object, cwd: Path, **extra: str) -> str:
    command = [*python(), str(EXAMPLES / example), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | extra, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_on_the_page_and_has_a_test() -> None:
    names = {path.name for path in EXAMPLES.iterdir()} - {"README.md"}
    names = {name for name in names if not name.startswith((".", "__"))}
    page, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    assert set(re.findall(r"^\| \[([\w.]+)/?\]", page, re.MULTILINE)) == names
    assert {name for name in names if f'"{name}"' in tests} == names


def test_the_notebook_runs_from_a_clone(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    shown = "".join(json.dumps(cell.get("outputs", [])) for cell in notebook.cells)
    assert "text/html" in shown
    assert "upper bound" in shown
    assert (tmp_path / "tour" / "storyboard.html").stat().st_size > 10_000


def test_the_best_moments_of_a_folder(films: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(films, tmp_path / "films"))
    write_film(folder / "other.mp4", 1, 4.0)
    printed = run("find_in_folder.py", folder, BALLOON, "--top", 3, cwd=tmp_path).splitlines()
    assert printed[0].startswith(BALLOON)
    assert 2 <= len(printed) <= 4
    path, start, end, _ = printed[1].split("\t")
    assert Path(path).name in ("film.mp4", "other.mp4")
    assert 0 <= float(start) < float(end) <= 16


@pytest.mark.parametrize("kind", ["vllm", "ollama"])
def test_a_local_model_is_asked(films: Path, server: Model, kind: str) -> None:
    server.replies = [says("It is in the sky at [0:00.0-0:10.0].")]
    given = ["--server", kind, "--model", "qwen", "--url", server.url, "--budget", 16]
    printed = run("ask_local.py", "film.mp4", "Where is the balloon?", *given, cwd=films)
    assert printed.startswith("It is in the sky")
    times = [line for line in printed.splitlines() if "rests on" in line]
    assert times
    assert len(times) == len(set(times)), "a time is printed once"
    (asked,) = server.requests
    assert asked["model"] == "qwen"
    parts = [part for message in asked["messages"] for part in message["content"]]
    assert sum(part["type"] == "image_url" for part in parts if isinstance(part, dict)) >= 1


class Alerts(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TakeAlert)
        self.took: list[dict[str, object]] = []


class TakeAlert(BaseHTTPRequestHandler):
    server: Alerts

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.took.append(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def alerts() -> Iterator[Alerts]:
    with Alerts() as alerts:
        thread = threading.Thread(target=alerts.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield alerts
        alerts.shutdown()
        thread.join()


def test_a_webhook_gets_an_alert_once(films: Path, alerts: Alerts) -> None:
    address = f"http://127.0.0.1:{alerts.server_port}/alerts"
    few = ["--window", 4, "--probability", 0.02]
    run("watch_webhook.py", "film.mp4", BALLOON, address, *few, cwd=films)
    first, *_ = alerts.took
    assert first["query"] == BALLOON
    assert first["start_s"] == 0
    assert first["probability"] >= 0.02
    assert len(alerts.took) < 4, "not once a window"
    alerts.took.clear()
    run("watch_webhook.py", "film.mp4", "a plate of sushi", address, "--window", 4, cwd=films)
    assert alerts.took == []


def test_an_mcp_client_sees_the_tools_and_finds(films: Path) -> None:
    printed = run("mcp_client.py", films / ".seal", BALLOON, cwd=films).splitlines()
    assert {"find", "select", "ask", "list", "tokens"} <= {*printed[0][7:].split(", ")}
    video, start, end = printed[1].split()
    assert video == seal.open(films / ".seal")[films / "film.mp4"].id
    assert float(start) < float(end)


def test_an_mcp_client_says_what_the_server_says(tmp_path: Path) -> None:
    """A store without videos."""
    seal.open(tmp_path / ".seal")
    command = [*python(), str(EXAMPLES / "mcp_client.py"), ".seal", BALLOON]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "has no videos; run seal index first" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_head_is_trained_on_clips_and_a_table(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    write_film(clips / "long.mp4", 9, 62.0, (64, 36), 5)
    rows = [(f"clip{i}.mp4", text) for i in range(2) for text in ("a red ball", "a blue car")]
    for seed in range(2):
        write_film(clips / f"clip{seed}.mp4", seed + 1, 3.0, (64, 36), 5)
    with (tmp_path / "clips.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows(rows)
    keys = ["head.width=16", "head.heads=2", "head.fused=4", "train.steps=2", "train.batch_size=2"]
    keys += ["train.warmup=1", "train.workers=0"]
    small = [word for key in keys for word in ("--set", key)]
    run_folder = tmp_path / "mine"
    printed = run(
        "train_head.py", clips, tmp_path / "clips.csv", "--output", run_folder, *small, cwd=tmp_path
    )
    assert f"--head {run_folder / 'head'}" in printed
    assert (run_folder / "head" / "model.safetensors").is_file()


def test_an_encoder_of_one_s_own_is_a_package(films: Path, tmp_path: Path) -> None:
    """As `pip install` leaves it: the module and the metadata of its entry point on the path."""
    package = EXAMPLES / "colour_backend"
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    about = tmp_path / "seal_colours-1.0.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, names in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in names.items()))
    ]
    about.joinpath("entry_points.txt").write_text("\n".join(lines))
    shutil.copy(package / "seal_colours.py", tmp_path)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "seal.cli", "index", str(films / "film.mp4")]
    command += ["--store", str(tmp_path / "store"), "--set", "encode.backend=colours", "--json"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"]["scene"] >= 4
    assert len((package / "seal_colours.py").read_text().splitlines()) <= 40
