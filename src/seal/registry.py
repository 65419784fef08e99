"""Back end name -> "module:Class" for every stage, imported only when asked for.

A new back end is one new file, its options in `seal.config`, and one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from seal.errors import OptionError

BACKENDS: dict[str, dict[str, str]] = {
    "segment": {
        "classical": "seal.segment.classical:ClassicalSegmenter",
        "sam": "seal.segment.sam:SamSegmenter",
        "sam2": "seal.segment.sam:Sam2Segmenter",
        "sam3": "seal.segment.sam:Sam3Segmenter",
    },
    "track": {
        "motion": "seal.track.motion:MotionTracker",
        "sam2": "seal.track.sam2:Sam2Tracker",
    },
    "encode": {
        "mini": "seal.encode.mini:MiniEncoder",
        "blip2": "seal.encode.blip2:Blip2Encoder",
        "clip": "seal.encode.clip:ClipEncoder",
        "siglip": "seal.encode.clip:SiglipEncoder",
    },
    "answer": {
        "openai": "seal.answer.endpoint:EndpointAnswerer",
        "hf": "seal.answer.local:LocalAnswerer",
    },
    "objective": {
        "seal": "seal.attention.seal:Seal",
        "paper": "seal.attention.paper:Paper",
        "normalised": "seal.attention.normalised:Normalised",
        "coverage": "seal.attention.coverage:Coverage",
    },
    "baseline": {
        "uniform": "seal.attention.baselines:uniform",
        "random": "seal.attention.baselines:random",
        "top-k": "seal.attention.baselines:top_k",
        "mmr": "seal.attention.baselines:mmr",
        "dpp": "seal.attention.determinantal:dpp",
        "aks": "seal.attention.baselines:aks",
        "inverse-transform": "seal.attention.baselines:inverse_transform",
        "mdp3": "seal.attention.determinantal:mdp3",
        "moviechat": "seal.attention.baselines:moviechat",
    },
    "solver": {
        "swaps": "seal.attention.solvers:swaps",
        "greedy": "seal.attention.solvers:greedy",
        "stochastic": "seal.attention.solvers:stochastic",
        "exact": "seal.attention.solvers:exact",
        "naive": "seal.attention.solvers:naive",
    },
    "data set": {
        "ego4d-nlq-v1": "seal.ground.data.sources:EGO4D_V1",
        "ego4d-nlq-v2": "seal.ground.data.sources:EGO4D_V2",
        "charades-sta": "seal.ground.data.sources:CHARADES_STA",
        "tacos": "seal.ground.data.sources:TACOS",
        "qvhighlights": "seal.ground.data.sources:QVHIGHLIGHTS",
        "activitynet-captions": "seal.ground.data.sources:ACTIVITYNET_CAPTIONS",
        "lvbench": "seal.evaluate.lvbench:PUBLISHED",
        "moviechat": "seal.evaluate.moviechat:PUBLISHED",
        "videomme": "seal.evaluate.videomme:PUBLISHED",
        "mlvu": "seal.evaluate.mlvu:PUBLISHED",
        "longvideobench": "seal.evaluate.longvideobench:PUBLISHED",
    },
    "choices": {
        "lvbench": "seal.evaluate.lvbench:LVBENCH",
        "videomme": "seal.evaluate.videomme:VIDEOMME",
        "mlvu": "seal.evaluate.mlvu:MLVU",
        "longvideobench": "seal.evaluate.longvideobench:LONGVIDEOBENCH",
    },
}


def names(stage: str) -> list[str]:
    """The back ends of a stage, in the order of the registry."""
    return list(BACKENDS[stage])


def resolve(stage: str, name: str) -> Any:
    """The class (or function) registered under `name` for `stage`.

    Raises OptionError, listing the valid names, if there is none.
    """
    try:
        module, _, attribute = BACKENDS[stage][name].partition(":")
    except KeyError:
        valid = ", ".join(names(stage))
        raise OptionError(f"unknown {stage} {name!r}; valid: {valid}") from None
    return getattr(import_module(module), attribute)
