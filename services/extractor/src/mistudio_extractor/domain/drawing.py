"""Drawing rows of a dataset: the same ones each time, from everywhere."""

from __future__ import annotations

import numpy as np


def drawn(seed: str, start: int, end: int, places: int, rows: int) -> list[tuple[int, int]]:
    """Return ranges of rows from ``start`` to ``end``, in order: all of few, else some by chance.

    Parameters
    ----------
    seed
        Hexadecimal digits; the same draws the same.
    start, end
        Dataset rows, from 0.
    places
        How many ranges are drawn, one from each equal share of the rows.
    rows
        Of each range.
    """
    if end - start <= places * rows:
        return [(start, end)]
    share = (end - start) // places
    chance = np.random.default_rng(int(seed[:16], 16))
    firsts = [
        start + place * share + int(chance.integers(share - rows + 1)) for place in range(places)
    ]
    return [(first, first + rows) for first in firsts]
