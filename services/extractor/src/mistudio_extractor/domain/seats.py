"""Models on a device and requests for them, as the policy keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from mistudio_contracts.values import Artifact, ResidencyWish

from .needs import Need


class Stage(Enum):
    """A model's way through the device; its bytes count from the first moment to the last."""

    LOADING = "loading"
    RESIDENT = "resident"
    LEAVING = "leaving"


@dataclass(frozen=True)
class Request:
    """Somebody asks for a model to be there.

    Parameters
    ----------
    request_id
        Names the request, and its lease.
    model_id, artifact, task_id
        Which artifact of which model, and the task it is asked for.
    need
        What it takes by the estimate.
    wish
        How it is to be kept.
    hold
        Whether it is leased until its end, or only brought in.
    force
        Whether the estimate may exceed the budget.
    offload_blocks
        So many blocks stay on the disk.
    """

    request_id: str
    model_id: str
    artifact: Artifact
    task_id: str
    need: Need
    wish: ResidencyWish = field(default_factory=ResidencyWish)
    hold: bool = False
    force: bool = False
    offload_blocks: int = 0

    @property
    def fingerprint(self) -> str:
        return self.artifact.fingerprint


@dataclass
class Waiting:
    """A request that is not answered yet.

    ``overtaken`` counts the leases granted before it since it needs room; ``retried`` says that
    the device ran out of memory once and the idle models were sent away for it.
    """

    request: Request
    overtaken: int = 0
    retried: bool = False


@dataclass
class Seat:
    """A model on the device.

    Parameters
    ----------
    need
        By the estimate while it is loading, then as measured.
    leases
        Ids of the requests that work with it.
    joined
        Ids of the requests that wait for its load to end.
    doomed
        The task of a release that waits for the load or the leases to end.
    forced
        Whether it may exceed the budget.
    last_used
        Seconds of the policy's clock.
    """

    model_id: str
    fingerprint: str
    task_id: str
    need: Need
    wish: ResidencyWish
    stage: Stage = Stage.LOADING
    leases: set[str] = field(default_factory=set)
    joined: set[str] = field(default_factory=set)
    doomed: str | None = None
    forced: bool = False
    last_used: float = 0.0

    @property
    def pinned(self) -> bool:
        """Whether only a release can take it away."""
        return self.wish.pinned and self.doomed is None and self.stage is not Stage.LEAVING

    @property
    def idle(self) -> bool:
        return self.stage is Stage.RESIDENT and not self.leases

    @property
    def evictable(self) -> bool:
        """Whether it may be sent away to make room."""
        return self.idle and not self.pinned

    def serves(self, request: Request) -> bool:
        """Tell whether it is, or will be, what the request asks for."""
        return (
            self.fingerprint == request.fingerprint
            and self.doomed is None
            and self.stage is not Stage.LEAVING
        )

    def expires_at(self) -> float | None:
        """Return when it has been idle for as long as was wished; None for never."""
        if not self.evictable or self.wish.keep_alive_seconds is None:
            return None
        return self.last_used + self.wish.keep_alive_seconds
