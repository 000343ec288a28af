"""The capture engine: hook points, packing and the forward pass."""

from .batching import iter_batches
from .capture import capture_shard
from .errors import (
    CaptureCancelled,
    CaptureError,
    InputsRefused,
    OutOfDeviceMemory,
    UnsupportedArchitecture,
)
from .families import FAMILIES
from .heap import give_back_at_once
from .hooks import layer_of
from .model import CaptureModel

__all__ = [
    "FAMILIES",
    "CaptureCancelled",
    "CaptureError",
    "CaptureModel",
    "InputsRefused",
    "OutOfDeviceMemory",
    "UnsupportedArchitecture",
    "capture_shard",
    "give_back_at_once",
    "iter_batches",
    "layer_of",
]
