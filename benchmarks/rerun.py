"""Run the benchmarks of the page again: `make benchmarks ONLY=WORD`, or this script with words.

With words, only the commands that contain one of them run. Each output goes to a file of its own in
`build/benchmarks/COMMIT/`, below a head with command, date, commit, machine and load. A command
whose file is there already has run to its end and is not run again; one that failed is.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from data import ROOT as DATA

PROJECT = Path(__file__).parents[1]
MINUTES = {
    "python benchmarks/footprint.py": 2,
    "python benchmarks/ingest.py quick": 2,
    "python benchmarks/ingest.py speed --runs 5": 8,
    "python benchmarks/ingest.py memory": 8,
    "python benchmarks/speech.py words": 2,
    "python benchmarks/speech.py words --model base --names capitan-veneno": 3,
    "python benchmarks/speech.py speed --minutes 4 --ways 2x1": 3,
    "python benchmarks/tracks.py --half report": 5,
    "python benchmarks/tracks.py --half report --damage blurred": 5,
    "python benchmarks/detections.py --half report": 4,
    "python benchmarks/davis_objects.py": 2,
    "python benchmarks/film_tracks.py": 5,
    "pytest tests/test_index.py -k odd": 1,
    "python benchmarks/queries.py --runs 30": 3,
    "python benchmarks/serving.py find": 2,
    "python benchmarks/serving.py all": 5,
    "python benchmarks/serving.py hostile": 3,
    "python benchmarks/serving.py kills --kills 15": 3,
    "python benchmarks/corpus.py": 15,
    "python benchmarks/streaming.py --objective seal": 30,
    "python benchmarks/mini_needles.py": 3,
    "python benchmarks/mini_calibration.py --store DIR": 10,
    "python benchmarks/mini_failures.py --out DIR": 5,
    "python benchmarks/similarity.py": 1,
    "seal eval qfvs": 3,
    "seal eval qmsum --splits val": 10,
    "seal eval qmsum --splits val --method top-k --relevance words": 5,
    "seal eval qmsum --splits val --budget 2 --budget 10 --relevance words --method seal"
    " --method top-k --method dpp": 5,
    "seal eval haystack": 15,
    "seal eval haystack --hay 3600 --hay clips": 30,
    "seal eval evidence": 1,
    "seal eval nouns --split benchmarks/split.json --half report": 10,
    "python benchmarks/words_fit.py rank": 10,
    "python benchmarks/quotes.py": 2,
    "python benchmarks/words_beside.py --store DIR": 10,
    "python benchmarks/chapters.py": 3,
    "python benchmarks/subtitles.py": 3,
    "python benchmarks/find_all.py --store DIR": 15,
    "python benchmarks/answering.py": 20,
    "python benchmarks/tuning.py": 10,
    "pytest tests/test_answer_train.py -k killed": 2,
    "python benchmarks/localisation.py train --out DIR": 120,
    "python benchmarks/localisation.py speed": 2,
    "python benchmarks/localisation.py queries": 5,
    "python benchmarks/modes.py --fold 0,1,2 --sheets 2 --only chosen,evidence": 60,
    "python benchmarks/mutants.py attention --sample 200": 120,
    "python benchmarks/kills.py": 20,
    "python benchmarks/engines.py overhead --runs 1": 3,
    "python benchmarks/corpus.py --tokens 7150000 --videos 1430 --folder DIR": 30,
    "python benchmarks/engine_kills.py --nodes 10": 60,
    "python benchmarks/flops.py --seconds 24": 5,
    "pytest tests/test_track_propagation.py tests/test_devices.py": 2,
    "python benchmarks/damaged.py": 70,
    "python benchmarks/endless.py": 60,
}
"""Rough minutes of each command on two idle cores."""
BY_HAND = (
    "../before",  # needs a checkout of the version before
    "...",  # an outline of a command
    "pip ",  # needs an environment of its own
    "seal eval lvbench",  # needs outputs of a model
)
"""What the commands contain that are on the page and cannot run by themselves."""


def on_the_page() -> list[str]:
    """The commands of the column "command", in order."""
    page = (PROJECT / "benchmarks" / "README.md").read_text()
    rows = re.findall(r"^\|.*\|$", page, re.MULTILINE)
    found = [code for row in rows for code in re.findall(r"`([^`|]+)`", row)]
    starts = ("python benchmarks/", "seal eval ", "pytest ", "pip ")
    return list(dict.fromkeys(code for code in found if code.startswith(starts)))


def machine() -> str:
    """The processor, the cores that this process may use, and the load."""
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        names = re.findall(r"model name\s*: (.+)", info.read_text())
        name = names[0] if names else name
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{name}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}"


def run(command: str, target: Path) -> bool:
    """Whether the command has run to its end; its output is in `target` then."""
    words = shlex.split(command.replace("DIR", str(target.with_suffix(""))))
    program = {"python": [sys.executable], "pytest": [sys.executable, "-m", "pytest"]}
    words = [*program.get(words[0], [sys.executable, "-m", "seal.cli"]), *words[1:]]
    now = datetime.datetime.now(datetime.timezone.utc)
    head = f"$ {command}\n{now:%Y-%m-%d %H:%M} UTC, commit {commit()}, {machine()}\n\n"
    begun = time.monotonic()
    partial = target.with_suffix(".part")
    with partial.open("w") as output:
        output.write(head)
        output.flush()
        environment = os.environ | {"SEAL_DATA": str(DATA)}
        done = subprocess.run(
            words, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        output.write(f"\nexit code {done.returncode} after {time.monotonic() - begun:.0f} s\n")
    if done.returncode == 0:
        partial.replace(target)
    return done.returncode == 0


def commit() -> str:
    """The commit that is checked out, with a mark if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--list", action="store_true", help="say what would run, and run nothing")
    given = parser.parse_args()
    folder = PROJECT / "build" / "benchmarks" / commit()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [c for c in MINUTES if not given.words or any(word in c for word in given.words)]
    files = {c: folder / (re.sub(r"[^\w.]+", "-", c).strip("-") + ".txt") for c in chosen}
    left = [command for command in chosen if not files[command].exists()]
    total = sum(MINUTES[command] for command in left)
    print(
        f"{len(left)} of {len(chosen)} commands to run, about {total / 60:.1f} hours; to {folder}"
    )
    failed = []
    for command in left:
        print(f"about {MINUTES[command]:4} min  {command}", flush=True)
        if not given.list and not run(command, files[command]):
            failed.append(command)
            print(f"               failed: see {files[command].with_suffix('.part')}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
