"""Mutation testing: the share of small faults that the tests near a package notice.

    pip install cosmic-ray
    python benchmarks/mutants.py attention [--sample 200] [--seed 0] [--jobs 2] [--only solvers.py]

A mutant is the package with one operator, number, comparison, condition or loop changed. It is
killed if a test fails or the tests take too long, and survives if they pass. The mutants are a
random sample of all that the operators below give. Tests run in copies of the repository, with few
hypothesis examples (profile `mutants` of tests/conftest.py).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue

# Imported before cosmic_ray, which otherwise imports it in a circle.
import parso  # noqa: F401
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
_SERVE = "serve-tests"


def _tests(*names: str) -> list[str]:
    return [f"tests/test_{name}.py" for name in names]


PACKAGES = {
    "attention": ("attention", _tests("baselines", "objectives", "ties", "attention", "streaming")),
    "store": (
        "store",
        _tests("store", "store_index", "store_protocol", "store_migrate", "store_faults"),
    ),
    "moments": ("ground/moments.py", _tests("moments")),
    "track": (
        "track",
        _tests("track_rules", "track_outline", "track_camera", "track_steps", "track_motion"),
    ),
    "segment": ("segment", _tests("segment_rules", "segment_classical", "segment_contract")),
}
"""Name -> (what is mutated, below src/seal; its tests, the fastest first)."""
NEAREST = {"determinantal": "baselines", "solvers": "ties", "candidates": "objectives"}
"""Module -> the tests that are run first; otherwise those of its name, or of its package."""
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
_LONGEST_S = 600
"""They must not take longer than this without a fault."""


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

    def nearest(self, tests: list[str]) -> list[str]:
        """The tests, with those first that are the likeliest to notice."""
        names = [NEAREST.get(self.path.stem), self.path.stem, self.path.parent.stem]
        ranks = {f"tests/test_{name}.py": rank for rank, name in enumerate(names)}
        return sorted(tests, key=lambda test: ranks.get(test, len(names)))

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


class Tester:
    """A copy of the repository and a process that runs tests in it. What tests import from
    elsewhere is loaded once."""

    def __init__(self, folder: Path, tests: list[str]) -> None:
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        self._folder, self._tests = folder, tests
        threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), _SERVE, *tests],
            cwd=folder,
            env={**os.environ, **threads, "PYTHONPATH": f"{folder}/src"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, mutant: Mutant | None, limit_s: int) -> tuple[bool, float]:
        """Whether the tests pass within seconds of CPU time, and how many they took."""
        if mutant is None:
            return self._ask(self._tests, limit_s)
        original = (self._folder / mutant.path).read_text()
        self._write(mutant.path, mutant.code())
        result = self._ask(mutant.nearest(self._tests), limit_s)
        self._write(mutant.path, original)
        return result

    def _write(self, path: Path, code: str) -> None:
        (self._folder / path).write_text(code)
        # Python knows compiled code by the second and the size of its source alone.
        for old in (self._folder / path.parent / "__pycache__").glob(f"{path.stem}.*"):
            old.unlink()

    def _ask(self, tests: list[str], limit_s: int) -> tuple[bool, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(limit_s, *tests, file=self._process.stdin, flush=True)
        status, cpu_s = self._process.stdout.readline().split()
        return status == "0", float(cpu_s)

    def close(self) -> None:
        self._process.communicate()


def serve(tests: list[str]) -> None:
    """For each line of standard input, a limit and tests: the status of their run and its CPU
    time."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    pytest.main([*options, "--collect-only", *tests])
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(os.getcwd()):
            del sys.modules[name]
    for line in sys.stdin:
        limit_s, *ordered = line.split()
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s)))
            # Tests that only wait are ended, too.
            signal.alarm(60 * int(limit_s))
            os._exit(int(pytest.main([*options, *ordered])))
        _, status, usage = os.wait4(child, 0)
        print(status, usage.ru_utime + usage.ru_stime, file=answers, flush=True)


def main(arguments: argparse.Namespace) -> None:
    target, tests = PACKAGES[arguments.package]
    found = mutants(target, arguments.only)
    some = random.Random(arguments.seed).sample(found, min(arguments.sample, len(found)))
    with tempfile.TemporaryDirectory() as temporary:
        testers = [Tester(Path(temporary) / str(i), tests) for i in range(arguments.jobs)]
        passed, took_s = testers[0].run(None, _LONGEST_S)
        if not passed:
            sys.exit("the tests fail without a fault")
        idle: SimpleQueue[Tester] = SimpleQueue()
        for tester in testers:
            idle.put(tester)

        def survives(mutant: Mutant) -> bool:
            tester = idle.get()
            survived, cpu_s = tester.run(mutant, math.ceil(PATIENCE * took_s))
            idle.put(tester)
            print(mutant if survived else f"{mutant.path.name}: killed ({cpu_s:.1f} s)", flush=True)
            return survived

        with ThreadPoolExecutor(arguments.jobs) as pool:
            alive = sum(pool.map(survives, some))
        for tester in testers:
            tester.close()
    killed = len(some) - alive
    print(f"{len(found):,} mutants, {len(some)} tried (seed {arguments.seed}), {killed} killed,")
    print(f"{killed / len(some):.1%}; the tests take {took_s:.0f} s of CPU time without a fault")


if __name__ == "__main__" and sys.argv[1:2] == [_SERVE]:
    serve(sys.argv[2:])
elif __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a module of the package, such as solvers.py")
    main(parser.parse_args())
