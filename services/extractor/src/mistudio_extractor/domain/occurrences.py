"""What the policy is told, and what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mistudio_contracts.errors import MiStudioError
from mistudio_contracts.values import ResidencyWish

from .needs import Reading
from .seats import Request

Reason = Literal["requested", "lru", "keep_alive"]


@dataclass(frozen=True)
class Asked:
    """A request has come."""

    request: Request


@dataclass(frozen=True)
class Cancelled:
    """Whoever asked does not want it any more, whether it waits or was granted."""

    request_id: str


@dataclass(frozen=True)
class LeaseEnded:
    """The work of a granted request is over."""

    request_id: str


@dataclass(frozen=True)
class Loaded:
    """A load has ended well; ``weights`` are the measured bytes."""

    model_id: str
    weights: int


@dataclass(frozen=True)
class LoadFailed:
    """A load has failed and left nothing behind."""

    model_id: str
    error: MiStudioError


@dataclass(frozen=True)
class OutOfMemory:
    """A load found too little memory and left nothing behind; ``free`` were the bytes then."""

    model_id: str
    free: int


@dataclass(frozen=True)
class Left:
    """A model's memory is given back."""

    model_id: str


@dataclass(frozen=True)
class Released:
    """Somebody has asked for a model to leave, pinned or not; ``task_id`` null keeps its own."""

    model_id: str
    task_id: str | None = None


@dataclass(frozen=True)
class Wished:
    """A model is to be kept in another way."""

    model_id: str
    wish: ResidencyWish


@dataclass(frozen=True)
class RoomWanted:
    """The work at hand ran out of memory: the idle models should leave."""


@dataclass(frozen=True)
class Measured:
    """The device's bytes were read."""

    reading: Reading


@dataclass(frozen=True)
class NotMeasured:
    """The device's bytes could not be read."""

    error: MiStudioError


@dataclass(frozen=True)
class Ticked:
    """Time has passed."""


Event = (
    Asked
    | Cancelled
    | LeaseEnded
    | Loaded
    | LoadFailed
    | OutOfMemory
    | Left
    | Released
    | Wished
    | RoomWanted
    | Measured
    | NotMeasured
    | Ticked
)


@dataclass(frozen=True)
class Load:
    """Bring a model in.

    Answered with :class:`Loaded`, :class:`LoadFailed` or :class:`OutOfMemory`.
    """

    request: Request


@dataclass(frozen=True)
class Evict:
    """Let go of a model; answered with :class:`Left`."""

    model_id: str
    task_id: str
    reason: Reason


@dataclass(frozen=True)
class Grant:
    """The model is there; with a lease where one was asked for."""

    request_id: str


@dataclass(frozen=True)
class Refuse:
    """The request cannot be granted, now or ever."""

    request_id: str
    error: MiStudioError


@dataclass(frozen=True)
class Measure:
    """Read the device's bytes; answered with :class:`Measured` or :class:`NotMeasured`."""


Decision = Load | Evict | Grant | Refuse | Measure
