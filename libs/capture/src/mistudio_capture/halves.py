"""Linear layers in half precision on a CPU: their products are computed in float32.

Few CPUs multiply half precision: without AVX512-FP16 or AMX a product of float16 takes ten times
as long as one of float32, and GPT-2's, whose weights lie the other way around, four hundred times
(torch 2.13). Only the layer at work has a float32 copy of its weight. Each output is rounded once,
so it is nearer to the exact one than what the CPU's own half precision gives.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D


class _Linear(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        bias = None if self.bias is None else self.bias.float()
        return linear(input.float(), self.weight.float(), bias).to(input.dtype)


class _Conv1D(Conv1D):  # type: ignore[misc]
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.float().flatten(0, -2)
        found: torch.Tensor = torch.addmm(self.bias.float(), rows, self.weight.float())
        return found.to(x.dtype).view(*x.shape[:-1], -1)


def multiply_in_float32(decoder: nn.Module) -> None:
    """Let the decoder's dense linear layers compute in float32; their weights stay as they are."""
    for module in decoder.modules():
        # By its exact class: a subclass has a forward of its own.
        if type(module) is nn.Linear:
            module.__class__ = _Linear
        elif type(module) is Conv1D:
            module.__class__ = _Conv1D
