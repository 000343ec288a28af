"""Turning rows of a column into one number each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mistudio_activations import Column
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.looking import Along, Measure

VALUES = 4 << 20
"""Read at a time: as many as keep a bucket busy."""

CACHED = 1 << 18
"""Multiplied at a time, in memory that is near: twice as fast as all that was read at once."""


class Measuring:
    """A measure of rows, ready to be taken.

    Parameters
    ----------
    along
        What is asked for.
    width
        Of the rows.

    Raises
    ------
    InvalidInput
        When rows of that width have no such component, or the direction is of another width.
    """

    def __init__(self, along: Along, width: int) -> None:
        if along.neuron is not None and along.neuron >= width:
            raise _no_such_neuron(along.neuron, width)
        if along.direction is not None and len(along.direction) != width:
            raise _wrong_width(len(along.direction), width)
        self.measure = along.measure
        self.rows = VALUES if self.measure is Measure.NORM else max(1, VALUES // width)
        """How many rows are to be measured at a time."""
        self._neuron = along.neuron or 0
        self._unit = None if along.direction is None else _unit(along.direction)

    def of(self, column: Column, start: int, end: int) -> NDArray[np.float64]:
        """Return the numbers of rows ``start`` to ``end``, float64, computed in float64.

        Norms are those that were stored beside the rows. One that is not finite stays so.
        """
        if self.measure is Measure.NORM:
            return column.norms_between(start, end).astype(np.float64)
        return np.concatenate([np.empty(0), *self._parts(column, start, end)])

    def _parts(self, column: Column, start: int, end: int) -> Iterator[NDArray[np.float64]]:
        for first in range(start, end, self.rows):
            rows = column[first : min(first + self.rows, end)]
            if self._unit is None:
                yield rows[:, self._neuron].astype(np.float64)
                continue
            few = max(1, CACHED // rows.shape[1])
            for at in range(0, len(rows), few):
                with np.errstate(over="ignore", invalid="ignore"):
                    values = rows[at : at + few].astype(np.float64) @ self._unit
                yield values


def _unit(direction: list[float]) -> NDArray[np.float64]:
    vector = np.array(direction, np.float64)
    # First by the largest magnitude: the squares of what is very large or small are no numbers.
    vector /= np.abs(vector).max()
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def _no_such_neuron(neuron: int, width: int) -> InvalidInput:
    return InvalidInput(
        f"There is no component {neuron} in rows of {width}.",
        field="along.neuron",
        reason="out_of_range",
        width=width,
        remedy=f"Name one of 0 to {width - 1}.",
    )


def _wrong_width(given: int, width: int) -> InvalidInput:
    return InvalidInput(
        f"The direction has {given} components and the rows have {width}.",
        field="along.direction",
        reason="wrong_width",
        width=width,
        remedy=f"Give a direction of {width} components, of the space of this hook point.",
    )
