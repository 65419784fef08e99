"""What the base install costs: size on disk, and the time of `import seal` and `seal --help`.

    python benchmarks/footprint.py [--runs 7]

Installs the project into a fresh virtual environment, without its extras.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def median_s(command: list[str], runs: int) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = f"{folder}/bin/python"
        packages = next(Path(folder).glob("lib/python*/site-packages"))

        def size_mb() -> float:
            return sum(p.stat().st_size for p in packages.rglob("*") if p.is_file()) / 1e6

        before = size_mb()
        install = [python, "-m", "pip", "install", "-q", "-c", f"{PROJECT}/constraints.txt"]
        subprocess.run([*install, str(PROJECT)], check=True)
        print(f"installed size: {size_mb() - before:.0f} MB (beside pip's {before:.0f} MB)")
        nothing = median_s([python, "-c", ""], runs)
        print(f"python alone:   {nothing:.3f} s")
        print(f"import seal:    {median_s([python, '-c', 'import seal'], runs):.3f} s")
        print(f"seal --help:    {median_s([f'{folder}/bin/seal', '--help'], runs):.3f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    main(parser.parse_args().runs)
