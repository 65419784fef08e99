"""A library on a server: what `seal.open("http://...")` gives back.

library      the videos of a server
video        one of them
dialogue     questions to it that build on each other
asking       a server, and the questions that it answers
connection   requests and their answers
problems     what a server says is wrong, as SEAL's own errors
uploads      files to a server, in pieces
"""

from seal.client.library import RemoteLibrary
from seal.client.video import RemoteVideo

__all__ = ["RemoteLibrary", "RemoteVideo"]
