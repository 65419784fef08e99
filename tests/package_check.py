"""The package as strangers get it: built, installed in an empty environment, tried offline.

    python tests/package_check.py FOLDER

builds sdist and wheel, compares what is in them with the source tree, installs the wheel without
extras into a new environment in FOLDER, and runs `seal demo` there, in a network of its own in
which nothing answers and no packet goes unseen. It prints the size of the base install on the
disk, and fails above `MOST_MB`. FOLDER is replaced.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from own_network import watched

PROJECT = Path(__file__).parents[1]
MOST_MB = 900
"""Of a base install, in megabytes of 10^6 bytes."""
IMPORTS = """
import seal, sys
for name in seal.__all__:
    getattr(seal, name)
print("torch" in sys.modules, seal.__version__)
"""


def source_files() -> set[str]:
    """The files of the package, from the folder of the package on."""
    folder = PROJECT / "src"
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / "seal").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def check_wheel(wheel: Path) -> None:
    """Whether a wheel has the files of the package, and besides only what describes it."""
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (about,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        points = opened.read(f"{about}/entry_points.txt").decode()
        described = opened.read(f"{about}/METADATA").decode()
    packaged = {name for name in names if not name.startswith(about)}
    assert packaged == source_files(), packaged ^ source_files()
    for needed in (
        "seal/py.typed",
        "seal/answer/templates/system.txt",
        "seal/detect/coco.txt",
        "seal/serve/templates/library.html",
    ):
        assert needed in names, f"the wheel lacks {needed}"
    assert any(name.startswith("seal/encode/weights/") for name in names)
    assert not any("test" in Path(name).parts[0] for name in packaged)
    assert {f"{about}/licenses/LICENSE", f"{about}/licenses/NOTICE"} <= names
    assert "seal = seal.cli:main" in points
    assert "Requires-Python: >=3.10" in described


def check_sdist(sdist: Path) -> None:
    """Whether the source distribution has what building and testing needs."""
    with tarfile.open(sdist) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {f"src/{name}" for name in source_files()} <= names
    for needed in ("pyproject.toml", "README.md", "Makefile", "constraints.txt", "LICENSE"):
        assert needed in names, f"the sdist lacks {needed}"
    assert "tests/test_packaging.py" in names
    assert not any(name.startswith((".venv", "tests/data/cache")) for name in names)


def build(folder: Path, *options: str) -> list[Path]:
    """Sdist and wheel, or what the options of `python -m build` say."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), *options, str(PROJECT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(folder.iterdir())


def run(*command: str | Path) -> str:
    environment = {key: one for key, one in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(each) for each in command], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    # The wheel is built from the sdist: what the sdist lacks, the wheel lacks.
    sdist, wheel = sorted(build(folder / "dist"), key=lambda path: path.suffix)
    check_sdist(sdist)
    check_wheel(wheel)
    print(f"built: {sdist.name}, {wheel.name} ({wheel.stat().st_size / 1e6:.0f} MB)")
    home = folder / "environment"
    run(sys.executable, "-m", "venv", home)
    packages = next(home.glob("lib*/python*/site-packages"))
    before = _size_mb(packages)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--constraint", PROJECT / "constraints.txt", wheel)
    size_mb = _size_mb(packages) - before
    print(f"base install: {size_mb:.0f} MB of at most {MOST_MB} MB")
    assert size_mb <= MOST_MB
    # From a folder without the source tree.
    assert run(python, "-I", "-c", IMPORTS).startswith("False ")
    assert run(home / "bin" / "seal", "--version").startswith("seal, version ")
    shown = watched([str(home / "bin" / "seal"), "demo", str(folder / "demo")], timeout_s=300)
    assert shown.code == 0, shown.output
    assert not shown.packets, "seal demo sent something"
    assert (folder / "demo" / "storyboard.html").stat().st_size > 10_000
    print(shown.output)


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
