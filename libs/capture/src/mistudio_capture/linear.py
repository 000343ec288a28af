"""Linear layers whose weights stay quantised in memory, in bitsandbytes' serialised layout.

The weight is dequantised at each use and the product is an ordinary one. So a row of the output
depends on its own row of the input alone: LLM.int8() instead looks for outliers over the whole
batch, and bitsandbytes' 4-bit product takes another kernel for a single row; a token's values
would then depend on its company.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

import torch
from torch import nn
from torch.nn.functional import linear, pad

from .bnb import functional as bnb

Parts = Mapping[str, torch.Tensor]
"""A weight's tensors by what stands behind ``weight`` in their name, such as ``.absmax``."""

INT8_MAX = 127.0


def compute_dtype(x: torch.Tensor) -> torch.dtype:
    """Return the dtype of a product: float32 on a CPU, which has no fast half precision."""
    return torch.float32 if x.device.type == "cpu" else x.dtype


class _Quantized(nn.Module):
    """Common to both: a bias, and the product with the weight dequantised."""

    bias: torch.Tensor | None

    def __init__(self, in_features: int, out_features: int, bias: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, device="meta"), requires_grad=False)
        else:
            self.bias = None

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the weight, ``[out_features, in_features]``."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dtype = compute_dtype(x)
        bias = None if self.bias is None else self.bias.to(dtype)
        return linear(x.to(dtype), self.dequantized(dtype), bias).to(x.dtype)


class Int8Linear(_Quantized):
    """Weights int8 ``[out, in]`` and float32 ``SCB [out]``: ``w = CB * SCB / 127`` a row.

    Source: Dettmers et al., LLM.int8(), 2022, section 2, row-wise absolute-maximum quantisation.
    """

    weight: torch.Tensor
    SCB: torch.Tensor

    def fill(self, parts: Parts) -> None:
        """Take the tensors ``""`` and ``SCB``."""
        self.register_buffer("weight", parts[""])
        self.register_buffer("SCB", parts["SCB"].float())

    def empty(self) -> None:
        """Let go of the tensors."""
        del self.weight, self.SCB

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        scale = (self.SCB / INT8_MAX).unsqueeze(1)
        # In place: a second float32 copy of the largest weight would be the peak of the pass.
        return self.weight.to(torch.float32).mul_(scale).to(dtype)


class Int4Linear(_Quantized):
    """Weights of two 4-bit codes a byte and their scales, as ``bitsandbytes.quantize_4bit`` has it.

    Source: Dettmers et al., QLoRA, 2023, section 3.
    """

    weight: torch.Tensor

    def __init__(self, in_features: int, out_features: int, bias: bool) -> None:
        super().__init__(in_features, out_features, bias)
        self._state: bnb.QuantState | None = None

    def fill(self, parts: Parts) -> None:
        """Take the tensors ``""``, ``.absmax``, ``.quant_map`` and the others of its state."""
        state = {name.lstrip("."): tensor for name, tensor in parts.items() if name}
        weight = parts[""].reshape(-1)
        self._state = bnb.QuantState.from_dict(state, device=weight.device)
        if self.in_features % self._state.blocksize:
            # bitsandbytes' AVX-512 kernel takes the wrong scale where a block crosses rows, so it
            # is shown a matrix of one block a row.
            blocks, block = self._state.absmax.numel(), self._state.blocksize
            weight = pad(weight, (0, blocks * block // 2 - weight.numel()))
            self._state.shape = torch.Size((blocks, block))
        self.register_buffer("weight", weight[:, None])

    def empty(self) -> None:
        """Let go of the tensors."""
        del self.weight
        self._state = None

    def state_tensors(self) -> list[torch.Tensor]:
        """Return the scales and code books, which are no buffers."""
        state = self._state
        if state is None:
            return []
        found = [state.absmax, state.code]
        if state.state2 is not None:
            found += [state.offset, state.state2.absmax, state.state2.code]
        return found

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        assert self._state is not None, "a layer is filled before it is used"
        self._state.dtype = dtype
        shape = self.out_features, self.in_features
        flat = bnb.dequantize_4bit(self.weight, self._state).view(-1)
        return flat[: shape[0] * shape[1]].view(shape)


QuantizedLinear = Int8Linear | Int4Linear


def parts_of(names: Container[str], module: str) -> dict[str, str]:
    """Return the stored names of a quantised layer's weight by part; none when it is not quantised.

    Parameters
    ----------
    names
        Every stored name.
    module
        The layer's stored name.
    """
    weight = f"{module}.weight"
    found = {"": weight}
    if f"{module}.SCB" in names:
        return {**found, "SCB": f"{module}.SCB"}
    for suffix in _INT4_SUFFIXES:
        if weight + suffix in names:
            found[suffix] = weight + suffix
    return found if ".absmax" in found else {}


_INT4_SUFFIXES = (
    ".absmax",
    ".quant_map",
    ".nested_absmax",
    ".nested_quant_map",
    ".quant_state.bitsandbytes__nf4",
    ".quant_state.bitsandbytes__fp4",
)
