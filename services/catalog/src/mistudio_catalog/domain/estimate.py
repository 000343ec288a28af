"""Will it fit: a checkpoint's facts and a device, and what the arithmetic says of the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mistudio_contracts import views
from mistudio_contracts.errors import InvalidInput
from mistudio_contracts.states import Dtype, Fit, Quantization
from mistudio_contracts.values import QuantizationOptions
from mistudio_footprint import (
    DEFAULT_BUDGET_BYTES,
    FAMILIES,
    DecoderShape,
    Format,
    Plan,
    Resident,
    Room,
    UnknownFamily,
    checkpoint_dtype,
    disk_bytes,
    plan,
    recommend,
)

from .device import DeviceState

GIB = 1 << 30
UNSEEN_KIND = "cuda"
"""Of a device that nobody has seen yet: what the default budget is meant for."""


@dataclass(frozen=True)
class Subject:
    """What is asked about. ``on_disk`` maps formats that are prepared already to their bytes."""

    model_identifier: str
    config: dict[str, Any]
    dtype: Dtype | None
    weight_bytes: int | None
    downloaded: bool
    on_disk: Mapping[Quantization, int]
    model_id: str | None = None


def estimate(
    subject: Subject,
    device: DeviceState | None,
    last_used: Mapping[str, datetime],
    quantization: Quantization | None,
    options: QuantizationOptions,
) -> views.Estimate:
    """Return what each format takes, whether it fits, and which to choose.

    Parameters
    ----------
    subject
        What is asked about.
    device
        Where; None takes the default budget, empty.
    last_used
        When each resident was used last.
    quantization
        The only format to tell of; None tells of all. The choice is always among all.
    options
        How int4 is made.

    Raises
    ------
    InvalidInput
        Field ``model_identifier``, ``reason`` ``unsupported_architecture`` or ``corrupt_config``.
    """
    shape = _shape(subject.config)
    dtype = subject.dtype.value if subject.dtype else checkpoint_dtype(subject.config)
    room = _room(device, last_used)
    if subject.model_id is not None:
        room = room.without(subject.model_id)
    refused = {} if device is None else device.unavailable_formats
    plans = {
        each: plan(
            shape,
            Format(each.value, dtype, options.double_quant),
            room,
            UNSEEN_KIND if device is None else device.kind,
            refused=refused.get(each),
        )
        for each in Quantization
    }
    best = recommend({each.value: made for each, made in plans.items()}, dtype)
    chosen = None if best is None else Quantization(best)
    told = list(Quantization) if quantization is None else [quantization]
    return views.Estimate(
        model_id=subject.model_id,
        model_identifier=subject.model_identifier,
        model_type=shape.model_type,
        num_layers=shape.layers,
        parameter_count=shape.layout.model,
        device_id=None if device is None else device.id,
        budget_bytes=room.budget,
        used_bytes=room.used,
        free_bytes=room.free,
        formats=[_format(each, plans[each], shape, subject) for each in told],
        recommended=chosen,
        message=_message(plans, chosen, room),
    )


def choose_device(
    devices: Sequence[DeviceState], holding: str | None, quantization: Quantization | None
) -> DeviceState | None:
    """Return the device to estimate for: the one that holds the model, else the roomiest.

    Among those online; one that cannot compute with the format asked for comes last.
    """
    online = [each for each in devices if each.online]
    if not online:
        return None
    return max(
        online,
        key=lambda each: (
            each.id == holding,
            quantization not in each.unavailable_formats,
            each.memory_budget_bytes - each.memory_used_bytes,
            each.id,
        ),
    )


def _shape(config: dict[str, Any]) -> DecoderShape:
    try:
        return DecoderShape.from_config(config)
    except UnknownFamily as error:
        raise InvalidInput(
            f"The architecture {str(error)[:100]} is not supported.",
            field="model_identifier",
            reason="unsupported_architecture",
            remedy=f"Use a causal language model of one of: {', '.join(sorted(FAMILIES))}.",
            supported=sorted(FAMILIES),
        ) from error
    except KeyError as error:
        raise _corrupt(f"config.json lacks {error.args[0]}.") from error
    except ValueError as error:
        raise _corrupt(f"In config.json {error}.") from error


def _corrupt(message: str) -> InvalidInput:
    return InvalidInput(
        message,
        field="model_identifier",
        reason="corrupt_config",
        remedy="Save the checkpoint again with save_pretrained.",
    )


def _room(device: DeviceState | None, last_used: Mapping[str, datetime]) -> Room:
    if device is None:
        return Room(DEFAULT_BUDGET_BYTES)
    residents = tuple(
        Resident(
            each.model_id,
            each.memory_usage_bytes,
            last_used[each.model_id].timestamp() if each.model_id in last_used else 0.0,
            each.pinned,
            each.leases,
        )
        for each in device.residents
    )
    return Room(
        device.memory_budget_bytes, device.memory_used_bytes, device.memory_free_bytes, residents
    )


def _format(
    quantization: Quantization, made: Plan, shape: DecoderShape, subject: Subject
) -> views.FormatEstimate:
    parts, offer = made.parts, made.offload
    disk = disk_bytes(shape.layout, made.how)
    if quantization is Quantization.NONE and subject.weight_bytes is not None:
        disk = max(disk, subject.weight_bytes)
    download = subject.weight_bytes if subject.downloaded else None
    return views.FormatEstimate(
        quantization=quantization,
        total_bytes=parts.total,
        parts=views.MemoryParts(
            weights_bytes=parts.weights,
            quantization_state_bytes=parts.quantization_state,
            activations_bytes=parts.activations,
            captured_bytes=parts.captured,
            workspace_bytes=parts.workspace,
            slack_bytes=parts.slack,
        ),
        fit=Fit(made.verdict.fit),
        evict=list(made.verdict.evict),
        held_by=list(made.verdict.held_by),
        batch_size=made.batch.samples,
        sequence_length=made.batch.length,
        download_bytes=0 if download is not None and quantization in subject.on_disk else download,
        disk_bytes=subject.on_disk.get(quantization, disk),
        unavailable=made.unavailable,
        offload=None
        if offer is None
        else views.OffloadEstimate(
            blocks=offer.blocks,
            total_bytes=offer.total,
            read_bytes_per_batch=offer.read_per_batch,
            cost=offer.cost,
        ),
    )


def _message(plans: Mapping[Quantization, Plan], chosen: Quantization | None, room: Room) -> str:
    budget = f"{room.budget / GIB:.1f} GiB"
    if chosen is None:
        return _nothing_fits(plans, budget)
    made = plans[chosen]
    batch, verdict = made.batch, made.verdict
    what = (
        f"Choose {chosen}: {made.parts.total / GIB:.1f} GiB of {budget}, with batches of "
        f"{batch.samples} × {batch.length} tokens"
    )
    if verdict.fit == Fit.NOW.value:
        return f"{what}. It is the least lossy format that fits now."
    waits = [f"{', '.join(verdict.evict)} would be evicted"] if verdict.evict else []
    if verdict.held_by:
        waits.append(f"{', '.join(verdict.held_by)}, pinned or in use, must leave first")
    if verdict.others:
        waits.append("other programs must free memory first")
    return f"{what}. No format fits now; for this one {' and '.join(waits)}."


def _nothing_fits(plans: Mapping[Quantization, Plan], budget: str) -> str:
    usable = {each: made for each, made in plans.items() if made.unavailable is None}
    if not usable:
        return "No format can be used on this device."
    name = min(usable, key=lambda each: usable[each].parts.total)
    least = usable[name]
    told = f"No format fits {budget}: {name} is the smallest, at {least.parts.total / GIB:.1f} GiB"
    if least.offload is None:
        return f"{told}. It takes a larger device, or a smaller model."
    return f"{told}. With offload it runs: {least.offload.cost[0].lower()}{least.offload.cost[1:]}"
