"""A trained head over the tokens that a stream has chosen for its standing queries."""

from __future__ import annotations

from collections.abc import Sequence

from seal.attention.streaming import Standing
from seal.config import DecodeOptions, SelectOptions
from seal.errors import OptionError
from seal.ground.checkpoint import load
from seal.ground.localise import localise
from seal.types import Moment


class StandingHead:
    """Finds moments among the tokens chosen so far: these are all the positions it looks at."""

    def __init__(self, name: str, encoder: str) -> None:
        """The head in a folder or of this name on the hub, for embeddings of this `encoder`.

        Raises BackendError as `seal.ground.checkpoint.load` does, OptionError for a head that looks
        at frames or at crops: a stream keeps neither.
        """
        self._head = load(name, encoder=encoder)
        sizes = self._head.sizes
        if sizes.positions == "frames" or sizes.crops:
            looks = "frames" if sizes.positions == "frames" else "crops of actions"
            raise OptionError(
                f"{name} looks at {looks}, which a stream does not keep; use a head of tokens"
                " without crops"
            )

    def __call__(self, queries: Sequence[Standing]) -> list[list[Moment]]:
        """The moments of each query, best first; none for a query without text."""
        return [self._moments(query) if query.text else [] for query in queries]

    def _moments(self, query: Standing) -> list[Moment]:
        return localise(
            self._head,
            query.tokens,
            [query.embedding],
            [query.selection.relevance],
            DecodeOptions(),
            budget=max(1, len(query.tokens)),
            select=SelectOptions("paper"),
        )[0]
