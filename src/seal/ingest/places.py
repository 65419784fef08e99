"""Which device each of several worker processes sees.

A process sees one device, by the variable that the maker's runtime reads before anything is loaded.
So "cuda" is another device in each process, and no back end has to know.
"""

from __future__ import annotations

import os
from typing import Any

from seal.config import Options, WhisperTranscribe
from seal.devices import count_devices, resolve_device

_VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "xpu": "ZE_AFFINITY_MASK"}
"""What says which devices a process sees: their numbers or names, with commas between."""


def uses_devices(options: Options) -> bool:
    """Whether a back end runs on a device, whose memory several processes would share."""
    stages = (options.segment, options.track, options.encode)
    return any(hasattr(stage, "device") for stage in stages) or _hears_on_gpu(options)


def places(options: Options) -> list[dict[str, str]]:
    """What to add to the environments of worker processes, each in its turn.

    There is one for each device of the kind that is used. A single one that adds nothing comes back
    where there is one device, where options name a device by its number, and where none is used.

    Raises BackendError for a device that is not here.
    """
    if not uses_devices(options):
        return [{}]
    stages: tuple[Any, ...] = (options.segment, options.track, options.encode, options.transcribe)
    wanted = {stage.device for stage in stages if hasattr(stage, "device")} - {"cpu"}
    if any(":" in device for device in wanted):
        return [{}]
    kinds = {resolve_device(device) for device in wanted} & _VISIBLE.keys()
    if len(kinds) != 1:
        return [{}]
    (kind,) = kinds
    variable = _VISIBLE[kind]
    names = [str(number) for number in range(count_devices(kind))]
    if given := os.environ.get(variable):
        # This process sees only some, and its number 0 is the first of these.
        names = given.split(",")[: len(names)]
    return [{variable: name} for name in names] if len(names) > 1 else [{}]


def _hears_on_gpu(options: Options) -> bool:
    """Whisper is small enough for each process on a CPU to have one."""
    if not isinstance(options.transcribe, WhisperTranscribe):
        return False
    from seal.words.whisper import runs_on_gpu

    return runs_on_gpu(options.transcribe.device)
