"""A decoder ready for capture: no language-model head, no cache, packed attention."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from . import attention
from .decoders import decoder_class, refuse_positions_of_the_longest
from .errors import CaptureError, InputsRefused, UnsupportedArchitecture
from .fusing import fuse_activations
from .hooks import layer_of

FAMILIES = ("gpt2", "llama", "mistral")
"""Families whose captured values are proven equal to plain transformers."""

Hook = Callable[[str, torch.Tensor], None]


class _Deepest(Exception):
    """Ends a forward pass after its deepest hook point. Never leaves this module."""


class CaptureModel:
    """A decoder and its blocks. Make one with :meth:`load`."""

    def __init__(
        self, decoder: nn.Module, device: torch.device, memory_bytes: int | None = None
    ) -> None:
        config: Any = decoder.config
        self._decoder: nn.Module | None = decoder
        self.config = config
        self.device = device
        self.blocks = find_blocks(decoder, int(config.num_hidden_layers))
        self.hidden_size = int(config.hidden_size)
        self.num_layers = len(self.blocks)
        self.context_length = int(config.max_position_embeddings)
        self.vocab_size = int(config.vocab_size)
        self.memory_bytes = storage_bytes(decoder) if memory_bytes is None else memory_bytes

    @classmethod
    def load(
        cls, path: str | Path, device: str = "cpu", dtype: torch.dtype | None = None
    ) -> CaptureModel:
        """Load a directory of safetensors and ``config.json``.

        Parameters
        ----------
        path
            The directory.
        device
            ``cpu`` or a CUDA device.
        dtype
            Of the weights; None keeps the checkpoint's own.

        Raises
        ------
        UnsupportedArchitecture
            When the family is not one of :data:`FAMILIES`.
        CaptureError
            When there is no configuration, weights are missing from the checkpoint, or positions
            depend on what else is in a batch.
        """
        _refuse_unproven(Path(path))
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        refuse_positions_of_the_longest(config)
        place = torch.device(device)
        before = _allocated(place)
        decoder, loading = decoder_class(config).from_pretrained(
            path,
            config=config,
            dtype=dtype or "auto",
            attn_implementation=attention.NAME,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        # transformers fills what is missing with random numbers; nobody should store those.
        missing = sorted(loading["missing_keys"])
        if missing:
            raise CaptureError(f"the checkpoint lacks {len(missing)} tensors: {missing[0]}, …")
        decoder = decoder.to(place).eval().requires_grad_(False)
        decoder.config.use_cache = False
        fuse_activations(decoder)
        return cls(decoder, place, _allocated(place) - before if place.type == "cuda" else None)

    @property
    def decoder(self) -> nn.Module:
        """The transformers module; raises CaptureError after :meth:`close`."""
        if self._decoder is None:
            raise CaptureError("the model is closed")
        return self._decoder

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the forward pass: of the blocks' weights that are not quantised."""
        return next(p.dtype for p in self.blocks.parameters() if p.is_floating_point())

    def check(self, lengths: Sequence[int], hook_points: Sequence[str]) -> None:
        """Refuse what the decoder cannot run, before anything of it is run.

        Parameters
        ----------
        lengths
            Tokens of each sample.
        hook_points
            Such as ``layers.6.resid_post``.

        Raises
        ------
        InputsRefused
            When a sample is longer than the context, a block does not exist, a hook point is
            named twice, or none is named.
        ValueError
            When a hook point cannot be read.
        """
        if not hook_points or len(set(hook_points)) != len(hook_points):
            raise InputsRefused("name at least one hook point, and each of them once")
        for point in hook_points:
            if layer_of(point) >= self.num_layers:
                raise InputsRefused(f"{point} lies beyond the {self.num_layers} blocks")
        longest = max(lengths, default=0)
        if longest > self.context_length:
            raise InputsRefused(
                f"sample {lengths.index(longest)} has {longest} tokens, "
                f"the model's context is {self.context_length}"
            )

    @torch.inference_mode()
    def run(
        self,
        input_ids: torch.Tensor,
        bounds: Sequence[int],
        hook_points: Sequence[str],
        on_hook: Hook,
    ) -> None:
        """Run packed samples up to the deepest hook point, and no block further.

        Parameters
        ----------
        input_ids
            int64 ``[tokens]`` on the model's device, samples end to end.
        bounds
            ``samples + 1`` offsets into it, from 0 to ``tokens``.
        hook_points
            Such as ``layers.6.resid_post``.
        on_hook
            Called in order of depth with the hook point and ``[tokens, width]``. The tensor
            belongs to the model: copy what is to be kept.
        """
        by_layer = {layer_of(point): point for point in hook_points}
        deepest = max(by_layer)
        position_ids = torch.cat([torch.arange(end - start) for start, end in pairwise(bounds)]).to(
            self.device
        )
        handles = [
            self.blocks[layer].register_forward_hook(_catch(point, on_hook, layer == deepest))
            for layer, point in by_layer.items()
        ]
        try:
            with attention.packed(bounds):
                self.decoder(
                    input_ids=input_ids[None], position_ids=position_ids[None], use_cache=False
                )
        except _Deepest:
            return
        finally:
            for handle in handles:
                handle.remove()
        raise CaptureError("the deepest hook point was never reached")

    def close(self) -> None:
        """Let go of the weights. Harmless when done again."""
        self._decoder = None
        self.blocks = nn.ModuleList()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _catch(point: str, on_hook: Hook, last: bool) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        on_hook(point, hidden[0])
        if last:
            raise _Deepest

    return hook


def _refuse_unproven(path: Path) -> None:
    # Read before transformers does: it answers a type that it does not know with its own words.
    try:
        config = json.loads((path / "config.json").read_bytes())
        model_type = str(config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaptureError(f"there is no readable config.json at {path}") from error
    if model_type not in FAMILIES:
        raise UnsupportedArchitecture(model_type, FAMILIES)


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def find_blocks(decoder: nn.Module, layers: int) -> nn.ModuleList:
    """Return the decoder's blocks: its one ModuleList of ``layers`` members, found by structure.

    Raises
    ------
    CaptureError
        When there is none, or more than one.
    """
    found = [m for m in decoder.modules() if isinstance(m, nn.ModuleList) and len(m) == layers]
    if len(found) != 1:
        raise CaptureError(f"found {len(found)} lists of {layers} blocks where one is needed")
    return found[0]


def storage_bytes(module: nn.Module) -> int:
    """Return the bytes of all parameters and buffers, shared storage counted once."""
    tensors: Mapping[int, int] = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in [*module.parameters(), *module.buffers()]
    }
    return sum(tensors.values())
