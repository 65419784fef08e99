"""The 80 things of COCO, in its order: what published detectors are taught."""

from __future__ import annotations

from pathlib import Path

COCO = tuple((Path(__file__).parent / "coco.txt").read_text("utf-8").splitlines())
