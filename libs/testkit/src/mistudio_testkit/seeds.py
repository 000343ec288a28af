"""Which seeds the tests of faults are to run: ``MISTUDIO_FAULT_SEED``, ``7`` or ``20-59``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

from .nightly import NIGHTLY

VARIABLE = "MISTUDIO_FAULT_SEED"


def named_seeds() -> range | None:
    """Return the seeds of the environment; None where it names none."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return None
    first, _, last = named.partition("-")
    return range(int(first), int(last or first) + 1)


def seeds(few: Sequence[int], many: Sequence[int]) -> Sequence[int]:
    """Return those of the environment; else as many as there is time for."""
    named = named_seeds()
    if named is not None:
        return named
    return many if NIGHTLY else few


def one_seed() -> int:
    """Return the first of the environment's, for what runs once; else any."""
    named = named_seeds()
    return secrets.randbelow(2**32) if named is None else named.start
