"""The token store: Lance tables in a folder or an object store, written part by part, committed
video by video.

store     what callers see of it
opening   how it is opened or made
place     where its tables lie: a folder
bucket    the same in an object store
lance     tables: snapshots, and writes beside other processes
schema    the tables and their columns
commits   how a video becomes visible, and how leftovers are found
contents  the parts of a video
records   a video as a whole
columns   between tokens and rows
pictures  which stored frames show a token
search    committed tokens by a query
terms     the index of words
lookup    videos by what people call them
migrate   stores that an older SEAL made
"""

from seal.store.records import Stored, Unfinished, VideoRecord
from seal.store.store import Store

__all__ = ["Store", "Stored", "Unfinished", "VideoRecord"]
