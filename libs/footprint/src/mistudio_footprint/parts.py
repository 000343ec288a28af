"""What a model and a batch take on a device, part by part. Every part errs high."""

from __future__ import annotations

from dataclasses import dataclass

from .budget import FLOAT32, alive_elements, attention_elements, score_bytes
from .formats import Format, decoder_bytes
from .layout import Layout
from .shape import DecoderShape

HOOK_POINTS = 3
"""Columns that an estimate takes to be captured at once; with more, batches are smaller."""

QUEUED = 8
"""Captured tensors and counts that may wait for the disk: ``mistudio_capture.capture.PENDING``."""

MIB = 1 << 20


@dataclass(frozen=True)
class Batch:
    """``samples`` of ``length`` tokens each, of which ``hook_points`` columns are captured."""

    samples: int
    length: int
    hook_points: int = HOOK_POINTS

    @property
    def tokens(self) -> int:
        return self.samples * self.length


@dataclass(frozen=True)
class Parts:
    """Bytes on the device.

    Attributes
    ----------
    weights, quantization_state
        Of the decoder, without the language-model head: :func:`~.formats.decoder_bytes`.
    activations
        Of the batch at the widest moment of a block, attention's scores included.
    captured
        Columns on their way out.
    workspace
        Kernels' scratch, and a weight dequantised for its product, beyond the activations' peak.
    slack
        What the allocator rounds up and keeps.
    """

    weights: int
    quantization_state: int
    activations: int
    captured: int
    workspace: int
    slack: int

    @property
    def total(self) -> int:
        return (
            self.weights
            + self.quantization_state
            + self.activations
            + self.captured
            + self.workspace
            + self.slack
        )

    @property
    def resident(self) -> int:
        """What stays between two batches."""
        return self.weights + self.quantization_state


def parts(shape: DecoderShape, how: Format, batch: Batch, kind: str) -> Parts:
    """Return what a model takes with a batch under way.

    Parameters
    ----------
    shape
        Of the decoder.
    how
        The format of its weights.
    batch
        What runs.
    kind
        Of the device: ``cpu``, ``cuda`` or ``tegra``.
    """
    found = decoder_bytes(shape.layout, how)
    activations, workspace = passing_bytes(shape, how, batch, kind)
    captured = captured_bytes(shape, how, batch, kind)
    passing = activations + captured + workspace
    return Parts(
        weights=found.weights,
        quantization_state=found.state,
        activations=activations,
        captured=captured,
        workspace=workspace,
        slack=slack_bytes(found.total, passing, kind),
    )


def passing_bytes(shape: DecoderShape, how: Format, batch: Batch, kind: str) -> tuple[int, int]:
    """Return the bytes of a batch's activations, and of the scratch memory of kernels beside them.

    A block has two wide moments that never meet: while it attends there are the scores, see
    :func:`~.budget.score_bytes`; while it multiplies there are the inner rows of the MLP, see
    :func:`~.budget.alive_elements`, and a weight that is dequantised whole, int8 by way of float32.
    On a CPU products run in float32 (``mistudio_capture.halves``): in a model of half precision the
    input, the output and the weight are there once more.

    cuBLAS takes 32 MiB at most (PyTorch's ``CUBLAS_WORKSPACE_CONFIG`` for Hopper, 8 MiB before it).
    """
    compute = how.kept_bytes
    in_float32 = kind == "cpu" and compute != FLOAT32
    attending = batch.tokens * attention_elements(shape) * compute
    attending += score_bytes(shape, batch.samples, batch.length, compute, kind)
    multiplying = batch.tokens * alive_elements(shape, compute) * compute
    if in_float32:
        multiplying += batch.tokens * (shape.intermediate + shape.hidden) * FLOAT32
    activations = max(attending, multiplying)
    beyond = max(0, multiplying + copied_weight_bytes(shape.layout, how, kind) - activations)
    return activations, beyond + (8 if kind == "cpu" else 32) * MIB


def copied_weight_bytes(layout: Layout, how: Format, kind: str) -> int:
    """Return the bytes of the largest weight as a product needs it, where it is kept otherwise."""
    largest = max((m.elements for m in layout.matrices), default=0)
    compute = FLOAT32 if kind == "cpu" else how.kept_bytes
    if not how.quantized:
        return largest * FLOAT32 if kind == "cpu" and how.kept_bytes != FLOAT32 else 0
    by_way = FLOAT32 if how.quantization == "int8" and compute != FLOAT32 else 0
    return largest * (compute + by_way)


def captured_bytes(shape: DecoderShape, how: Format, batch: Batch, kind: str) -> int:
    """Return the bytes of captured columns, in the dtype of the residual stream.

    The columns of a batch are made during the pass and handed over after it, with a count. On a
    CPU they then wait for the disk in the same memory, while one is being written; from a GPU they
    wait in the host's memory.
    """
    column = batch.tokens * shape.hidden * how.kept_bytes
    waiting = 0
    if kind == "cpu":
        waiting = -(-QUEUED * batch.hook_points // (batch.hook_points + 1)) + 1
    return (batch.hook_points + waiting) * column


def slack_bytes(resident: int, passing: int, kind: str) -> int:
    """Return what the allocator rounds up and keeps.

    PyTorch's CUDA allocator takes 20 MiB segments for tensors of 1 to 10 MiB and multiples of 2 MiB
    beyond, and keeps what is freed. On a CPU freed blocks of a MiB go back to the system at
    once (``mistudio_capture.heap``), and smaller ones stay.
    """
    if kind == "cpu":
        return resident // 100 + passing // 10 + 8 * MIB
    return resident // 50 + passing // 10 + 40 * MIB
