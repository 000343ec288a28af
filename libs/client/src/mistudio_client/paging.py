"""All pages of a list, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Page = TypeVar("Page")
Item = TypeVar("Item")

LARGEST_PAGE = 500


def every(
    fetch: Callable[..., Page], items: Callable[[Page], Sequence[Item]], **filters: Any
) -> Iterator[Item]:
    """Yield each item of each page.

    Parameters
    ----------
    fetch
        Returns a page, given ``limit`` and ``offset``.
    items
        Takes the items out of a page.
    **filters
        Given to ``fetch`` as they are.
    """
    offset = 0
    while True:
        found = items(fetch(limit=LARGEST_PAGE, offset=offset, **filters))
        yield from found
        if len(found) < LARGEST_PAGE:
            return
        offset += len(found)
