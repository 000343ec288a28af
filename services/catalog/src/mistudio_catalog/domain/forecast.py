"""What an extraction would take, from what it lacks and how fast the model works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mistudio_contracts.hooks import depth_of
from mistudio_contracts.rpc import ExtractionProbe
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import HookPointFacts

from .disk import row_bytes


@dataclass(frozen=True)
class Forecast:
    """``seconds`` and ``bytes`` are None where nobody knows; ``unknown`` then says why."""

    seconds: float | None = None
    bytes: int | None = None
    tokens: int | None = None
    rows_sampled: int = 0
    unknown: str | None = None


NOTHING = Forecast(seconds=0.0, bytes=0)
"""Of what is cached."""


def work_of(missing: Mapping[str, int], num_layers: int | None) -> int:
    """Return the tokens that must be run, once for each block that they go through.

    Parameters
    ----------
    missing
        Of each hook point the tokens that the store lacks, which are its last ones.
    num_layers
        Of the model.
    """
    # The last tokens lack most columns, those before them fewer: each stretch has its own depth.
    lacking = sorted(missing, key=lambda name: missing[name], reverse=True)
    bounds = [*(missing[name] for name in lacking), 0]
    return sum(
        (more - fewer) * depth_of(lacking[: count + 1], num_layers)
        for count, (more, fewer) in enumerate(pairwise(bounds))
    )


def forecast(
    probe: ExtractionProbe,
    facts: HookPointFacts | None,
    dtype: Dtype,
    num_layers: int | None,
    work_per_second: float | None,
    devices: int,
) -> Forecast:
    """Return what an extraction would take.

    Parameters
    ----------
    probe
        What it lacks.
    facts
        The model's hook points, once it was placed.
    dtype
        Of the store.
    num_layers
        Of the model.
    work_per_second
        Of one device, from shards; else what the probe has measured is taken.
    devices
        How many share the shards.
    """
    size = _bytes(probe.missing, facts, dtype)
    speed = work_per_second or probe.work_per_second
    work = work_of(probe.missing, num_layers)
    seconds = 0.0 if not work else work / (speed * max(1, devices)) if speed else None
    reasons = [
        *([probe.unknown or "No speed of this model is known."] if seconds is None else []),
        *(["The model's widths are known once it was loaded."] if size is None else []),
    ]
    return Forecast(seconds, size, probe.tokens, probe.rows_sampled, " ".join(reasons) or None)


def _bytes(missing: Mapping[str, int], facts: HookPointFacts | None, dtype: Dtype) -> int | None:
    if facts is None:
        return None
    sizes: Sequence[int | None] = [
        size if (size := row_bytes(name, facts, dtype)) is None else size * tokens
        for name, tokens in missing.items()
    ]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
