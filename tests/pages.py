"""The blocks of the pages, and a shell in which they run as a reader would run them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from forked import python

PROJECT = Path(__file__).parents[1]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    PROJECT / "examples" / "README.md",
    PROJECT / "training" / "mini" / "README.md",
]
NEEDS = {
    "a GPU",
    "a bucket",
    "a camera",
    "a checkout",
    "a cluster",
    "a data set",
    "a model from the hub",
    "a model server",
    "a proxy",
    "a trained head",
    "the network",
}
"""Why a block may not be run; the page says so above the block."""
_BLOCK = re.compile(
    r"(?:^\*Needs ([^*\n]+)\.\*\n\n)?^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    needs: tuple[str, ...]
    """Empty where the block runs."""


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    return [
        Block(language, text, tuple(filter(None, re.split(r" and |, ", needs))))
        for needs, language, text in _BLOCK.findall(page.read_text())
    ]


# `seal serve` goes on after its line; the next one, and the end of the page, stop it. `make` gets
# the Makefile of the project and the environment of the tests; what would run all tests is only
# printed. `pip` has to find that everything is installed already.
_SEAL = """#!/bin/bash
if [ "$1" != serve ] || [[ " $* " == *" --help "* ]]; then exec {forked} -m seal.cli "$@"; fi
[ -f serve.pid ] && kill "$(cat serve.pid)" && while kill -0 "$(cat serve.pid)" 2>/dev/null; do
  sleep 0.05; done
{forked} -m seal.cli "$@" $([[ " $* " == *" --port "* ]] || echo --port $PAGE_PORT) \\
  >serve.out 2>serve.log </dev/null &
echo $! >serve.pid
for _ in $(seq 2400); do
  grep -q http:// serve.log && exit 0
  kill -0 "$(cat serve.pid)" 2>/dev/null || break
  sleep 0.05
done
cat serve.log >&2
exit 1
"""
_MAKE = """#!/bin/bash
case "$1" in demo) ;; *) dry=-n ;; esac
PATH=/usr/bin:/bin exec make -f {project}/Makefile $dry -o {venv}/base -o {venv}/dev \\
  VENV={venv} BIN="$PAGE_BIN" "$@"
"""
_PYTHON = """#!/bin/bash
exec {forked} "$@"
"""
_PIP = """#!/bin/bash
out="$({python} -m pip --disable-pip-version-check "$@" 2>&1)" || {{ echo "$out" >&2; exit 1; }}
if grep -q "does not provide the extra" <<<"$out"; then echo "$out" >&2; exit 1; fi
"""


class Shell:
    """Runs blocks one after the other in a folder, with the model at `model` for an endpoint."""

    def __init__(self, folder: Path, model: str, port: int) -> None:
        self.folder, self.port = folder, port
        bin_folder = folder / "page-bin"
        bin_folder.mkdir()
        scripts = {"seal": _SEAL, "make": _MAKE, "pip": _PIP, "python": _PYTHON}
        names = {
            "forked": shlex.join(python()),
            "python": sys.executable,
            "project": PROJECT,
            "venv": folder / "v",
        }
        for name, text in scripts.items():
            script = bin_folder / name
            script.write_text(text.format(**names))
            script.chmod(0o755)
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nmax-time = 240\n")
        self._environment = os.environ | {
            "CURL_HOME": str(folder),
            "HOME": str(folder),
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": model,
            "PAGE_BIN": str(bin_folder),
            "PAGE_PORT": str(port),
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
        }

    def run(self, language: str, text: str) -> str:
        """What a block prints on stdout; an AssertionError with stderr if it fails."""
        if "colour_backend" in text or "seal_colours" in text:
            # As `pip install examples/colour_backend` would leave it for Python.
            path = [str(PROJECT / "examples" / "colour_backend"), os.environ.get("PYTHONPATH", "")]
            self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        if language == "sh":
            command = ["bash", "-e", "-o", "pipefail", "-c", text]
        else:
            script = self.folder / "page_block.py"
            script.write_text(text)
            command = [*python(), str(script)]
        # A file for stderr: a server that stays behind would hold a pipe open.
        with (self.folder / "stderr").open("w+") as errors:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=self._environment,
                input="Where is the red ball?\n",
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=300,
            )
            errors.seek(0)
            assert done.returncode == 0, f"{text}\n{errors.read()[-3000:]}\n{done.stdout[-1000:]}"
        return done.stdout

    def close(self) -> None:
        """Stop the server that a block has left behind."""
        pid = self.folder / "serve.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)
