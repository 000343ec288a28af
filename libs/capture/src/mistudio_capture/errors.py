"""What can go wrong in capture."""

from __future__ import annotations


class CaptureError(Exception):
    """Base of the errors of this package."""


class UnsupportedArchitecture(CaptureError):
    """The model is of no family whose values have been proven."""

    def __init__(self, model_type: str, supported: tuple[str, ...]) -> None:
        super().__init__(
            f"the architecture {model_type!r} is not supported; these are: {', '.join(supported)}"
        )
        self.model_type = model_type
        self.supported = supported


class InputsRefused(CaptureError):
    """Samples or hook points that the model cannot run."""


class CaptureCancelled(CaptureError):
    """Somebody asked to stop."""


class OutOfDeviceMemory(CaptureError):
    """The smallest batch, one sample alone, did not fit."""
