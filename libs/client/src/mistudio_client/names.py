"""From the name that a person gives to the one resource that bears it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from mistudio_contracts.errors import ErrorCode, NotFound

from .errors import InvalidArgument

Named = TypeVar("Named")


def the_one(
    reference: str,
    candidates: Iterable[Named],
    keys: tuple[Callable[[Named], str], ...],
    *,
    kind: str,
    code: ErrorCode,
) -> Named:
    """Return the candidate that ``reference`` names.

    Parameters
    ----------
    reference
        A name or an id.
    candidates
        Everything there is of this kind.
    keys
        What a candidate may be named by, strongest first: the first key that matches anything
        decides. The first key must be the id.
    kind
        What to call such a thing in messages.
    code
        The contract's code for its absence.

    Raises
    ------
    NotFound
        When nothing has this name.
    InvalidArgument
        With reason ``ambiguous``, naming the ids, when several have it.
    """
    everything = list(candidates)
    for key in keys:
        found = [each for each in everything if key(each) == reference]
        if len(found) == 1:
            return found[0]
        if found:
            ids = sorted(keys[0](each) for each in found)
            raise InvalidArgument(
                f"{reference!r} names {len(ids)} {kind}s: {', '.join(ids)}.",
                field=kind,
                reason="ambiguous",
                remedy="Give the id of the one that you mean.",
            )
    raise NotFound(
        f"There is no {kind} {reference!r}.",
        code=code,
        field=kind,
        reason="unknown",
        remedy=f"See what there is with: mistudio {kind}s list",
    )
