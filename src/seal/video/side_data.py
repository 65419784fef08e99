"""What a decoded frame carries beside its pixels: how it is turned, how bright its display was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, cast

import av
from av.buffer import Buffer
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

# Room for every kind of side data that FFmpeg may come to know; version 8.1 knows 33.
_KINDS = 128
_TINY_PX = 2


class SideDataReader:
    """Reads the side data of frames, one after another."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._known_only: Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> Mapping[SideData, Buffer]:
        """The kinds of side data of a frame that PyAV has a name for."""
        # The attribute `side_data` ties a frame into a reference cycle, and frames that wait for
        # the garbage collector fill the memory. A container that is made beside the frame does not.
        try:
            return _listed(frame)
        except ValueError:  # PyAV cannot list side data with a kind that it has no name for.
            # A tiny copy, because filters are made for frames of one size and format.
            tiny = self._reformatter.reformat(
                frame,
                _TINY_PX,
                _TINY_PX,
                "gray",
                src_colorspace=Colorspace.ITU709,
                interpolation=Interpolation.POINT,
                threads=1,
            )
            graph = self._known_only = self._known_only or _without_unknown_kinds(tiny)
            graph.vpush(tiny)
            return _listed(graph.vpull())


def _listed(frame: av.VideoFrame) -> Mapping[SideData, Buffer]:
    # PyAV's type hints leave out what it is made from.
    make = cast("Callable[[av.VideoFrame], Any]", SideDataContainer)
    return cast("Mapping[SideData, Buffer]", make(frame))


def _without_unknown_kinds(frame: av.VideoFrame) -> Graph:
    """Filters that drop the side data that PyAV has no name for, for frames like this one."""
    graph = Graph()
    filters = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
    ]
    unknown = {*range(_KINDS)} - {cast("int", kind.value) for kind in SideData}
    filters += [graph.add("sidedata", mode="delete", type=str(kind)) for kind in sorted(unknown)]
    graph.link_nodes(*filters, graph.add("buffersink"))
    graph.configure()
    return graph
