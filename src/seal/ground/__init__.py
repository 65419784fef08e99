"""From a query to the moments that answer it.

Without training
    moments       the relevance of tokens over time, and where it stands out
The head
    model         tokens and queries in, scored spans out
    snag, networks  a published baseline in its place, and both by name
    layers        attention in windows over tokens that are irregular in time
    crops, strips   how actions move, from stored pictures of them
    examples, batches   what it is shown of a video: the budget spent, as tensors
    words         queries word by word
    decode        from scored spans to moments
    localise, standing   all of it, in place of `moments`; on a stream
    checkpoint    on disk and on the hub
Training
    losses, train   what it learns, and how
    composites, stills   from clips and photos spliced into films
    annotated     from data sets, which `seal.ground.data` reads
    published     from features that others extracted, for training and for answers
"""

from seal.ground.moments import (
    Curve,
    Instants,
    TimedTokens,
    find_moments,
    locate,
    most_relevant,
    relevance_curve,
)

__all__ = [
    "Curve",
    "Instants",
    "TimedTokens",
    "find_moments",
    "locate",
    "most_relevant",
    "relevance_curve",
]
