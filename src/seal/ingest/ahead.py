"""Reading ahead: a thread decodes while networks work on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def read_ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """The items of an iterator in their order, of which a thread gets up to `count` ahead.

    Raises what the iterator raises, after the items before. It is not used after an early end.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="decoding")
    try:
        waiting: deque[Future[T]] = deque(pool.submit(next, items, _END) for _ in range(count))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, items, _END))
            yield item
    finally:
        # What runs now ends, and nothing else begins.
        pool.shutdown(cancel_futures=True)
