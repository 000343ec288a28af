"""Bytes of weights and batches, and how many tokens one batch takes."""

from __future__ import annotations

from .shape import DecoderShape

CPU_TOKENS = 1024
"""Where a 2-core CPU is quickest: matrices wide enough to be efficient, activations in cache."""

DEVICE_TOKENS = 16_384
"""More tokens a batch no longer speed up a GPU's matrix products; fewer leave room for models."""

LEAST_TOKENS = 64


def weight_bytes(shape: DecoderShape, bytes_per_parameter: float) -> int:
    """Return the bytes of the blocks and the input embedding, without a language-model head."""
    parameters = shape.layers * shape.block_parameters + shape.vocab * shape.hidden
    return int(parameters * bytes_per_parameter)


def forward_bytes_per_token(
    shape: DecoderShape, hook_points: int, compute_bytes: int, store_bytes: int
) -> int:
    """Return the peak bytes that one token of a batch needs on the device.

    One block is alive at a time: its residual stream in and out, queries, keys, values and
    attention output, and the widest of the MLP (gate, up and their product); captured columns
    wait in the store's dtype, twice, since one buffer is copied while the next is filled.

    Parameters
    ----------
    shape
        Of the decoder.
    hook_points
        How many columns are captured.
    compute_bytes, store_bytes
        Bytes of an element of the forward pass and of the store.
    """
    kv = shape.hidden * shape.kv_heads // shape.heads
    attention = 3 * shape.hidden + 2 * kv
    mlp = (3 if shape.gated else 2) * shape.intermediate + 2 * shape.hidden
    alive = 2 * shape.hidden + max(attention, mlp)
    return alive * compute_bytes + 2 * hook_points * shape.hidden * store_bytes


def token_budget(
    shape: DecoderShape,
    free_bytes: int,
    device_kind: str,
    *,
    hook_points: int = 1,
    compute_bytes: int = 4,
    store_bytes: int = 4,
) -> int:
    """Return how many tokens one batch takes: the line that decides a batch's size.

    The same arguments give the same number, so that a shard done again is cut into the same
    batches. A longer sample is still one batch.

    Parameters
    ----------
    shape
        Of the decoder.
    free_bytes
        What a batch may use of the device.
    device_kind
        ``cpu``, ``cuda`` or ``tegra``.
    hook_points, compute_bytes, store_bytes
        As for :func:`forward_bytes_per_token`.
    """
    fastest = CPU_TOKENS if device_kind == "cpu" else DEVICE_TOKENS
    fitting = free_bytes // forward_bytes_per_token(shape, hook_points, compute_bytes, store_bytes)
    return max(LEAST_TOKENS, min(fastest, fitting))
