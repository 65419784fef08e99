"""Everything SEAL raises on purpose, in one tree.

    SealError                  catch this one to catch them all
    ├── OptionError            a wrong option, name or argument; lists the valid ones
    ├── VideoError             this input cannot be read as video; the rest of a batch can go on
    │   └── UnfinishedError    some parts of it could not be indexed; the others are stored
    ├── StoreError             the token store cannot be used
    │   ├── NotIndexedError    the store has no such video
    │   ├── StoreFullError     no space left; what was stored before is untouched
    │   └── StoreVersionError  written by a newer SEAL
    ├── DataError              the files of a benchmark are missing or not what they should be
    ├── BackendError           a back end cannot be loaded: a missing extra or missing weights
    └── AnswerError            the answering model refused, failed or cannot be reached
        └── ContextError       the prompt is longer than the model can read

Every message says what came, what was expected and what to try. Paths are shown as given, with
visible escapes for what could steer a terminal; `args` has them as they are.
"""

from collections.abc import Sequence
from typing import Any


class SealError(Exception):
    """Base of all errors that SEAL raises on purpose."""

    def __str__(self) -> str:
        # Only where an error is printed: `import seal` has no use for regular expressions.
        from seal.printing import printable

        return printable(super().__str__())


class OptionError(SealError, ValueError):
    """An option, name or argument that is not valid; the message lists what is."""


class VideoError(SealError):
    """An input that cannot be read as video."""


class UnfinishedError(VideoError):
    """A video of which some parts could not be indexed. The others are stored."""

    def __init__(self, message: str, shares: Sequence[Any]) -> None:
        super().__init__(message)
        self.shares = shares
        """A `seal.inventory.Share` of each such video: which parts failed, and why."""


class StoreError(SealError):
    """A token store that cannot be used."""


class NotIndexedError(StoreError):
    """The store has no video of this id or path."""


class StoreFullError(StoreError):
    """No space was left to write; what was stored before is untouched."""


class StoreVersionError(StoreError):
    """A store that a newer version of SEAL has written."""


class DataError(SealError):
    """The files of a benchmark that are missing or not what they should be."""


class BackendError(SealError):
    """A back end that cannot be loaded: its extra is not installed or its weights are not there."""


class AnswerError(SealError):
    """An answering model that refused, failed or cannot be reached."""


class ContextError(AnswerError):
    """A prompt that is longer, or has more pictures, than the model can read."""

    def __init__(self, message: str, *, most_pictures: int | None = None) -> None:
        super().__init__(message)
        self.most_pictures = most_pictures
        """How many pictures the model can read, where it says so."""
