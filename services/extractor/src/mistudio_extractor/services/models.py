"""Loading a model and letting go of it, on the device's thread."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from mistudio_contracts.errors import ModelLoadFailed
from mistudio_contracts.values import HookKindFacts, HookPointFacts
from mistudio_extractor.domain.memory import is_out_of_memory, is_poison

from .device import return_memory

if TYPE_CHECKING:
    from mistudio_capture import CaptureModel

log = logging.getLogger(__name__)


def load(directory: Path, torch_device: str, offload_blocks: int = 0) -> CaptureModel:
    """Load a prepared artifact, but for so many of its last blocks, which stay on the disk.

    Raises
    ------
    ModelLoadFailed
        When it cannot be loaded, whatever is done again.
    Exception
        What tells that memory did not suffice or that the device is lost, as it was.
    """
    from mistudio_capture import CaptureError, CaptureModel, UnsupportedArchitecture

    try:
        return CaptureModel.load(directory, torch_device, offload_blocks=offload_blocks)
    except UnsupportedArchitecture as error:
        raise ModelLoadFailed(
            f"The architecture {error.model_type!r} is not supported.",
            reason="unsupported_architecture",
            remedy=f"Supported are: {', '.join(error.supported)}.",
        ) from error
    except Exception as error:
        # Frames of the failed load would keep its half-placed weights alive.
        traceback.clear_frames(error.__traceback__)
        return_memory()
        if is_out_of_memory(error) or is_poison(error):
            raise
        expected = isinstance(error, (CaptureError, OSError, ValueError, KeyError, RuntimeError))
        if not expected and type(error).__name__ != "SafetensorError":
            raise
        log.warning("A model could not be loaded.", exc_info=error)
        raise ModelLoadFailed(
            "The prepared artifact could not be placed in memory.",
            reason="placing_failed",
            remedy="Load the model again; the extractor's log has the details.",
        ) from error


def hook_points(model: CaptureModel) -> HookPointFacts:
    """Return what was proven of a model's hook points when it was loaded."""
    return HookPointFacts(
        kinds=[
            HookKindFacts(kind=each.kind, width=each.width, heads=each.heads)
            for each in model.anatomy.kinds()
        ],
        refused=dict(model.anatomy.refused()),
    )


def unload(model: CaptureModel) -> None:
    """Let go of a model and give its memory back."""
    model.close()
    return_memory()
