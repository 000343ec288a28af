"""What can go wrong before the service has answered."""

from __future__ import annotations

from mistudio_contracts.errors import InvalidInput, ServiceUnavailable


class Unreachable(ServiceUnavailable):
    """Nobody answered; ``details['reason']`` is ``not_running``, ``unreachable`` or ``timeout``."""


class InvalidArgument(InvalidInput):
    """An argument was refused here, without asking the service."""


class Corrupted(InvalidInput):
    """Downloaded bytes are not those that the manifest names."""
