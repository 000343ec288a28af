"""Why a model cannot be brought in, with the figures and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_contracts.errors import InsufficientMemory, ModelTooLarge

from .needs import Need, gigabytes


def too_large(need: Need, budget: int) -> ModelTooLarge:
    """Return the error of a model that would not fit an empty device."""
    return ModelTooLarge(
        f"The model needs {gigabytes(need.total)} GB and the device's budget is "
        f"{gigabytes(budget)} GB.",
        reason="never_fits",
        required_memory_gb=gigabytes(need.total),
        available_memory_gb=gigabytes(budget),
        remedy="Choose a smaller format, load it with offload, which reads from the disk what does "
        "not fit, or raise GPU_MEMORY_LIMIT_GB.",
    )


def all_pinned(need: Need, available: int, pinned: Sequence[str]) -> InsufficientMemory:
    """Return the error of a device whose pinned models leave no room."""
    return InsufficientMemory(
        f"Pinned models leave no room: {', '.join(pinned)}.",
        reason="all_pinned",
        required_memory_gb=gigabytes(need.total),
        available_memory_gb=gigabytes(max(0, available)),
        pinned_models=list(pinned),
        remedy="Unpin or unload one of them, or choose a smaller format.",
    )


def device_memory(need: Need, available: int) -> InsufficientMemory:
    """Return the error of a device that has less memory left than its budget promises."""
    return InsufficientMemory(
        "The device has not enough free memory now: other programs, or this one beside its "
        "models, use it.",
        reason="device_memory",
        required_memory_gb=gigabytes(need.total),
        available_memory_gb=gigabytes(max(0, available)),
        remedy="Free memory on the device, or choose a smaller format.",
    )
