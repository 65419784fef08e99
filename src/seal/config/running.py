"""How indexing is run: which engine does the parts of a plan, and what it does when one fails.

Nothing here decides which tokens a video gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from seal.settings import check


@dataclass(frozen=True)
class EngineOptions:
    """What all engines have."""

    backend: ClassVar[str]
    retries: int = 2
    """How often a part is tried again that could not be read, or whose worker died."""
    dead_parts: Literal["unfinished", "gaps"] = "unfinished"
    """What becomes of a video with parts that failed each time. With "unfinished" the video is not
    committed, and the same command tries these parts again. With "gaps" the video is committed, and
    these parts are gaps of it for good."""

    def __post_init__(self) -> None:
        check(self, self.retries >= 0, "retries must be at least 0")


@dataclass(frozen=True)
class LocalOptions(EngineOptions):
    """Processes of this machine."""

    backend: ClassVar[str] = "local"


@dataclass(frozen=True)
class RayOptions(EngineOptions):
    """Tasks and actors of a Ray cluster."""

    backend: ClassVar[str] = "ray"
    address: str | None = None
    """The cluster, such as "10.0.0.5:6379" or "auto"; by default that in RAY_ADDRESS, and where
    this is not set a cluster on this machine alone, which ends with the command."""
    cpus: float = 1.0
    """The CPUs that Ray reserves for each part that is worked on."""
    gpus: float = 1.0
    """The GPUs that Ray reserves for each model server: 0.5 puts two of them on one GPU. It counts
    where the cluster has GPUs and a back end runs on a device."""
    servers: int | None = None
    """The number of model servers, processes that hold the weights of the back ends with a device;
    by default as many as the cluster's GPUs hold, at least one."""
    server_parts: int = 2
    """The parts that one model server works for at a time. Each has one call open at most, so that
    the calls that wait for a server are fewer than this."""
    videos: int = 4
    """The videos that are worked on at a time: the last parts of one leave workers idle, which the
    first parts of the others then take."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, self.cpus > 0, "cpus must be above 0")
        check(self, self.gpus >= 0, "gpus must be at least 0")
        check(self, self.servers is None or self.servers >= 1, "servers must be at least 1")
        check(self, self.server_parts >= 1, "server_parts must be at least 1")
        check(self, self.videos >= 1, "videos must be at least 1")
