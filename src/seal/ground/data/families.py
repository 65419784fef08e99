"""Published features of videos, by the network that made them: how long a row may be.

Dimensions are those of the published files: SlowFast 8x8 R101 and Omnivore Swin-L as distributed
with Ego4D (Grauman et al., CVPR 2022). EgoVLP (Lin et al., NeurIPS 2022), projected into the space
of its texts or before that. InternVideo's VideoMAE-L for verbs or for nouns, both, or both beside
EgoVLP (Chen et al. 2022; Hou et al. 2023).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from seal.errors import DataError, OptionError
from seal.ground.data.features import Features
from seal.ground.data.samples import Sample


class FeatureFamily(NamedTuple):
    """Features of one network."""

    title: str
    dimensions: tuple[int, ...]
    """The dimensions that its files are published with."""


FAMILIES = {
    "slowfast": FeatureFamily("SlowFast 8x8 R101, Kinetics-400", (2304,)),
    "omnivore": FeatureFamily("Omnivore Swin-L", (1536,)),
    "egovlp": FeatureFamily("EgoVLP", (256, 768)),
    "internvideo": FeatureFamily("InternVideo", (1024, 2048, 2304)),
}


def split_family(text: str) -> tuple[str, str]:
    """ "FAMILY:PATH" in two. Raises OptionError, listing the families."""
    name, colon, path = text.partition(":")
    if not colon or not path or name not in FAMILIES:
        raise OptionError(
            f"published features are given as FAMILY:PATH, got {text!r}; families:"
            f" {', '.join(FAMILIES)}"
        )
    return name, path


def check_family(name: str, features: Features, sample: Sample) -> int:
    """The dimension of a family's features, as the video of `sample` has it.

    Raises DataError for a dimension that the family is not published with.
    """
    family = FAMILIES[name]
    came = int(features.of(sample).shape[1])
    if came not in family.dimensions:
        valid = " or ".join(map(str, family.dimensions))
        raise DataError(
            f"the features of {sample.video} in {Path(features.path)} have {came} dimensions;"
            f" those of {family.title} have {valid}"
        )
    return came
