"""Whose turn it is, when the models that extractions need do not fit a device together.

Changing models costs a load, so a model keeps its turn while it has work and nobody has waited for
too long; and nobody waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

BUDGET_SHARE = 0.9
"""The part of a device's budget that models may fill; captures need some of it to work in."""


@dataclass(frozen=True)
class Claim:
    """A model that extractions need.

    ``since`` is when it got its turn, where it ``holds`` one, else when it began to wait.
    """

    model_id: str
    bytes: int
    holds: bool
    since: datetime


def fit(claims: Iterable[Claim], budget_bytes: int | None) -> bool:
    """Return whether the models fit together; a budget that nobody knows holds everything."""
    return budget_bytes is None or sum(claim.bytes for claim in claims) <= budget_bytes


def share(
    claims: Sequence[Claim], budget_bytes: int | None, wait: timedelta, now: datetime
) -> frozenset[str]:
    """Return the models whose turn it is now.

    They fit together, or it is one alone. A turn lasts ``wait`` at least while there is work; then
    it ends when somebody has waited for ``wait`` who does not fit beside it, the longest-waiting
    first. With ``n`` models nobody waits longer than ``(n + 1) * wait``: once the longest-waiting
    one is due nobody passes it, and the turns that keep it out are over within ``wait``.

    Parameters
    ----------
    claims
        One a model, with its bytes on the device.
    budget_bytes
        Bytes that models may fill, None where no device is known.
    wait
        How long one is kept waiting for another's work.
    now
        The present moment.
    """
    if fit(claims, budget_bytes):
        return frozenset(claim.model_id for claim in claims)
    by_age = sorted(claims, key=lambda claim: (claim.since, claim.model_id))
    due = [now - claim.since >= wait for claim in by_age]
    aged = list(zip(by_age, due, strict=True))
    chosen: list[Claim] = []

    def admit(claim: Claim) -> bool:
        fits = not chosen or fit([*chosen, claim], budget_bytes)
        if fits:
            chosen.append(claim)
        return fits

    for claim, over in aged:
        if claim.holds and not over:
            admit(claim)
    passed_nobody = all(admit(claim) for claim, over in aged if not claim.holds and over)
    for claim, over in aged:
        if claim.holds and over:
            admit(claim)
    for claim, over in aged:
        if passed_nobody and not claim.holds and not over:
            admit(claim)
    return frozenset(claim.model_id for claim in chosen)
