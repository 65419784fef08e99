"""The token store: a folder of Lance tables, written part by part, committed video by video."""

from seal.store.records import Progress, VideoRecord
from seal.store.store import Store

__all__ = ["Progress", "Store", "VideoRecord"]
