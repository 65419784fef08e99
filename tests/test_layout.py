"""The structure that the documentation promises: imports point one way, public names exist."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import seal
from seal import backends
from seal.config import PROFILES, Options

SOURCE = Path(seal.__file__).parent

# A module may import from its own layer's package and from the layers before it.
LAYERS = [
    {"errors", "clock", "printing", "processes"},
    {"files", "settings", "backends", "logs"},
    {"kinds"},
    {"types", "config"},
    {"rows", "arguments"},
    {"results", "inventory", "dependencies", "configfile"},
    {"video", "weights", "datacheck", "training"},
    {"devices", "pixels", "scaling"},
    {"words"},
    {"detect"},
    {"segment", "track", "encode"},
    {"decompose"},
    {"store"},
    {"attention"},
    {"ground"},
    {"connections", "lookup", "said", "spoken"},
    {"encoders"},
    {"content"},
    {"scope", "windows", "nearest"},
    {"show", "answer", "export", "ingest", "watch", "preparation"},
    {"front"},
    {"asked", "diagnosis", "everywhere"},
    {"indexed"},
    {"library", "client"},
    {"opening"},
    {"evaluate"},
    {"serve"},
    {"cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def imported(path: Path) -> set[str]:
    """The first-level names below `seal` that a file imports, at any depth of its code."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = node.module.split(".")
            if parts == ["seal"]:
                names |= {alias.name for alias in node.names}
            elif parts[0] == "seal":
                names.add(parts[1])
    return names & RANK.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imported(path):
        same_layer = RANK[name] == RANK[own] and (name == own or RANK[own] != RANK["segment"])
        tracker_prompts = (own, name) == ("track", "segment")
        assert RANK[name] < RANK[own] or same_layer or tracker_prompts, f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_are_short_and_documented(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "a module says what it is for"
    assert len(text.splitlines()) <= 450


@pytest.mark.parametrize(
    "package",
    ["answer", "attention", "client", "evaluate", "export", "front", "ground", "serve", "training"],
)
def test_the_map_of_a_package_names_all_its_files(package: str) -> None:
    folder = SOURCE / package
    names = re.split(r"[\s,]+", ast.get_docstring(ast.parse((folder / "__init__.py").read_text())))
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} <= {*names}


def test_public_names_exist_and_are_documented() -> None:
    """Classes, and the methods and properties that each defines itself."""
    for name in seal.__all__:
        public = getattr(seal, name)
        assert public.__doc__, name
        own = vars(public) if inspect.isclass(public) else {}
        for attribute, value in own.items():
            kinds = (property, staticmethod, classmethod)
            if not attribute.startswith("_") and (callable(value) or isinstance(value, kinds)):
                assert inspect.getdoc(getattr(public, attribute)), f"{name}.{attribute}"
    with pytest.raises(AttributeError, match="nothing"):
        _ = seal.nothing


@pytest.mark.parametrize("stage", backends.BUILT_IN)
def test_every_registered_back_end_exists(stage: str) -> None:
    for name in backends.names(stage):
        assert (backends.resolve(stage, name) is None) == (name == "none")


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_name_registered_back_ends(profile: str) -> None:
    options = Options.load(profile)
    assert options.segment.backend in backends.names("segment")
    assert options.track.backend in backends.names("track")
    assert options.encode.backend in backends.names("encode")
    assert options.attention.objective in backends.names("objective")
    assert Options.load(profile, task="ask").attention.objective in backends.names("objective")
    assert options.attention.solver in backends.names("solver")


def test_importing_seal_imports_nothing_heavy() -> None:
    heavy = ["av", "cv2", "lancedb", "numpy", "onnxruntime", "pyarrow", "torch", "transformers"]
    code = f"import sys, seal; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_public_class_has_a_name_of_its_own() -> None:
    """One meaning each: a name that two modules give to two things has to be looked up."""
    defined: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in defined.items() if len(paths) > 1} == {}


def test_every_word_of_the_glossary_is_explained_once_and_in_order() -> None:
    page = (SOURCE.parents[1] / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| ([^|]+?) \|", page, flags=re.MULTILINE)[1:]
    words.remove("---") if "---" in words else None
    assert len(words) == len(set(words)) > 30
    assert words == sorted(words, key=str.lower)
