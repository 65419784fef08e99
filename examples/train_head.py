"""Train a head that finds moments, on your own clips.

python examples/train_head.py FOLDER TABLE.csv --output runs/mine [--set KEY=VALUE ...]

FOLDER holds short clips, and films of a minute or more into which the clips are spliced. TABLE.csv
has a line for each clip: its file name and a description, such as `dog.mp4,a dog on grass`. Several
lines may describe one clip. An interrupted training goes on where it stopped.
"""

import argparse
import csv
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args()
    descriptions: dict[str, list[str]] = defaultdict(list)
    with given.table.open(newline="") as lines:
        for file, description in csv.reader(lines):
            descriptions[file].append(description)
    needles = [
        {"id": Path(file).stem, "file": file, "queries": queries}
        for file, queries in descriptions.items()
    ]
    (given.folder / "needles.json").write_text(json.dumps({"needles": needles}, indent=2))
    command = [sys.executable, "-m", "seal.cli", "train", "ground", "--data", str(given.folder)]
    command += ["--output", str(given.output), *(f"--set={each}" for each in given.settings)]
    done = subprocess.run(command, check=False)
    if done.returncode == 0:
        print(f"seal find VIDEO QUERY --head {given.output / 'head'}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
