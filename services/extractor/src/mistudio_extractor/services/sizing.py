"""How many bytes a model's batches may take, and how many tokens that is.

Both depend on the model's shape and the device alone, never on what else is resident: a shard done
again is cut into the same batches, so it gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mistudio_contracts.errors import ModelLoadFailed
from mistudio_contracts.states import Dtype
from mistudio_contracts.values import Artifact
from mistudio_extractor.domain.needs import Need
from mistudio_footprint import (
    FAMILIES,
    DecoderShape,
    Format,
    UnknownFamily,
    block_bytes,
    blocks_away,
    forward_bytes_per_token,
    token_budget,
)

from .hardware import DeviceFacts

SHARE = 4
"""One part in this many of the budget is for batches, where the weights leave it."""

LEAST_TOKENS = 64


@dataclass(frozen=True)
class Sizing:
    """A model's figures on a device."""

    shape: DecoderShape
    weights: int
    compute_bytes: int
    kind: str
    allowance: int
    block: int
    budget: int

    @classmethod
    def of(cls, directory: Path, artifact: Artifact, facts: DeviceFacts) -> Sizing:
        """Return the figures of the artifact that lies in ``directory``.

        Raises
        ------
        ModelLoadFailed
            When its configuration is of no supported family, or is broken.
        """
        shape, compute = _shape(directory), artifact.dtype.itemsize
        least = LEAST_TOKENS * forward_bytes_per_token(shape, shape.hidden, compute, 4)
        budget = facts.memory_budget_bytes
        left = budget - artifact.bytes
        # Where the weights leave nothing, blocks are read from the disk for each batch: a wide one.
        allowance = max(least, min(budget // SHARE, left) if left >= least else budget // SHARE)
        how = Format(artifact.quantization.value, artifact.dtype.value)
        block = block_bytes(shape.layout, how).total
        return cls(shape, artifact.bytes, compute, facts.kind, allowance, block, budget)

    def batch_tokens(self, captured: int, dtype: Dtype) -> int:
        """Return the tokens of one batch.

        Parameters
        ----------
        captured
            Elements of a token's captured rows together.
        dtype
            Of the store.
        """
        return token_budget(
            self.shape,
            self.allowance,
            self.kind,
            captured=captured,
            compute_bytes=self.compute_bytes,
            store_bytes=dtype.itemsize,
        )

    def offload_blocks(self) -> int:
        """Return how many blocks must stay on the disk for the rest to fit an empty device.

        0 where all of it fits, and where no number of blocks would help.
        """
        whole = self.need().total
        if whole <= self.budget:
            return 0
        return blocks_away(whole, self.block, self.shape.layers, self.budget) or 0

    def need(self, offload_blocks: int = 0) -> Need:
        """Return what admission sets aside: the weights and the largest batch there may be.

        Parameters
        ----------
        offload_blocks
            So many blocks are on the disk; one of them at a time comes in with a batch.
        """
        every = self.shape.layers * self.shape.hidden
        a_token = forward_bytes_per_token(self.shape, every, self.compute_bytes, 4)
        tokens = self.batch_tokens(self.shape.hidden, Dtype.FLOAT32)
        working = min(self.allowance, tokens * a_token)
        away = offload_blocks * self.block
        return Need(self.weights - away, working + (self.block if away else 0))


def _shape(directory: Path) -> DecoderShape:
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        return DecoderShape.from_config(config)
    except UnknownFamily as error:
        raise ModelLoadFailed(
            f"The architecture {str(error)!r} is not supported.",
            reason="unsupported_architecture",
            remedy=f"Supported are: {', '.join(sorted(FAMILIES))}.",
        ) from error
    except (OSError, KeyError, ValueError) as error:
        raise ModelLoadFailed(
            "The prepared artifact's config.json cannot be read.",
            reason="artifact_broken",
            remedy="Delete the model and load it again; it is prepared anew.",
        ) from error
