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
from .hooks import BLOCK_KINDS, HookPoint, layer_of
from .model import CaptureModel
from .scaled import ScaledRows

__all__ = [
    "BLOCK_KINDS",
    "FAMILIES",
    "CaptureCancelled",
    "CaptureError",
    "CaptureModel",
    "HookPoint",
    "InputsRefused",
    "OutOfDeviceMemory",
    "ScaledRows",
    "UnsupportedArchitecture",
    "capture_shard",
    "give_back_at_once",
    "iter_batches",
    "layer_of",
]
