"""What a change costs: this checkout beside another one, in turn, in one run.

    git worktree add ../before COMMIT
    python benchmarks/before_after.py ../before [--film FILM] [--runs 5] [--only query ask]

Both use the installed packages of this environment. Times are of whole processes, except for
queries, which `benchmarks/queries.py` of each checkout times over 100,000 tokens once they are
loaded, and for questions, which `benchmarks/answering.py` of each times until their request leaves.
For these, each checkout first indexes the film and the clips into its own `.seal-haystack`.
A ratio is the median over pairs of runs: machines are noisy, and drift.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data import ROOT

HERE = Path(__file__).parents[1]


def environment(checkout: Path) -> dict[str, str]:
    found = os.environ | {
        "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout / 'benchmarks'}",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }
    # Compiled modules are kept for the next run, as an installed package keeps them.
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def run(checkout: Path, *command: str | Path) -> tuple[float, str]:
    """Seconds of wall clock, and what was printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment(checkout),
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, done.stdout


def importing(checkout: Path) -> dict[str, float]:
    return {"import seal": run(checkout, "-c", "import seal")[0]}


def indexing(film: Path) -> Callable[[Path], dict[str, float]]:
    def index(checkout: Path) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            command = ["-m", "seal.cli", "index", film, "--store", Path(folder) / "store"]
            return {f"seal index {film.name}": run(checkout, *command)[0]}

    return index


def querying(checkout: Path, *options: str) -> dict[str, float]:
    _, told = run(checkout, checkout / "benchmarks" / "queries.py", *options)
    rows = re.findall(
        r"(select|find|candidates of all): median (\d+) ms.*CPU time: median (\d+) ms", told
    )
    return {
        f"{name}, 100,000 tokens, {what}": float(value) / 1000
        for name, wall, cpu in rows
        for what, value in (("wall", wall), ("CPU", cpu))
    }


def querying_words(checkout: Path) -> dict[str, float]:
    """As `querying`, where a third of the tokens are sentences."""
    return querying(checkout, "--words", "0.33")


def asking(checkout: Path) -> dict[str, float]:
    """The first measure of its benchmark, which is stopped then."""
    command = [sys.executable, str(checkout / "benchmarks" / "answering.py")]
    with subprocess.Popen(
        command, env=environment(checkout), cwd=checkout, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if line.startswith("leaving"))
        process.kill()
    figures = re.findall(r"'(wall|CPU), median': (\d+)", told)
    return {f"question to request, an hour, {what}": float(ms) / 1000 for what, ms in figures}


MEASURES = ["import", "query", "words", "ask", "index"]


def main(before: Path, film: Path, runs: int, only: list[str]) -> None:
    measures = [
        ("import", importing, 3 * runs),
        ("query", querying, runs),
        ("words", querying_words, runs),
        ("ask", asking, runs),
        ("index", indexing(film), runs),
    ]
    print(f"{'':45s}{'before':>10s}{'now':>10s}{'ratio':>8s}")
    for kind, measure, times in measures:
        if kind not in only:
            continue
        pairs = []
        for number in range(times):
            order = [before, HERE] if number % 2 else [HERE, before]
            told = {checkout: measure(checkout) for checkout in order}
            pairs.append((told[before], told[HERE]))
        for name in pairs[0][0]:
            old, new = ([pair[i][name] for pair in pairs] for i in (0, 1))
            ratio = statistics.median(b / a for a, b in zip(old, new, strict=True))
            seconds = [f"{statistics.median(each):.3f} s" for each in (old, new)]
            print(f"{name:45s}{seconds[0]:>10s}{seconds[1]:>10s}{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="Another checkout of this repository.")
    parser.add_argument("--film", type=Path, default=ROOT / "videos" / "big_buck_bunny_360p.mp4")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    arguments = parser.parse_args()
    main(arguments.before.resolve(), arguments.film.resolve(), arguments.runs, arguments.only)
