"""A decoder ready for capture: no language-model head, no cache."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from .decoders import refuse_positions_of_the_longest
from .errors import CaptureError, InputsRefused, UnsupportedArchitecture
from .families import FAMILIES, PACKED
from .files import TensorFiles
from .fusing import fuse_activations
from .halves import multiply_in_float32
from .hooks import HookPoint
from .loading import Plan, plan
from .passes import forward, prepare
from .streaming import stream
from .structure import context_length, find_blocks, storage_bytes
from .tapping import Hook, tapped
from .verification import examine, prove


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
        self.context_length = context_length(config)
        self.packs = config.model_type in PACKED
        self.vocab_size = int(config.vocab_size)
        self.memory_bytes = storage_bytes(decoder) if memory_bytes is None else memory_bytes
        names = {id(module): name for name, module in decoder.named_modules()}
        self._paths = [names[id(block)] for block in self.blocks]
        self.anatomy = examine(decoder, self._paths, device, packed=self.packs)
        self._proven = False

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        offload_blocks: int = 0,
    ) -> CaptureModel:
        """Load a directory of safetensors and ``config.json``.

        Parameters
        ----------
        path
            The directory.
        device
            ``cpu`` or a CUDA device.
        dtype
            Of the weights that are not quantised; None keeps the checkpoint's own.
        offload_blocks
            So many of the last blocks stay on the disk and are read at each batch.

        Raises
        ------
        UnsupportedArchitecture
            When the family is not one of :data:`FAMILIES`.
        CaptureError
            When there is no configuration, weights are missing from the checkpoint, or positions
            depend on what else is in a batch.
        """
        directory, place = Path(path), torch.device(device)
        _refuse_unproven(directory)
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
        refuse_positions_of_the_longest(config)
        chosen = dtype or config.dtype or torch.float32
        before = _allocated(place)
        found = plan(config, TensorFiles(directory), chosen)
        decoder = found.decoder
        _fill(found, find_blocks(decoder, int(config.num_hidden_layers)), place, offload_blocks)
        config.use_cache = False
        if place.type == "cpu" and chosen in (torch.float16, torch.bfloat16):
            multiply_in_float32(decoder)
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
        for name in hook_points:
            self._check_point(HookPoint.parse(name))
        longest = max(lengths, default=0)
        if longest > self.context_length:
            raise InputsRefused(
                f"sample {lengths.index(longest)} has {longest} tokens, "
                f"the model's context is {self.context_length}"
            )

    def width(self, hook_point: str) -> int:
        """Return the width of a hook point's rows.

        Raises
        ------
        InputsRefused
            When the model has no such hook point.
        ValueError
            When it cannot be read.
        """
        return self._check_point(HookPoint.parse(hook_point))

    def prove(self) -> None:
        """Prove the hook points in every block, once: what does not hold is no hook point more.

        Loading looks at the first block alone; :meth:`run` asks for this before it captures.

        Raises
        ------
        CaptureError
            When the blocks do not hand a residual stream on.
        """
        if not self._proven:
            self.anatomy = prove(
                self.decoder, self._paths, self.device, self.anatomy, packed=self.packs
            )
            self._proven = True

    def _check_point(self, point: HookPoint) -> int:
        width = self.anatomy.width(point)
        if width is not None:
            return width
        if point.layer is not None and point.layer >= self.num_layers:
            raise InputsRefused(f"{point.name} lies beyond the {self.num_layers} blocks")
        reason = self.anatomy.refused()[point.kind]
        raise InputsRefused(f"this model has no {point.kind}: {reason}")

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

        Raises
        ------
        CaptureError
            When the blocks do not hand a residual stream on, at the first run.
        InputsRefused
            When a hook point turns out not to hold in every block.
        """
        self.prove()
        for name in hook_points:
            self._check_point(HookPoint.parse(name))
        inputs, rows = prepare(input_ids, bounds, packed=self.packs)
        with tapped(self.decoder, self.blocks, self.anatomy, hook_points, rows, on_hook):
            forward(self.decoder, inputs, bounds)

    def close(self) -> None:
        """Let go of the weights. Harmless when done again."""
        self._decoder = None
        self.blocks = nn.ModuleList()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _fill(found: Plan, blocks: nn.ModuleList, device: torch.device, offload_blocks: int) -> None:
    away = {id(m) for block in blocks[len(blocks) - offload_blocks :] for m in block.modules()}
    modules = found.modules()
    offloaded = {name for name in modules if id(found.decoder.get_submodule(name)) in away}
    found.fill(device, modules - offloaded)
    stream(found, device, offloaded)
    # What a family computes by itself, such as rotary frequencies, and nothing else.
    for module in found.decoder.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and not buffer.is_meta:
                module._buffers[name] = buffer.to(device)


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
