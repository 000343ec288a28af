"""Filling a decoder with a directory's tensors, each read once, in the order of the file."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .errors import CaptureError
from .experts import FusedTensor, find
from .files import StoredTensor, TensorFiles
from .skeleton import build, replace

if TYPE_CHECKING:
    from .linear import QuantizedLinear

Stored = StoredTensor | FusedTensor
Put = Callable[[torch.device], None]

INT8_MARK = ".SCB"
INT4_MARK = ".weight.absmax"
MARKS = (INT8_MARK, INT4_MARK)
"""Endings of the tensors that only a quantised layer has."""

_BESIDE = (r"^lm_head\.", r"^embed_out\.", r"\.weight_format$", r"\.inv_freq$", r"\.masked_bias$")
"""The head, what bitsandbytes says of its layout, and buffers that older versions stored."""

log = logging.getLogger(__name__)


@dataclass
class Plan:
    """What fills a decoder's modules: for each of them its own parameters and buffers.

    ``plain`` maps a module's name and a parameter's to the stored tensor; ``quantized`` maps a
    layer's name to its weight's parts.
    """

    decoder: nn.Module
    dtype: torch.dtype
    plain: dict[tuple[str, str], Stored] = field(default_factory=dict)
    quantized: dict[str, dict[str, StoredTensor]] = field(default_factory=dict)

    def modules(self) -> set[str]:
        """Return the names of the modules that have something to fill."""
        return {module for module, _ in self.plain} | set(self.quantized)

    def fill(self, device: torch.device, modules: Iterable[str] | None = None) -> None:
        """Read the tensors of the modules named, or of all, in the order of their files.

        Raises
        ------
        CaptureError
            When a file ends early.
        """
        chosen = None if modules is None else set(modules)
        steps: list[tuple[Stored, Put]] = []
        for (module, name), stored in self.plain.items():
            if chosen is None or module in chosen:
                steps.append((stored, self._plain(module, name, stored)))
        for layer, parts in self.quantized.items():
            if chosen is None or layer in chosen:
                steps.append((parts[""], self._quantized(layer, parts)))
        for _, put in sorted(steps, key=lambda step: (step[0].path, step[0].offset)):
            put(device)

    def empty(self, modules: Iterable[str]) -> None:
        """Let go of the tensors of the modules named."""
        chosen = set(modules)
        for module, name in self.plain:
            if module in chosen:
                owner = self.decoder.get_submodule(module)
                tensor = getattr(owner, name)
                _set(owner, name, torch.empty_like(tensor, device="meta"))
        for layer in chosen & set(self.quantized):
            self._layer(layer).empty()

    def _plain(self, module: str, name: str, stored: Stored) -> Put:
        owner = self.decoder.get_submodule(module)

        def put(device: torch.device) -> None:
            tensor = stored.read(device)
            if tensor.is_floating_point() and tensor.dtype is not self.dtype:
                tensor = tensor.to(self.dtype)
            _set(owner, name, tensor)

        return put

    def _quantized(self, layer: str, parts: dict[str, StoredTensor]) -> Put:
        def put(device: torch.device) -> None:
            self._layer(layer).fill({part: each.read(device) for part, each in parts.items()})

        return put

    def _layer(self, name: str) -> QuantizedLinear:
        from .linear import Int4Linear, Int8Linear

        layer = self.decoder.get_submodule(name)
        assert isinstance(layer, (Int4Linear, Int8Linear))
        return layer


def plan(config: Any, files: TensorFiles, dtype: torch.dtype) -> Plan:
    """Build a decoder and find the stored tensor of each of its parameters.

    Parameters
    ----------
    config
        A transformers configuration.
    files
        The checkpoint. Its names may begin with the family's prefix, such as ``model.``.
    dtype
        Of every floating-point parameter that is not quantised.

    Raises
    ------
    CaptureError
        When parameters are missing, or one has another shape.
    """
    decoder = build(config, dtype)
    prefix = _prefix(decoder, files)
    found = Plan(decoder, dtype)
    _replace_quantized(found, files, prefix)
    missing = []
    for name, tensor in [*decoder.named_parameters(), *_persistent_buffers(decoder)]:
        module, _, leaf = name.rpartition(".")
        stored = find(files, prefix + name)
        if stored is None:
            # A buffer that is not stored has been computed with the module.
            missing += [name] if tensor.is_meta else []
            continue
        if stored.shape != tuple(tensor.shape):
            raise CaptureError(f"{name} is {stored.shape} where {tuple(tensor.shape)} is needed")
        found.plain[module, leaf] = stored
    _refuse_missing(missing)
    _warn_of_unused(found, files)
    return found


def _refuse_missing(missing: list[str]) -> None:
    if missing:
        more = ", …" if len(missing) > 1 else ""
        raise CaptureError(f"the checkpoint lacks {len(missing)} tensors: {min(missing)}{more}")


def _warn_of_unused(found: Plan, files: TensorFiles) -> None:
    used = {name for stored in found.plain.values() for name in stored.names}
    used |= {stored.name for parts in found.quantized.values() for stored in parts.values()}
    ignored = [
        *_BESIDE,
        *(getattr(found.decoder, "_keys_to_ignore_on_load_unexpected", None) or ()),
    ]
    unused = sorted(
        name for name in files if name not in used and not any(re.search(p, name) for p in ignored)
    )
    if unused:
        log.warning("The checkpoint has tensors that are not used: %s", ", ".join(unused[:10]))


def _replace_quantized(found: Plan, files: TensorFiles, prefix: str) -> None:
    if not any(name.endswith(MARKS) for name in files):
        return
    from .linear import Int4Linear, Int8Linear, parts_of

    for name in files:
        if not name.endswith(MARKS) or not name.startswith(prefix):
            continue
        stored = name.removesuffix(INT8_MARK).removesuffix(INT4_MARK)
        layer = stored.removeprefix(prefix)
        replace(found.decoder, layer, Int8Linear if name.endswith(INT8_MARK) else Int4Linear)
        found.quantized[layer] = {part: files[n] for part, n in parts_of(files, stored).items()}


def _prefix(decoder: nn.Module, files: TensorFiles) -> str:
    """Return what stands before the decoder's own names in a checkpoint saved with its head."""
    own = str(getattr(decoder, "base_model_prefix", ""))
    first = next(name for name, _ in decoder.named_parameters())
    return f"{own}." if own and first not in files else ""


def _persistent_buffers(decoder: nn.Module) -> list[tuple[str, torch.Tensor]]:
    found = []
    for prefix, module in decoder.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                found.append((f"{prefix}.{name}" if prefix else name, buffer))
    return found


def _set(owner: nn.Module, name: str, tensor: torch.Tensor) -> None:
    if name in owner._buffers:
        owner._buffers[name] = tensor
    else:
        owner._parameters[name] = nn.Parameter(tensor, requires_grad=False)
