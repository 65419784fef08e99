"""Commands without a model look up no name and open no connection: seen from outside of Python."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from own_network import watched
from seal.dependencies import dependency
from synthetic import write_video

PROJECT = Path(__file__).parents[1]
REPORTING = Version("1.32")
"""The first onnxruntime that was seen to report to its maker on Linux."""
WAIT_S = 15.0
"""It begins ten seconds after it was imported."""
PASSED_ON = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV")
"""On machines that build and test, others are set (`CI`, …), and onnxruntime does not report."""

SENDING = """
import socket
try:
    socket.getaddrinfo("name.invalid", 443)
except OSError:
    pass
for family, address in ((socket.AF_INET, "192.0.2.7"), (socket.AF_INET6, "2001:db8::7")):
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
        one.settimeout(0.2)
        one.connect((address, 443))
    except OSError:
        pass
"""
BARE = f"import onnxruntime, time; time.sleep({WAIT_S})"
COMMANDS = f"""
import io, sys, time
began = time.monotonic()
from seal.cli import main
import seal.encode.mini
film, store = sys.argv[1:]
def seal(*words):
    main([*words, "--store", store], standalone_mode=False)
seal("index", film, "--jobs", "2", "--set", "video.part_s=2")
seal("list")
seal("tokens", film)
for query in ([film, "a cat"], ["--all", "a cat"]):
    seal("find", *query)
    seal("select", *query)
    seal("ask", *query)
    seal("show", *query, "-o", "page.html")
    seal("show", *query, "-o", "page.png")
sys.stdin = io.StringIO("a cat\\nand then?\\n\\n")
seal("chat", film)
main(["watch", film, "--query", "a cat"], standalone_mode=False)
main(["prepare", "mini"], standalone_mode=False)
seal("optimize")
seal("remove", film)
time.sleep(max(0.0, {WAIT_S} - (time.monotonic() - began)))
print("all done")
"""


def environment(folder: Path) -> dict[str, str]:
    """A user's, with a folder of its own for temporary files: a report keeps its number there."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return kept | {"TMPDIR": str(folder)}


def test_every_packet_is_seen() -> None:
    run = watched([sys.executable, "-c", SENDING])
    sent = b"\n".join(run.packets)
    assert b"\x04name\x07invalid" in sent
    assert socket.inet_aton("192.0.2.7") in sent
    if Path("/proc/net/if_inet6").exists():
        assert socket.inet_pton(socket.AF_INET6, "2001:db8::7") in sent


def test_without_the_guard_there_are_lookups(tmp_path: Path) -> None:
    """The wait is long enough, and the guard is still needed."""
    if Version(dependency("onnxruntime").version or "0") < REPORTING:
        pytest.skip("this onnxruntime is too old to report")
    run = watched([sys.executable, "-c", BARE], environment(tmp_path))
    assert run.packets
    assert (tmp_path / ".ses").exists()


def test_commands_without_a_model_send_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_video(tmp_path / "film.mp4", range(0, 5000, 100), size=(160, 120))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.chdir(tmp_path)
    run = watched(
        [sys.executable, "-c", COMMANDS, str(film), str(tmp_path / "store")],
        environment(temporary),
        timeout_s=300,
    )
    assert run.code == 0, run.output
    assert run.output.endswith("all done\n")
    assert run.packets == []
    # Worker processes end before they could report, but this file would come at once.
    assert not (temporary / ".ses").exists()


@pytest.mark.parametrize("before", [None, "0"])
def test_the_environment_stays_as_it_was(before: str | None) -> None:
    given = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    given |= {} if before is None else {"ORT_DISABLE_TELEMETRY": before}
    code = """
import os
from seal.dependencies import onnxruntime
before = dict(os.environ)
onnxruntime()
assert dict(os.environ) == before
print(os.getenv("ORT_DISABLE_TELEMETRY"))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(before)


def test_one_place_imports_onnxruntime() -> None:
    paths = [
        path
        for folder in ("src", "tests", "training", "benchmarks")
        for path in (PROJECT / folder).rglob("*.py")
    ]
    assert len(paths) > 200
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not [name for name in names if re.match(r"onnxruntime\b", name)], path
