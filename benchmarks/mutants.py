"""Mutation testing: the share of small faults that the tests near a package notice.

    pip install cosmic-ray
    python benchmarks/mutants.py attention [--sample 200] [--seed 0] [--jobs 2] [--only solvers.py]

A mutant is the package with one operator, number, comparison, condition or loop changed. It is
killed if a test fails or the tests take too long, and survives if they pass. The mutants are a
random sample of all that the operators below give; 0 means all of them. Tests run in copies of the
repository, with few hypothesis examples (profile `mutants` of tests/conftest.py).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue

# Imported before cosmic_ray, which otherwise imports it in a circle.
import parso  # noqa: F401
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "attention": (
        "attention",
        ["test_baselines", "test_ties", "test_objectives", "test_attention", "test_streaming"],
    ),
    "store": ("store", ["test_store", "test_store_index", "test_store_faults"]),
    "moments": ("ground/moments.py", ["test_moments"]),
    "track": ("track", ["test_track_motion", "test_track_steps", "test_track_contract"]),
    "segment": ("segment", ["test_segment_classical", "test_segment_contract", "test_segment_sam"]),
}
"""Name -> (what is mutated, below src/seal; its tests, the fastest first)."""
SWAPS = {
    "Binary": "Add_Sub Sub_Add Mul_Div Div_Mul Pow_Mul FloorDiv_Div Mod_Mul BitAnd_BitOr",
    "Comparison": "Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt"
    " Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is",
    "Unary": "Delete_Not Delete_USub Delete_Invert",
}
OPERATORS = [
    *(f"Replace{kind}Operator_{swap}" for kind, swaps in SWAPS.items() for swap in swaps.split()),
    *("AddNot", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ZeroIterationForLoop"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
]
PATIENCE = 5
"""Tests that take this many times as long as without a fault have found it."""


@dataclass(frozen=True)
class Mutant:
    path: Path
    """Below the repository."""
    operator: str
    occurrence: int

    def code(self) -> str:
        source = (ROOT / self.path).read_text()
        mutated: str = mutate_code(source, get_operator(f"core/{self.operator}")(), self.occurrence)
        return mutated

    def __str__(self) -> str:
        before = (ROOT / self.path).read_text().splitlines()
        changes = list(unified_diff(before, self.code().splitlines(), n=0, lineterm=""))
        line = changes[2].split()[1].split(",")[0]
        return "\n    ".join([f"{self.path}:{line.lstrip('-')} {self.operator}", *changes[3:]])


def mutants(target: str, only: str) -> list[Mutant]:
    """All mutants of the modules of a package, or of one of these."""
    folder = ROOT / "src" / "seal" / target
    found = []
    for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
        if only and path.name != only:
            continue
        nodes = list(ast_nodes(get_ast(path.read_text())))
        for name in OPERATORS:
            operator = get_operator(f"core/{name}")()
            count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
            found += [Mutant(path.relative_to(ROOT), name, i) for i in range(count)]
    return found


def passed(copy: Path, tests: list[str], limit_s: float | None = None) -> bool:
    """Whether the tests pass, within the time."""
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    fresh = {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    command += ["--hypothesis-profile=mutants", *(f"tests/{name}.py" for name in tests)]
    environment = {**os.environ, **threads, **fresh}
    quiet = subprocess.DEVNULL
    try:
        run = subprocess.run(
            command, cwd=copy, env=environment, stdout=quiet, stderr=quiet, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def copied(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def main(arguments: argparse.Namespace) -> None:
    target, names = PACKAGES[arguments.package]
    tests = [name for name in names if (ROOT / "tests" / f"{name}.py").exists()]
    found = mutants(target, arguments.only)
    some = list(found)
    random.Random(arguments.seed).shuffle(some)
    some = some[: arguments.sample or None]
    with tempfile.TemporaryDirectory() as temporary:
        copies: SimpleQueue[Path] = SimpleQueue()
        for i in range(arguments.jobs):
            copies.put(copied(Path(temporary) / str(i)))
        copy, began = copies.get(), time.monotonic()
        if not passed(copy, tests):
            sys.exit("the tests fail without a fault")
        took_s = time.monotonic() - began
        copies.put(copy)

        def survives(mutant: Mutant) -> bool:
            copy = copies.get()
            original = (copy / mutant.path).read_text()
            (copy / mutant.path).write_text(mutant.code())
            survived = passed(copy, tests, PATIENCE * took_s)
            (copy / mutant.path).write_text(original)
            copies.put(copy)
            if survived:
                print(mutant, flush=True)
            return survived

        with ThreadPoolExecutor(arguments.jobs) as pool:
            alive = sum(pool.map(survives, some))
    killed = len(some) - alive
    print(f"{len(found):,} mutants, {len(some)} tried (seed {arguments.seed}), {killed} killed: ")
    print(f"{killed / len(some):.1%} in {(time.monotonic() - began) / 60:.0f} minutes; the tests")
    print(f"take {took_s:.0f} s without a fault")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a module of the package, such as solvers.py")
    main(parser.parse_args())
