"""Formats that a pool's devices can compute with."""

from __future__ import annotations

from collections.abc import Sequence

from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Quantization

from .device import DeviceState


def check_available(quantization: Quantization, devices: Sequence[DeviceState]) -> None:
    """Raise InvalidInput, field ``quantization``, for a format that no device can compute with.

    ``devices`` are those of the model's pool; who is offline says nothing. Where nobody is online
    the load waits for a device, which then knows.
    """
    online = [each for each in devices if each.online]
    if not online or any(quantization not in each.unavailable_formats for each in online):
        return
    refusing = online[0]
    works = [
        str(each)
        for each in Quantization
        if any(each not in device.unavailable_formats for device in online)
    ]
    why = refusing.unavailable_formats[quantization]
    raise InvalidInput(
        f"{quantization} cannot be used on {refusing.name}: {why}",
        field="quantization",
        reason="quantization_unavailable",
        device_id=refusing.id,
        cause=why,
        remedy=f"Choose one of {', '.join(works)}."
        if works
        else "Repair the device's libraries; mistudio doctor says what is wrong.",
    )
