"""Rows made int8 on the device: only codes, a scale a row and what it cost cross to the host.

Each row is divided by its largest magnitude over 127 and rounded: the vector-wise quantisation of
LLM.int8() (Dettmers et al. 2022, arXiv:2208.07339, section 3.1), of activations alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

LARGEST = 127
LARGEST_SCALE = torch.nextafter(
    torch.tensor(torch.finfo(torch.float32).max) / LARGEST, torch.tensor(0.0)
).item()
"""A larger one, times its largest code, would leave the range of float32."""

PIECE_BYTES = {"cpu": 1 << 20}
"""Rows are made int8 a piece at a time, so that what they pass through stays small: on a CPU in its
cache (pieces of 16 MiB took five times as long), elsewhere as few kernels as memory allows."""

ELSEWHERE = 16 << 20

BESIDE = 3 * 8 + 2 * 4
"""Bytes beside a row's codes: three sums of squares, its scale and its norm."""


@dataclass(frozen=True)
class ScaledRows:
    """Rows of int8: a row reads as its codes times its scale.

    ``codes`` int8 ``[n, width]``; ``scales`` float32 ``[n]``, not a number where the row held a
    value that is not finite; ``norms`` float32 ``[n]``, of the rows before they were rounded;
    ``squares`` float64 ``[n, 3]``, the squared norms of the row, of what it reads as, and of their
    difference.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    norms: torch.Tensor
    squares: torch.Tensor

    def __getitem__(self, rows: slice) -> ScaledRows:
        """Return some of the rows, as views."""
        return ScaledRows(self.codes[rows], self.scales[rows], self.norms[rows], self.squares[rows])


@dataclass(frozen=True)
class Packed:
    """Rows of int8 with all that belongs to them in one piece of memory, to be copied as one.

    ``packed`` is uint8 ``[n, width + 32]``: as many bytes, the parts one after another.
    """

    packed: torch.Tensor

    @classmethod
    def empty(cls, tokens: int, width: int, device: torch.device) -> Packed:
        return cls(torch.empty((tokens, width + BESIDE), dtype=torch.uint8, device=device))

    @property
    def rows(self) -> ScaledRows:
        """The parts, as views. The widest elements come first, so that each is aligned."""
        tokens, width = self.packed.shape[0], self.packed.shape[1] - BESIDE
        sizes = [24 * tokens, 4 * tokens, 4 * tokens, width * tokens]
        squares, scales, norms, codes = self.packed.view(-1).split(sizes)
        return ScaledRows(
            codes.view(torch.int8).view(tokens, width),
            scales.view(torch.float32),
            norms.view(torch.float32),
            squares.view(torch.float64).view(tokens, 3),
        )


def scale_rows(rows: torch.Tensor) -> Packed:
    """Return ``[n, width]`` rows of floats as int8, each row by itself."""
    tokens, width = rows.shape
    made = Packed.empty(tokens, width, rows.device)
    piece = PIECE_BYTES.get(rows.device.type, ELSEWHERE)
    step = max(1, piece // (4 * max(1, width)))
    for start in range(0, tokens, step):
        taken = slice(start, start + step)
        _scale(rows[taken].float(), made.rows[taken])
    return made


def _scale(values: torch.Tensor, out: ScaledRows) -> None:
    # The quotient is of tensors: by a number it would be a product with the number's inverse.
    largest = torch.full((), LARGEST, dtype=torch.float32, device=values.device)
    scales = values.abs().amax(dim=1) / largest
    finite = scales.isfinite()
    scales = scales.clamp(max=LARGEST_SCALE).masked_fill(~finite, torch.nan)
    # Not asked whether any row is not finite: the answer would wait for the device.
    whole = values.masked_fill(~finite[:, None], 0)
    divisor = torch.where(finite & (scales > 0), scales, torch.ones_like(scales))
    codes = (whole / divisor[:, None]).round_().clamp_(-LARGEST, LARGEST)
    read = codes * scales.masked_fill(~finite, 0)[:, None]
    out.codes.copy_(codes)
    out.scales.copy_(scales)
    squared = _squared(values)
    out.norms.copy_(squared.sqrt())
    out.squares[:, 0] = squared.masked_fill(~finite, 0)
    out.squares[:, 1] = _squared(read)
    out.squares[:, 2] = _squared(read.sub_(whole))


def _squared(values: torch.Tensor) -> torch.Tensor:
    wide = values.double()
    found: torch.Tensor = torch.linalg.vecdot(wide, wide)
    return found
