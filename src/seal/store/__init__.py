"""The token store: a folder of Lance tables, written part by part, committed video by video."""

from seal.store.records import Stored, Unfinished, VideoRecord
from seal.store.store import Store

__all__ = ["Store", "Stored", "Unfinished", "VideoRecord"]
