"""Open anything that holds moving pictures, and read its frames with their exact times."""

from seal.video.frame import Frame
from seal.video.reader import Gap, Video, VideoInfo, open_video
from seal.video.source import content_id, is_address

__all__ = ["Frame", "Gap", "Video", "VideoInfo", "content_id", "is_address", "open_video"]
