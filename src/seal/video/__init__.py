"""Open anything that holds moving pictures, and read its frames with their exact times."""

from seal.video.frame import Frame

__all__ = ["Frame"]
