"""The front door: a library, its videos, and all that is asked of one or many.

    library = seal.open("tokens")
    video = library.index("film.mp4")
    video.find("a red ball", top=3)
    library.find("a red ball")

A library is a folder or an object store (`seal.library.LocalLibrary`) or on a server
(`seal.client.RemoteLibrary`): the same methods give the same results.

A method has the options that people change as keyword arguments; all others go into `options`, as
a mapping or as "key=value". An option that the method does not read is an OptionError.

requests   what is asked, once its keyword arguments are settings
video      one video
library    many videos
"""

from seal.front.library import Library
from seal.front.requests import Indexing, PutExport, PutQuestion
from seal.front.video import Video

__all__ = ["Indexing", "Library", "PutExport", "PutQuestion", "Video"]
