"""Open anything that holds moving pictures, and read its frames with their exact times."""

from seal.video.content import SourceFiles, content_id
from seal.video.frame import Frame
from seal.video.reader import Gap, VideoInfo, VideoReader, open_video
from seal.video.source import is_address, is_pipe, shown, sources_in, sources_of
from seal.video.stream import Note

__all__ = [
    "Frame",
    "Gap",
    "Note",
    "SourceFiles",
    "VideoInfo",
    "VideoReader",
    "content_id",
    "is_address",
    "is_pipe",
    "open_video",
    "shown",
    "sources_in",
    "sources_of",
]
